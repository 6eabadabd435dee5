//! TLS for the listener: certificate and key from two files, read again when they change.

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Where certificate and key are.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate and those that it was signed with, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// The certificate of a listener, as it is now. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    files: Arc<Files>,
    current: Arc<ArcSwap<ServerConfig>>,
    /// What was read last, whether or not it can be used.
    read: Pem,
}

/// The bytes of both files.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads both `files`.
    ///
    /// # Errors
    /// Which of them is wrong, and how.
    pub fn open(files: Files) -> anyhow::Result<Self> {
        let read = files.read()?;
        let current = Arc::new(ArcSwap::from_pointee(files.config(&read)?));
        Ok(Self { files: Arc::new(files), current, read })
    }

    /// Encrypts connections with the newest certificate.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Reads the files again whenever they change, until `stop`. What cannot be used is told once, and
    /// the certificate before it stays.
    pub async fn watch(mut self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            // Two files cannot change at once: in between they do not fit, and are read again.
            let Ok(read) = self.files.read() else { continue };
            if read == self.read {
                continue;
            }
            match self.files.config(&read) {
                Ok(config) => {
                    self.current.store(Arc::new(config));
                    info!(certificate = %self.files.certificate.display(), "certificate read again");
                }
                Err(error) => warn!("the new certificate is not used: {error:#}"),
            }
            self.read = read;
        }
    }
}

impl Files {
    fn read(&self) -> anyhow::Result<Pem> {
        let read = |path: &PathBuf, key| {
            std::fs::read(path).with_context(|| format!("{key}: read {}", path.display()))
        };
        Ok(Pem {
            certificate: read(&self.certificate, "tls.certificate")?,
            key: read(&self.key, "tls.key")?,
        })
    }

    fn config(&self, pem: &Pem) -> anyhow::Result<ServerConfig> {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        let chain: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(&pem.certificate).collect();
        let chain =
            chain.with_context(|| format!("tls.certificate: {certificate} is not sound PEM"))?;
        if chain.is_empty() {
            bail!("tls.certificate: {certificate} holds no certificate in PEM");
        }
        // What the parser says could hold a part of the key.
        let Ok(private) = PrivateKeyDer::from_pem_slice(&pem.key) else {
            bail!("tls.key: {key} holds no private key in PEM, or an encrypted one");
        };
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(chain, private)
                .map_err(|error| self.wrong(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    fn wrong(&self, error: &rustls::Error) -> anyhow::Error {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        match error {
            rustls::Error::InconsistentKeys(_) => {
                anyhow::anyhow!("tls.key: {key} is not the key of {certificate} (tls.certificate)")
            }
            rustls::Error::InvalidCertificate(error) => {
                anyhow::anyhow!("tls.certificate: {certificate} cannot be used: {error}")
            }
            error => anyhow::anyhow!("tls.key: {key} cannot be used: {error}"),
        }
    }
}
