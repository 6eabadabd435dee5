//! The keys that an issuer signs with: asked for at the start, now and then, and when a token names one
//! that is not known, but never more often than every few seconds.
//!
//! One task asks; whoever needs a key waits for its answer, or takes what is known.

use super::NoEntry;
use anyhow::{Context as _, bail, ensure};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Client, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long the issuer may take for its answers.
const ANSWERS: Duration = Duration::from_secs(5);
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 256 * 1024;
/// Keys of one issuer.
const MOST: usize = 100;
const UNKNOWN: &str =
    "the token is signed with a key that its issuer does not have, or not any more";

/// When the issuer is asked.
#[derive(Clone, Copy)]
pub(super) struct Times {
    /// How long keys count after they were asked for.
    pub kept: Duration,
    /// How long after an answer it is asked again.
    pub renewed: Duration,
    /// How long at least between two questions.
    pub apart: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let [kept, renewed, apart] = [600, 300, 5].map(Duration::from_secs);
        Self { kept, renewed, apart }
    }
}

/// A key of the issuer's.
pub(super) struct Key {
    pub(super) key: DecodingKey,
    /// What it may be used with.
    pub(super) algorithms: &'static [Algorithm],
}

/// What the issuer said last.
#[derive(Clone, Default)]
struct Said {
    keys: Arc<HashMap<String, Arc<Key>>>,
    /// When those were asked for.
    since: Option<Instant>,
    /// When it was asked last, and why there was no answer, if there was none.
    asked: Option<Instant>,
    failure: Option<Arc<str>>,
}

impl Said {
    fn find(&self, kid: &str, kept: Duration) -> Result<Arc<Key>, NoEntry> {
        if self.since.is_none_or(|since| since.elapsed() >= kept) {
            let reason = self.failure.clone();
            return Err(NoEntry::Unreachable(reason.unwrap_or_else(|| "no answer yet".into())));
        }
        self.keys.get(kid).cloned().ok_or(NoEntry::Refused(UNKNOWN))
    }
}

pub(super) struct Keys {
    http: Client,
    issuer: String,
    times: Times,
    said: watch::Sender<Said>,
    wanted: Notify,
}

impl Keys {
    pub(super) fn new(issuer: &str, times: Times) -> anyhow::Result<Self> {
        let mut http = Client::builder()
            .timeout(ANSWERS)
            .redirect(reqwest::redirect::Policy::none())
            // Only the configuration says where the issuer is, not the environment.
            .no_proxy();
        if issuer.starts_with("http:") {
            http = http.tls_certs_only([]);
        }
        let (issuer, said) = (issuer.to_owned(), watch::Sender::default());
        Ok(Self { http: http.build()?, issuer, times, said, wanted: Notify::new() })
    }

    /// The key `kid`, as far as is known without asking.
    pub(super) fn known(&self, kid: &str) -> Result<Arc<Key>, NoEntry> {
        self.said.borrow().find(kid, self.times.kept)
    }

    /// The key `kid`; asks the issuer for it if it was not asked a moment ago.
    pub(super) async fn find(&self, kid: &str) -> Result<Arc<Key>, NoEntry> {
        let mut newer = self.said.subscribe();
        let (known, rests) = {
            let said = newer.borrow_and_update();
            let rests = said.asked.is_some_and(|asked| asked.elapsed() < self.times.apart);
            (said.find(kid, self.times.kept), rests)
        };
        if known.is_ok() || rests {
            return known;
        }
        self.wanted.notify_one();
        match timeout(ANSWERS + self.times.apart, newer.changed()).await {
            Ok(Ok(())) => self.known(kid),
            _ => known,
        }
    }

    pub(super) async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let began = Instant::now();
            let answer = timeout(ANSWERS, self.ask());
            let Some(answer) = stop.run_until_cancelled(answer).await else { return };
            let answer = answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within 5 s")));
            let pause = if answer.is_ok() { self.times.renewed } else { self.times.apart };
            self.note(began, answer);
            let rest = async {
                sleep(self.times.apart).await;
                let _ =
                    timeout(pause.saturating_sub(self.times.apart), self.wanted.notified()).await;
            };
            stop.run_until_cancelled(rest).await;
        }
    }

    fn note(&self, began: Instant, answer: anyhow::Result<HashMap<String, Arc<Key>>>) {
        self.said.send_modify(|said| {
            said.asked = Some(Instant::now());
            match answer {
                Ok(keys) => {
                    if said.since.is_none() || said.failure.is_some() {
                        info!(issuer = %self.issuer, keys = keys.len(), "tokens of this issuer are taken");
                    }
                    *said = Said { keys: Arc::new(keys), since: Some(began), failure: None, ..*said };
                }
                Err(error) => {
                    let reason = format!("{error:#}");
                    if said.failure.is_none() {
                        warn!(issuer = %self.issuer, reason, "cannot ask for the issuer's keys, will try again");
                    }
                    said.failure = Some(reason.into());
                }
            }
        });
    }

    /// What the issuer says of itself, and then its keys.
    async fn ask(&self) -> anyhow::Result<HashMap<String, Arc<Key>>> {
        #[derive(Deserialize)]
        struct Described {
            issuer: String,
            jwks_uri: String,
        }
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let root = self.issuer.trim_end_matches('/');
        let described: Described =
            self.get(&format!("{root}/.well-known/openid-configuration")).await?;
        if described.issuer != self.issuer {
            bail!("it calls itself {}, which has to be the same as auth.issuer", described.issuer);
        }
        check(&described.jwks_uri).map_err(anyhow::Error::msg).context("its jwks_uri")?;
        let set: Set = self.get(&described.jwks_uri).await?;
        // Keys of a kind that is not known here are no reason to take none.
        let keys = set.keys.into_iter().filter_map(|key| usable(serde_json::from_value(key).ok()?));
        Ok(keys.take(MOST).collect())
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> anyhow::Result<T> {
        let sent = self.http.get(url).header("accept", "application/json").send().await;
        let mut answer =
            sent.map_err(|error| reason(&error)).with_context(|| format!("GET {url}"))?;
        let status = answer.status();
        ensure!(status.is_success(), "GET {url} was answered with {status}");
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| reason(&error))? {
            ensure!(body.len() + chunk.len() <= MAX_ANSWER, "GET {url} has too long an answer");
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).with_context(|| format!("GET {url} has no sound answer"))
    }
}

/// The innermost cause, which says what went wrong; the outer ones repeat the URL.
fn reason(error: &reqwest::Error) -> anyhow::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    anyhow::anyhow!("{cause}")
}

/// The key's id and what it is used for, if it can be used for tokens.
fn usable(jwk: Jwk) -> Option<(String, Arc<Key>)> {
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
    let fits: &'static [Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[Algorithm::RS256, Algorithm::PS256],
        AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256 => {
            &[Algorithm::ES256]
        }
        AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        _ => return None,
    };
    let algorithms = match jwk.common.key_algorithm {
        None => fits,
        Some(KeyAlgorithm::RS256) => &[Algorithm::RS256],
        Some(KeyAlgorithm::PS256) => &[Algorithm::PS256],
        Some(KeyAlgorithm::ES256) => &[Algorithm::ES256],
        Some(KeyAlgorithm::EdDSA) => &[Algorithm::EdDSA],
        Some(_) => return None,
    };
    let kid = jwk.common.key_id.clone().filter(|kid| signs && !kid.is_empty())?;
    let is_one = algorithms.iter().all(|algorithm| fits.contains(algorithm));
    let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| is_one)?;
    Some((kid, Arc::new(Key { key, algorithms })))
}

/// Whether an issuer may be asked at `url`: by TLS, or on this machine.
pub(crate) fn check(url: &str) -> Result<(), String> {
    let parsed = Url::parse(url).map_err(|_| format!("`{url}` is not an https:// URL"))?;
    let host = parsed.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let local = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let plain =
        parsed.username().is_empty() && parsed.password().is_none() && parsed.fragment().is_none();
    match parsed.scheme() {
        _ if host.is_empty() || !plain => {
            Err(format!("`{url}` is not an https:// URL with a host and without a user"))
        }
        "https" => Ok(()),
        "http" if local => Ok(()),
        "http" => {
            Err(format!("`{url}` must begin with https://; http:// is for this machine alone"))
        }
        _ => Err(format!("`{url}` is not an https:// URL")),
    }
}
