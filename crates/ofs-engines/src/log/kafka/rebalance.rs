//! What happens when partitions come and go. Runs on the member's thread, inside its polling.

use super::brake::Brake;
use super::client::{Cluster, Talk};
use super::hand::Hand;
use super::member::{Client, keep};
use super::observer::Observer;
use super::start::Start;
use ofs_events::Topic;
use ofs_runtime::log::Error;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::sync::{Arc, Mutex, PoisonError};

/// The context of a member's client.
pub(super) struct Rebalancer {
    pub talk: Talk,
    cluster: Arc<Cluster>,
    group: String,
    topics: Vec<Topic>,
    hand: Arc<Hand>,
    observer: Observer,
    pub brake: Brake,
    failure: Mutex<Option<Error>>,
}

impl Rebalancer {
    pub fn new(
        talk: Talk,
        cluster: Arc<Cluster>,
        (group, topics): (String, Vec<Topic>),
        hand: Arc<Hand>,
        observer: Observer,
    ) -> Self {
        let (brake, failure) = (Brake::default(), Mutex::new(None));
        Self { talk, cluster, group, topics, hand, observer, brake, failure }
    }

    /// Why this client cannot go on.
    pub fn failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fail(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Begins each partition where the group is. If that cannot be, the member takes none, and
    /// leaves the group right after.
    fn assigned(&self, client: &Client, list: &TopicPartitionList) -> KafkaResult<()> {
        let places = self.cluster.names.places(list);
        let starts = self.observer.look_here(|view| {
            view.starts(&self.group, &self.topics, |place| places.contains(place))
        });
        let starts: Vec<Start> = starts.unwrap_or_else(|error| {
            self.fail(error);
            Vec::new()
        });
        tracing::debug!(group = self.group, ?starts, "partitions assigned");
        let from = starts.iter().map(|start| match start.unseen {
            true => (start.place, Offset::Beginning),
            false => (start.place, Offset::Offset(start.offset.cast_signed())),
        });
        let from = self.cluster.names.list(from)?;
        self.hand.assign(&starts);
        match client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => client.incremental_assign(&from),
            _ => client.assign(&from),
        }
    }

    /// Commits what the worker is done with, unless the partitions are somebody else's already.
    fn revoked(&self, client: &Client, list: &TopicPartitionList) -> KafkaResult<()> {
        let places = self.cluster.names.places(list);
        let lost = client.assignment_lost();
        tracing::debug!(group = self.group, ?places, lost, "partitions revoked");
        let unkept = self.hand.revoke(&places);
        if !lost && let Err(error) = keep(&self.cluster, client, &unkept) {
            tracing::warn!(group = self.group, %error, "cannot commit what is given up");
        }
        self.brake.release(&self.cluster.names, client, |place| places.contains(place));
        match client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => client.incremental_unassign(list),
            _ => client.unassign(),
        }
    }
}

impl ConsumerContext for Rebalancer {
    fn rebalance(&self, client: &Client, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let done = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assigned(client, list),
            _ => self.revoked(client, list),
        };
        if let Err(error) = done {
            self.fail(Error::Unavailable(error.to_string()));
        }
    }
}

impl ClientContext for Rebalancer {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = Talk::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.talk.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.talk.error(error, reason);
    }

    fn generate_oauth_token(
        &self,
        config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.talk.generate_oauth_token(config)
    }
}
