//! The way to the server: the URL, TLS, and a connection of its own for whoever opens or migrates.
//!
//! Errors say what to do and never show a password.

use super::tls;
use crate::ServerUrl;
use deadpool_postgres::Connect;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use std::error::Error as _;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long one attempt to connect may take, on all hosts together.
pub(super) const ATTEMPT: Duration = Duration::from_secs(10);
/// How long one address may take to answer.
const ADDRESS: Duration = Duration::from_secs(3);
/// How long the other end may be silent before the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(10);

/// Why a PostgreSQL store cannot be opened or migrated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The URL cannot be read.
    #[error(
        "cannot read the PostgreSQL URL: {0}; write postgresql://USER:PASSWORD@HOST:5432/DATABASE"
    )]
    Url(String),
    /// The server does not answer, or cannot take us now.
    #[error(
        "cannot reach PostgreSQL at {at}: {reason}; check that it is running and that the URL is \
         right"
    )]
    Unreachable {
        /// Host, port, database and user.
        at: String,
        /// What went wrong.
        reason: String,
    },
    /// The server does not let this user in.
    #[error(
        "cannot log in to PostgreSQL at {at}: {reason}; check the user and the password in \
         the URL"
    )]
    Login {
        /// Host, port, database and user.
        at: String,
        /// What the server said.
        reason: String,
    },
    /// There is no such database.
    #[error(
        "cannot open PostgreSQL at {at}: there is no such database; make it with `createdb`, or name \
         another one in the URL"
    )]
    NoDatabase {
        /// Host, port, database and user.
        at: String,
    },
    /// No secure connection came about.
    #[error(
        "cannot speak TLS with PostgreSQL at {at}: {reason}; check `sslmode` in the URL, and name a \
         certificate authority of your own in SSL_CERT_FILE"
    )]
    Tls {
        /// Host, port, database and user.
        at: String,
        /// What went wrong.
        reason: String,
    },
    /// The schema is not there, or an older build's.
    #[error(
        "cannot open PostgreSQL at {at}: its schema {found} is older than this build's {known}; run \
         `ofs migrate`, or start with --migrate"
    )]
    Older {
        /// Host, port, database and user.
        at: String,
        /// The schema version there; 0 if there is none.
        found: i32,
        /// The schema version of this build.
        known: i32,
    },
    /// A newer build has migrated it.
    #[error(
        "cannot open PostgreSQL at {at}: its schema {found} is newer than this build's {known}; use a \
         newer ofs"
    )]
    Newer {
        /// Host, port, database and user.
        at: String,
        /// The schema version there.
        found: i32,
        /// The newest schema version of this build.
        known: i32,
    },
    /// A migration failed, or one already applied was changed.
    #[error("cannot migrate PostgreSQL at {at}: {reason}")]
    Migration {
        /// Host, port, database and user.
        at: String,
        /// What the server or the migrator said.
        reason: String,
    },
    /// It is there, but it cannot be used.
    #[error("cannot use PostgreSQL at {at}: {reason}")]
    Unusable {
        /// Host, port, database and user.
        at: String,
        /// What the server said.
        reason: String,
    },
}

impl OpenError {
    /// Whether the server does not let us in, or we do not trust it.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, OpenError::Login { .. } | OpenError::Tls { .. })
    }

    /// Whether it may work later without anybody changing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, OpenError::Unreachable { .. })
    }
}

/// One database, and how to get in.
#[derive(Clone)]
pub(super) struct Server {
    pub config: Config,
    pub tls: MakeRustlsConnect,
    pub at: String,
    url: ServerUrl,
}

/// The driver's reading of `url`, and whether the server's certificate is to be verified, for which the
/// driver has no mode: to it, encrypted is encrypted.
fn read(url: &str) -> Result<(Config, bool), OpenError> {
    let verified = url.contains("sslmode=verify-full");
    let url = url.replace("sslmode=verify-full", "sslmode=require");
    let config = url.parse().map_err(|error| OpenError::Url(chain(&error)))?;
    Ok((config, verified))
}

impl Server {
    pub(super) fn parse(url: ServerUrl) -> Result<Server, OpenError> {
        let (mut config, verified) = read(url.at_start())?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(OpenError::Url("it names no host".to_owned()));
        }
        if config.get_application_name().is_none() {
            config.application_name("ofs");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(ADDRESS);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        config.keepalives_idle(SILENCE).keepalives_interval(SILENCE / 4).keepalives_retries(3);
        let at = describe(&config);
        let tls =
            tls::connector(verified).map_err(|reason| OpenError::Tls { at: at.clone(), reason })?;
        Ok(Server { config, tls, at, url })
    }

    /// Opens a connection that belongs to the caller alone and ends with the client.
    pub(super) async fn connect(&self) -> Result<Client, OpenError> {
        let config = self.with_login();
        let connecting = tokio::time::timeout(ATTEMPT, config.connect(self.tls.clone())).await;
        let late = || OpenError::Unreachable {
            at: self.at.clone(),
            reason: format!("no answer within {} s", ATTEMPT.as_secs()),
        };
        let (client, connection) =
            connecting.map_err(|_| late())?.map_err(|error| self.refused(&error))?;
        tokio::spawn(async move {
            // Whoever uses the client learns of it there.
            let _ = connection.await;
        });
        Ok(client)
    }

    /// The same place with the user and password that are configured now. What else has changed in the
    /// URL is left to the next start, and so is what cannot be read.
    fn with_login(&self) -> Config {
        let mut config = self.config.clone();
        if let Ok((now, _)) = read(&self.url.now())
            && let (Some(user), Some(password)) = (now.get_user(), now.get_password())
        {
            config.user(user).password(password);
        }
        config
    }

    /// By whose fault a connection did not come about or did not work.
    pub(super) fn refused(&self, error: &tokio_postgres::Error) -> OpenError {
        let at = self.at.clone();
        let reason = chain(error);
        let io = error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
        if let Some(code) = error.code() {
            return match code.code() {
                _ if *code == SqlState::INVALID_CATALOG_NAME => OpenError::NoDatabase { at },
                "28000" | "28P01" => OpenError::Login { at, reason },
                "42501" => {
                    let hint = "`ofs grants postgres` prints what a role has to be allowed";
                    OpenError::Unusable { at, reason: format!("{reason}; {hint}") }
                }
                code if is_passing(code) => OpenError::Unreachable { at, reason },
                _ => OpenError::Unusable { at, reason },
            };
        }
        if let Some(reason) = crate::tls::why(error) {
            return OpenError::Tls { at, reason };
        }
        match error.to_string().as_str() {
            _ if io || error.is_closed() => OpenError::Unreachable { at, reason },
            "error performing TLS handshake" => OpenError::Tls { at, reason },
            "invalid configuration" | "authentication error" => OpenError::Login { at, reason },
            _ => OpenError::Unusable { at, reason },
        }
    }
}

/// For the pool: each connection logs in as is configured when it is made.
impl Connect for Server {
    fn connect(
        &self,
        _: &Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        async {
            let (client, connection) = self.with_login().connect(self.tls.clone()).await?;
            let task = tokio::spawn(async move {
                // Whoever uses the client learns of it there.
                let _ = connection.await;
            });
            Ok((client, task))
        }
        .boxed()
    }
}

/// SQLSTATEs of a server that is starting, stopping or crowded, no primary just now, or locked.
fn is_passing(code: &str) -> bool {
    code.starts_with("08")
        || code.starts_with("53")
        || code.starts_with("57")
        || matches!(code, "25006" | "55P03")
}

/// The error with its causes; of what the server said, the message alone.
pub(super) fn chain(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return error.message().to_owned();
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn describe(config: &Config) -> String {
    let ports = config.get_ports();
    let port = |n: usize| ports.get(n).or(ports.first()).copied().unwrap_or(5432);
    let mut hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(n, host)| match host {
            Host::Tcp(name) => format!("{name}:{}", port(n)),
            Host::Unix(path) => format!("{}:{}", path.display(), port(n)),
        })
        .collect();
    if hosts.is_empty() {
        let addresses = config.get_hostaddrs().iter().enumerate();
        hosts = addresses.map(|(n, address)| format!("{address}:{}", port(n))).collect();
    }
    let user = config.get_user().unwrap_or("the user of this process");
    let database = config.get_dbname().unwrap_or(user);
    format!("{}/{database} as {user}", hosts.join(","))
}
