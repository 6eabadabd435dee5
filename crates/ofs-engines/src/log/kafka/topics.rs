//! Making the topics, and looking whether they are as they must be. Changes none that is there.

use super::client::{Cluster, MAX_RECORD_BYTES, reason};
use super::observer::View;
use ofs_events::Topic;
use ofs_runtime::log::{Error, Layout};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::time::Duration;

/// What one may do to a cluster is slower than what one may ask of it.
pub(super) const ADMIN_PATIENCE: Duration = Duration::from_secs(20);

/// What a topic must be set to, so that no accepted event is lost in it.
fn settings(replication: u16) -> [(&'static str, String); 5] {
    [
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", "-1".to_owned()),
        ("min.insync.replicas", if replication >= 3 { "2" } else { "1" }.to_owned()),
        ("unclean.leader.election.enable", "false".to_owned()),
        ("max.message.bytes", (MAX_RECORD_BYTES + 100_000).to_string()),
    ]
}

/// What of the topics is there.
pub(super) struct Found {
    missing: Vec<Topic>,
    /// Brokers of the cluster.
    brokers: usize,
}

impl View {
    /// Looks for the topics.
    ///
    /// # Errors
    /// [`Error::Unprepared`] if one has another number of partitions than asked for.
    pub fn survey(&mut self, layout: Layout) -> Result<Found, Error> {
        let mut missing = Vec::new();
        for topic in Topic::ALL {
            match self.partitions(topic)? {
                None => missing.push(topic),
                Some(count) if count == layout.partitions => {}
                Some(count) => {
                    return Err(Error::Unprepared(format!(
                        "topic {} has {count} partitions and {} are asked for; another number \
                         would tear the events of a key apart, so ask for {count}, or make \
                         the topic anew",
                        self.cluster.names.topic(topic),
                        layout.partitions
                    )));
                }
            }
        }
        let first = self.cluster.names.topic(Topic::ALL[0]);
        let metadata = self.ask(|consumer, wait| consumer.fetch_metadata(Some(first), wait))?;
        let brokers = metadata.brokers().len();
        Ok(Found { missing, brokers })
    }

    /// Whether every partition of every topic answers.
    pub fn is_ready(&mut self) -> Result<(), Error> {
        let places = self.places(&Topic::ALL, Duration::ZERO)?;
        self.ends(&places).map(|_| ())
    }
}

impl Found {
    /// That all are there.
    ///
    /// # Errors
    /// [`Error::Unprepared`] if one is not.
    pub fn complete(&self, cluster: &Cluster) -> Result<(), Error> {
        let names: Vec<&str> = self.missing.iter().map(|t| cluster.names.topic(*t)).collect();
        if names.is_empty() {
            return Ok(());
        }
        let names = names.join(", ");
        Err(Error::Unprepared(format!("there is no {names}; `ofs migrate` makes the topics")))
    }

    /// Makes those that are missing.
    pub async fn make(&self, cluster: &Cluster, layout: Layout) -> Result<(), Error> {
        let replication = match (layout.replication, self.brokers) {
            (0, 3..) => 3,
            // As likely as not a third one that is down or still starts; a single copy would be for ever.
            (0, 2) if !self.missing.is_empty() => {
                return Err(Error::Unavailable(
                    "two brokers are up: start the third, or say with log.replication how many \
                     copies of each topic there are to be"
                        .to_owned(),
                ));
            }
            (0, _) => 1,
            (asked, _) => asked,
        };
        if cluster.address.has_token() {
            // The library's client for this never asks for one.
            return self.complete(cluster).map_err(|_| by_hand(&settings(replication)));
        }
        let admin: AdminClient<_> =
            cluster.admin().create_with_context(cluster.talk()).map_err(|e| failed(&e))?;
        let settings = settings(replication);
        let partitions = i32::try_from(layout.partitions).unwrap_or(i32::MAX);
        let topic = |topic: &Topic| {
            let copies = TopicReplication::Fixed(i32::from(replication));
            let new = NewTopic::new(cluster.names.topic(*topic), partitions, copies);
            settings.iter().fold(new, |new, (name, value)| new.set(name, value))
        };
        let new: Vec<NewTopic<'_>> = self.missing.iter().map(topic).collect();
        let made = match new.is_empty() {
            true => Vec::new(),
            false => admin.create_topics(&new, &options()).await.map_err(|e| failed(&e))?,
        };
        for made in made {
            match made {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(not_made(&name, code)),
            }
        }
        let old = Topic::ALL.into_iter().filter(|topic| !self.missing.contains(topic));
        let old: Vec<&str> = old.map(|topic| cluster.names.topic(topic)).collect();
        warn_of_settings(&admin, &old).await;
        // It waits for its thread.
        super::client::retire(admin);
        Ok(())
    }
}

fn by_hand(settings: &[(&str, String)]) -> Error {
    let settings: Vec<String> =
        settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Error::Unprepared(format!(
        "topics cannot be made with an OAUTHBEARER login; use another one, or kafka-topics \
         --create with {}",
        settings.join(" ")
    ))
}

pub(super) fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ADMIN_PATIENCE))
        .operation_timeout(Some(ADMIN_PATIENCE))
}

fn failed(error: &KafkaError) -> Error {
    Error::Unavailable(format!("make the topics: {}", reason(error)))
}

fn not_made(name: &str, code: RDKafkaErrorCode) -> Error {
    use RDKafkaErrorCode as Code;
    match code {
        Code::InvalidReplicationFactor => Error::Unprepared(format!(
            "topic {name} cannot have as many copies: the cluster has fewer brokers"
        )),
        Code::InvalidTopic
        | Code::InvalidPartitions
        | Code::InvalidConfig
        | Code::PolicyViolation
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed => {
            Error::Unprepared(format!("the cluster makes no topic {name}: {code}"))
        }
        code => Error::Unavailable(format!("make topic {name}: {code}")),
    }
}

/// A topic that somebody else made may be set to throw events away. That is theirs to change, but
/// they should know.
async fn warn_of_settings<C: rdkafka::ClientContext>(admin: &AdminClient<C>, topics: &[&str]) {
    let asked: Vec<_> = topics.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    if asked.is_empty() {
        return;
    }
    let Ok(found) = admin.describe_configs(&asked, &options()).await else { return };
    for (name, config) in topics.iter().zip(found) {
        let Ok(config) = config else { continue };
        let value = |setting| config.get(setting).and_then(|entry| entry.value.as_deref());
        for (setting, wanted) in [
            ("cleanup.policy", "delete"),
            ("retention.ms", "-1"),
            ("unclean.leader.election.enable", "false"),
        ] {
            if let Some(found) = value(setting).filter(|found| *found != wanted) {
                tracing::warn!(
                    topic = name,
                    setting,
                    found,
                    wanted,
                    "the topic is set to lose events; change it with kafka-configs --alter"
                );
            }
        }
    }
}
