//! The thread of one member of a group: fetches records, commits what is acknowledged, takes part
//! in the group. All that may block on the cluster for the group's sake happens here.

use super::client::{Cluster, unavailable};
use super::hand::{Commit, Hand};
use super::observer::Observer;
use super::rebalance::Rebalancer;
use super::record::received;
use super::watch::Watch;
use ofs_events::Topic;
use ofs_runtime::log::Error;
use ofs_runtime::task;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long the thread waits for the cluster or the worker before it looks around.
const TICK: Duration = Duration::from_millis(50);
/// The most records taken before it looks around.
const BURST: usize = 512;
/// How long the worker may have enough before fetching stops: going on with it takes up to a second.
const STALLED: Duration = Duration::from_secs(1);
/// How long an acknowledgement waits for others before it is committed.
const COMMIT_DELAY: Duration = Duration::from_millis(200);
/// How long to wait before another client is tried.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) type Client = BaseConsumer<Rebalancer>;

/// One member of a group.
pub(super) struct Member {
    pub cluster: Arc<Cluster>,
    pub group: String,
    pub topics: Vec<Topic>,
    pub hand: Arc<Hand>,
    pub observer: Observer,
}

/// What a thread tells the one who started it.
pub(super) struct Reports {
    /// Whether the group may go on where it is; the member joins it then.
    pub begun: oneshot::Sender<Result<(), Error>>,
    /// The end: everything acknowledged is kept, or why not.
    pub ended: oneshot::Sender<Result<(), Error>>,
}

impl Member {
    /// Starts the thread.
    pub fn start(self, reports: Reports) -> std::io::Result<()> {
        let name = format!("kafka-{}", self.group);
        let body = {
            let name = name.clone();
            move || task::guard_thread(&name, || self.run(reports))
        };
        std::thread::Builder::new().name(name).spawn(body).map(|_| ())
    }

    fn run(self, reports: Reports) {
        let last_words = LastWords(Arc::clone(&self.hand));
        let begun =
            self.observer.look_here(|view| view.starts(&self.group, &self.topics, |_| true));
        let fine = begun.is_ok();
        if reports.begun.send(begun.map(|_| ())).is_err() || !fine {
            return;
        }
        let result = self.take_part();
        if let Err(error) = &result {
            self.hand.end(error.clone());
        }
        drop(last_words);
        // Nobody may be waiting for it.
        let _ = reports.ended.send(result);
    }

    /// Goes on with a new client whenever one comes to grief.
    fn take_part(&self) -> Result<(), Error> {
        loop {
            match self.session() {
                Err(error) if !self.hand.is_stopping() && !matches!(error, Error::Lost(_)) => {
                    tracing::warn!(group = self.group, %error, "joining the group again");
                    self.hand.pause(PAUSE);
                }
                result => return result,
            }
        }
    }

    fn session(&self) -> Result<(), Error> {
        let rebalancer = Rebalancer::new(
            self.cluster.talk(),
            Arc::clone(&self.cluster),
            (self.group.clone(), self.topics.clone()),
            Arc::clone(&self.hand),
            self.observer.clone(),
        );
        let config = self.cluster.member(&self.group);
        let client: Client =
            config.create_with_context(rebalancer).map_err(|error| unavailable(&error))?;
        let served = self.serve(&client);
        if matches!(served, Err(Error::Lost(_))) {
            // A topic made anew has forgotten where the group was, and with that the doubt.
            self.hand.doubt();
        }
        let kept = self.keep(&client);
        // Leaves the group, which revokes what is still owned.
        drop(client);
        self.hand.revoke(&self.hand.places());
        served.and(kept)
    }

    fn serve(&self, client: &Client) -> Result<(), Error> {
        let topics: Vec<&str> =
            self.topics.iter().map(|topic| self.cluster.names.topic(*topic)).collect();
        client.subscribe(&topics).map_err(|error| unavailable(&error))?;
        let (mut committed, mut roomy) = (Instant::now(), Instant::now());
        let brake = &client.context().brake;
        let mut watch = Watch::new(self, client);
        while !self.hand.is_stopping() {
            if committed.elapsed() >= COMMIT_DELAY {
                if let Err(error) = self.keep(client) {
                    tracing::debug!(group = self.group, %error, "cannot commit, will try again");
                }
                if client.context().talk.is_outdated() {
                    return Err(Error::Unavailable("there is another login now".to_owned()));
                }
                committed = Instant::now();
            }
            if let Some(error) = client.context().failure() {
                return Err(error);
            }
            if self.hand.has_room(TICK) {
                roomy = Instant::now();
                brake.release(&self.cluster.names, client, |_| true);
                watch.look()?;
                self.take(client, BURST, TICK)?;
                continue;
            }
            watch.rest();
            if roomy.elapsed() >= STALLED {
                brake.hold(&self.cluster.names, client, self.hand.places().into_iter());
            }
            // Whatever the worker does, the group hears of this member.
            self.take(client, 1, Duration::ZERO)?;
        }
        Ok(())
    }

    /// Takes what has come, or comes within `wait`; at most `max` records.
    fn take(&self, client: &Client, max: usize, mut wait: Duration) -> Result<(), Error> {
        for _ in 0..max {
            match client.poll(wait) {
                Some(Ok(message)) => {
                    if let Some(record) = received(&self.cluster.names, &message) {
                        self.hand.push(record);
                    }
                }
                Some(Err(error)) => self.consider(&error)?,
                None => break,
            }
            wait = Duration::ZERO;
        }
        self.hand.tell();
        Ok(())
    }

    /// Most errors pass, or show in the client's log; these do not.
    fn consider(&self, error: &KafkaError) -> Result<(), Error> {
        use RDKafkaErrorCode as Code;
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return Err(unavailable(error));
        }
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                let standings = self.hand.standings();
                self.observer.look_here(|view| view.check(&self.group, &standings))?;
                Err(unavailable(error))
            }
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                self.observer.look_here(|view| view.starts(&self.group, &self.topics, |_| true))?;
                Err(unavailable(error))
            }
            Some(
                Code::InconsistentGroupProtocol
                | Code::GroupAuthorizationFailed
                | Code::TopicAuthorizationFailed,
            ) => Err(unavailable(error)),
            _ => {
                tracing::debug!(group = self.group, %error, "fetching");
                Ok(())
            }
        }
    }

    /// Commits what is acknowledged. Waits for the answer, since the library has none for those
    /// who do not; the worker has enough in hand meanwhile.
    fn keep(&self, client: &Client) -> Result<(), Error> {
        let unkept = self.hand.unkept();
        keep(&self.cluster, client, &unkept).map_err(|error| unavailable(&error))?;
        self.hand.settle(&unkept);
        Ok(())
    }
}

/// Commits, and waits until that is kept.
pub(super) fn keep(
    cluster: &Cluster,
    client: &Client,
    commits: &[Commit],
) -> Result<(), KafkaError> {
    if commits.is_empty() {
        return Ok(());
    }
    client.commit(&cluster.names.commit(commits)?, CommitMode::Sync)
}

/// Ends the subscription with the thread, however that ends.
struct LastWords(Arc<Hand>);

impl Drop for LastWords {
    fn drop(&mut self) {
        self.0.end(Error::Unavailable("the subscription has ended".to_owned()));
    }
}
