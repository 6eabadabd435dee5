//! How every client of the cluster is set up, what its errors mean, and where its log goes.

use super::address::{Address, Login, Mechanism};
use super::login::Identity;
use super::names::Names;
use crate::ServerUrl;
use ofs_runtime::log::Error;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long one question to the cluster may take before it counts as unreachable.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// The largest record, with room for a value of 1 MiB and its headers. Brokers take a little more.
pub(super) const MAX_RECORD_BYTES: u32 = 2_000_000;

/// What a member holds of what it has fetched, and as much is on its way at most; beyond a record larger
/// than that.
const FETCHED_KIB: u32 = 4096;

/// A cluster and the names on it; what every client is made from.
///
/// A client may lose all its brokers for good: asked just after it came up, a broker knows of none,
/// not even of itself, and the library (2.12) then forgets even those it began with. So whatever a
/// client cannot do for long is tried with a new one, though the old one seems to wait for a cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    pub address: Address,
    pub names: Names,
    identity: Identity,
}

impl Cluster {
    /// The cluster at `address`, which `url` says.
    pub fn new(address: Address, url: ServerUrl) -> Self {
        // Before the library does it, which would have OpenSSL cleaned up when the process exits, under the
        // threads of clients that are still there: it would end by a signal instead of its exit code.
        #[cfg(feature = "kafka-tls")]
        openssl_sys::init();
        let names = Names::new(&address.prefix);
        let identity = Identity::new(url, address.login.clone());
        Self { address, names, identity }
    }

    /// What all clients have in common.
    fn config(&self) -> ClientConfig {
        let Address { brokers, tls, ca, .. } = &self.address;
        let login = self.identity.now();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("client.id", "ofs")
            .set("allow.auto.create.topics", "false")
            .set("socket.keepalive.enable", "true")
            .set("socket.timeout.ms", "10000")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set_log_level(RDKafkaLogLevel::Info);
        let protocol = match (tls, &login) {
            (false, None) => "plaintext",
            (true, None) => "ssl",
            (false, Some(_)) => "sasl_plaintext",
            (true, Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(ca) = ca {
            config.set("ssl.ca.location", ca);
        }
        if let Some(Login { mechanism, user, password }) = login {
            config.set("sasl.mechanism", mechanism.name());
            if mechanism != Mechanism::OauthBearer {
                config.set("sasl.username", user).set("sasl.password", password);
            }
        }
        config
    }

    /// For a client that makes topics.
    pub fn admin(&self) -> ClientConfig {
        self.config()
    }

    /// For the client that appends.
    pub fn producer(&self) -> ClientConfig {
        let mut config = self.config();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", "0.5")
            .set("batch.size", "131072")
            .set("message.max.bytes", MAX_RECORD_BYTES.to_string())
            .set("message.timeout.ms", "10000")
            .set("request.timeout.ms", "5000")
            .set("topic.metadata.propagation.max.ms", "2000")
            .set("queue.buffering.max.kbytes", "65536");
        config
    }

    /// For a client that reads, in `group` or with what `group` knows.
    fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.config();
        config
            .set("group.id", self.names.group(group))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            .set("fetch.queue.backoff.ms", "10");
        config
    }

    /// For a member of `group`.
    pub fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.consumer(group);
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "1000")
            // Also how long a group waits for a member to join again, and a member for the answer.
            .set("max.poll.interval.ms", "30000")
            .set("queued.min.messages", "1000")
            .set("queued.max.messages.kbytes", FETCHED_KIB.to_string())
            .set("fetch.max.bytes", (FETCHED_KIB * 1024).to_string());
        config
    }

    /// For a client that looks at topics and at where `group` is, and is no member of it. It reads
    /// few records at a time, so it fetches no more than it has to.
    pub fn observer(&self, group: &str) -> ClientConfig {
        let mut config = self.consumer(group);
        config
            .set("enable.partition.eof", "true")
            .set("fetch.message.max.bytes", "131072")
            .set("queued.min.messages", "1");
        config
    }

    /// The context of one client.
    pub fn talk(&self) -> Talk {
        let (identity, login) = (self.identity.clone(), self.identity.now());
        let waiting = Arc::new(AtomicBool::new(self.address.has_token()));
        Talk { identity, login, waiting, trouble: Arc::default() }
    }
}

/// What a client says on the side: its log, and what last went wrong.
#[derive(Clone)]
pub(super) struct Talk {
    identity: Identity,
    /// What the client was made with.
    login: Option<Login>,
    waiting: Arc<AtomicBool>,
    trouble: Arc<Mutex<Option<ClientError>>>,
}

/// Why a client has no connection.
#[derive(Clone, Debug)]
pub(super) struct ClientError {
    pub reason: String,
    pub fault: Fault,
}

/// What a connection failed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nobody answers, or not as a broker does.
    Network,
    /// No encryption came about, or the certificate is not to be trusted.
    Tls,
    /// The cluster does not accept the login.
    Login,
}

impl Fault {
    fn of(code: Option<RDKafkaErrorCode>) -> Self {
        match code {
            Some(RDKafkaErrorCode::SSL) => Self::Tls,
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                Self::Login
            }
            _ => Self::Network,
        }
    }
}

impl Talk {
    /// Whether the client has still to be given its token, which happens when it is polled.
    pub fn waits_for_token(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether the cluster refuses the login that the client has, and another one is configured now.
    pub fn is_outdated(&self) -> bool {
        let refused = self.trouble().is_some_and(|trouble| trouble.fault == Fault::Login);
        refused && self.identity.now() != self.login
    }

    /// What went wrong last.
    pub fn trouble(&self) -> Option<ClientError> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Talk {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(facility, "kafka client: {text}"),
            _ => tracing::debug!(facility, "kafka client: {text}"),
        }
    }

    /// The log has the same already.
    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        // That none is left says less than why the last one is gone.
        if code != Some(RDKafkaErrorCode::AllBrokersDown) {
            let trouble = ClientError { reason: reason.to_owned(), fault: Fault::of(code) };
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
        }
    }

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let token = self.identity.token().ok_or("there is no token")?;
        self.waiting.store(false, Ordering::Relaxed);
        Ok(token)
    }
}

/// What went wrong, without the values of settings: one of them is the password.
pub(super) fn reason(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, reason, name, _) => format!("{name}: {reason}"),
        error => error.to_string(),
    }
}

/// The cluster cannot do it now.
pub(super) fn unavailable(error: &KafkaError) -> Error {
    Error::Unavailable(reason(error))
}

/// Drops a client where that keeps nobody waiting: it says good-bye to its brokers first.
pub(super) fn retire<T: Send + 'static>(client: T) {
    std::thread::spawn(move || drop(client));
}

#[cfg(test)]
mod tests {
    use super::*;
    use ofs_runtime::context::Context;

    fn cluster(url: &str) -> Cluster {
        Cluster::new(Address::parse(url).expect("a URL"), url.into())
    }

    #[test]
    fn the_url_decides_on_protocol_and_login() {
        let set = |url: &str, name: &str| cluster(url).member("g").get(name).map(str::to_owned);
        let is = |url: &str, name: &str, value: &str| {
            assert_eq!(set(url, name).as_deref(), Some(value), "{url} {name}");
        };
        is("kafka://h:1", "security.protocol", "plaintext");
        is("kafka+tls://h:1", "security.protocol", "ssl");
        is("kafka+tls://h:1?ca=/x", "ssl.ca.location", "/x");
        is("kafka://u:p@h:1?sasl=plain", "security.protocol", "sasl_plaintext");
        is("kafka+tls://u:p@h:1", "security.protocol", "sasl_ssl");
        is("kafka+tls://u:p@h:1", "sasl.mechanism", "SCRAM-SHA-512");
        is("kafka+tls://u:p@h:1", "sasl.password", "p");
        is("kafka://h:1?prefix=p-", "group.id", "p-g");
        assert_eq!(set("kafka+tls://u:p@h:1?sasl=oauthbearer", "sasl.password"), None);
    }

    #[test]
    fn a_token_is_given_out_as_often_as_it_is_asked_for() {
        let cluster = cluster("kafka+tls://me:token@h:1?sasl=oauthbearer");
        let token = cluster.talk().generate_oauth_token(None).expect("a token");
        assert_eq!((&*token.token, &*token.principal_name), ("token", "me"));
        assert!(token.lifetime_ms > Context::new("test").now().as_micros() / 1000);
    }

    #[test]
    fn a_setting_that_is_refused_is_named_without_its_value() {
        let config = cluster("kafka://me:se%00cret@h:1?sasl=plain").producer();
        let error = config.create_native_config().err().map(|error| reason(&error));
        assert!(!error.unwrap_or_default().contains("cret"));
    }
}
