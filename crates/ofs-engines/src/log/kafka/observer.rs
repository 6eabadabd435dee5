//! A client that looks without taking part: bounds, where a group is, single records. One per
//! group, because the library tells a group's position only to a client that bears its name.
//!
//! Asks; what the answers mean is decided elsewhere.

use super::Place;
use super::client::{ClientError, Cluster, PATIENCE, Talk, reason, retire, unavailable};
use super::note::Note;
use ofs_events::{Timestamp, Topic};
use ofs_runtime::log::{Bounds, Error};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// How old the number of partitions may be where an old one does no harm.
pub(super) const FRESH: Duration = Duration::from_secs(5);

/// How long a question waits before it is asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// Lines of its log that a client is relieved of with each look.
const LINES: usize = 100;

impl ConsumerContext for Talk {}

/// Where a group is in a partition, and what it noted there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Committed {
    pub offset: u64,
    /// None if another tool wrote the offset.
    pub note: Option<Note>,
}

/// Looks at the cluster in the name of a group; connects when it is first needed.
#[derive(Clone)]
pub(super) struct Observer {
    cluster: Arc<Cluster>,
    group: String,
    view: Arc<Mutex<Option<View>>>,
}

impl Observer {
    pub fn new(cluster: Arc<Cluster>, group: &str) -> Self {
        Self { cluster, group: group.to_owned(), view: Arc::default() }
    }

    /// One that looks with `view`.
    pub fn around(view: View, group: &str) -> Self {
        let cluster = Arc::clone(&view.cluster);
        Self { cluster, group: group.to_owned(), view: Arc::new(Mutex::new(Some(view))) }
    }

    /// Runs `look` where it may block. One look at a time; whoever waits for another can be dropped.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut View) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let guard = Arc::clone(&self.view).lock_owned().await;
        let this = self.clone();
        let looked = tokio::task::spawn_blocking(move || this.with(guard, look));
        looked.await.map_err(|error| Error::Unavailable(error.to_string()))?
    }

    /// The same for a thread that is not part of the runtime.
    pub fn look_here<T>(
        &self,
        look: impl FnOnce(&mut View) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let guard = Arc::clone(&self.view).blocking_lock_owned();
        self.with(guard, look)
    }

    fn with<T>(
        &self,
        mut guard: OwnedMutexGuard<Option<View>>,
        look: impl FnOnce(&mut View) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let view = match guard.take() {
            Some(view) => view,
            None => {
                View::new(Arc::clone(&self.cluster), &self.group).map_err(|e| unavailable(&e))?
            }
        };
        let view = guard.insert(view);
        view.listen();
        let looked = look(view);
        if matches!(looked, Err(Error::Unavailable(_))) {
            // It may be a client without brokers, see `Cluster`.
            guard.take();
        }
        looked
    }
}

/// What is known of a topic.
struct Known {
    partitions: u32,
    /// Those that no broker leads at present: nothing can be read there, nor written.
    leaderless: BTreeSet<u32>,
    asked: Instant,
}

/// The client of an [`Observer`]. Its functions block, at most [`PATIENCE`] for each question.
pub(super) struct View {
    pub(super) cluster: Arc<Cluster>,
    /// Taken only when this is dropped.
    consumer: Option<BaseConsumer<Talk>>,
    topics: HashMap<Topic, Known>,
    /// What [`View::unread`] was last asked for and answered, by place.
    unread: HashMap<Place, (u64, Times)>,
}

/// Of a record.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub appended_at: Timestamp,
    pub happened_at: Timestamp,
}

impl Drop for View {
    fn drop(&mut self) {
        retire(self.consumer.take());
    }
}

impl View {
    pub fn new(cluster: Arc<Cluster>, group: &str) -> Result<Self, KafkaError> {
        let consumer: BaseConsumer<Talk> =
            cluster.observer(group).create_with_context(cluster.talk())?;
        let began = Instant::now();
        while consumer.context().waits_for_token() && began.elapsed() < PATIENCE {
            consumer.poll(Duration::from_millis(10));
        }
        let (topics, unread) = (HashMap::new(), HashMap::new());
        Ok(Self { cluster, consumer: Some(consumer), topics, unread })
    }

    pub(super) fn consumer(&self) -> Result<&BaseConsumer<Talk>, Error> {
        self.consumer.as_ref().ok_or_else(|| Error::Unavailable("the log is closed".to_owned()))
    }

    /// Takes what the client has to say: its log would pile up otherwise. A poll that gives
    /// nothing may have taken a line of the log, so there is no telling when that was all.
    fn listen(&self) {
        if let Some(consumer) = &self.consumer {
            for _ in 0..LINES {
                consumer.poll(Duration::ZERO);
            }
        }
    }

    /// What went wrong last with the connection.
    pub fn trouble(&self) -> Option<ClientError> {
        self.listen();
        self.consumer.as_ref().and_then(|consumer| consumer.context().trouble())
    }

    /// What the cluster answers to `question`, which is told how long it may wait. While brokers
    /// change places it is asked again, by a client that has learned of that in the meantime.
    pub fn ask<T>(
        &self,
        question: impl Fn(&BaseConsumer<Talk>, Duration) -> Result<T, KafkaError>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            match question(self.consumer()?, wait) {
                Ok(answer) => return Ok(answer),
                Err(error) if wait > PAUSE && is_moving(&error) => std::thread::sleep(PAUSE),
                Err(error) => return Err(unavailable(&error)),
            }
        }
    }

    /// How many brokers there are.
    pub fn brokers(&mut self) -> Result<usize, Error> {
        let name = self.cluster.names.topic(Topic::ALL[0]);
        let metadata = self.ask(|consumer, wait| consumer.fetch_metadata(Some(name), wait))?;
        Ok(metadata.brokers().len())
    }

    /// The partitions of `topic`; none if there is no such topic.
    pub fn partitions(&mut self, topic: Topic) -> Result<Option<u32>, Error> {
        let name = self.cluster.names.topic(topic);
        let metadata = self.ask(|consumer, wait| consumer.fetch_metadata(Some(name), wait))?;
        let found = metadata.topics().iter().find(|found| found.name() == name);
        match found.and_then(|found| found.error()).map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Ok(None);
            }
            Some(error @ RDKafkaErrorCode::TopicAuthorizationFailed) => {
                return Err(Error::Unavailable(format!(
                    "{name}: {error}; `ofs grants kafka` prints what has to be allowed"
                )));
            }
            Some(error) => return Err(Error::Unavailable(format!("{name}: {error}"))),
            None => {}
        }
        let found = found.map_or(&[][..], MetadataTopic::partitions);
        let partitions = u32::try_from(found.len()).ok().filter(|count| *count > 0);
        let leaderless = found.iter().filter(|partition| partition.leader() < 0);
        let leaderless = leaderless.map(|partition| partition.id().cast_unsigned()).collect();
        self.topics.remove(&topic);
        let known = |partitions| Known { partitions, leaderless, asked: Instant::now() };
        self.topics.extend(partitions.map(known).map(|known| (topic, known)));
        Ok(partitions)
    }

    /// Every partition of `topics`, as they were at most `age` ago.
    ///
    /// # Errors
    /// [`Error::Lost`] if one is not there.
    pub fn places(&mut self, topics: &[Topic], age: Duration) -> Result<Vec<Place>, Error> {
        let mut places = Vec::new();
        for topic in topics.iter().copied() {
            let fresh = self.topics.get(&topic).is_some_and(|known| known.asked.elapsed() < age);
            if !fresh && self.partitions(topic)?.is_none() {
                let name = self.cluster.names.topic(topic);
                return Err(Error::Lost(format!(
                    "topic {name} does not exist; `ofs migrate` makes the topics"
                )));
            }
            places.extend((0..self.count(topic)).map(|partition| (topic, partition)));
        }
        Ok(places)
    }

    /// How many partitions `topic` had when it was last asked for.
    pub fn count(&self, topic: Topic) -> u32 {
        self.topics.get(&topic).map_or(0, |known| known.partitions)
    }

    /// Whether some broker led the partition when its topic was last asked for.
    pub fn is_led(&self, (topic, partition): &Place) -> bool {
        self.topics.get(topic).is_none_or(|known| !known.leaderless.contains(partition))
    }

    /// Those of `places` that can be asked for their bounds and their records.
    pub fn led(&self, places: &[Place]) -> Vec<Place> {
        places.iter().filter(|place| self.is_led(place)).copied().collect()
    }

    /// The lowest offsets kept. Like all that is asked of partitions, an error if one of them has no
    /// leader.
    pub fn firsts(&self, places: &[Place]) -> Result<HashMap<Place, u64>, Error> {
        self.offsets(places, Offset::Beginning)
    }

    /// The offsets the next records get.
    pub fn ends(&self, places: &[Place]) -> Result<HashMap<Place, u64>, Error> {
        self.offsets(places, Offset::End)
    }

    /// Both, by partition.
    pub fn bounds(&self, places: &[Place]) -> Result<Vec<Bounds>, Error> {
        let (firsts, ends) = (self.firsts(places)?, self.ends(places)?);
        let bounds = places.iter().map(|place| {
            let first = firsts.get(place).copied().unwrap_or(0);
            let end = ends.get(place).copied().unwrap_or(first);
            Bounds { partition: place.1, first, end }
        });
        Ok(bounds.collect())
    }

    /// The first offsets whose records have the time `millis` or a later one; none where none has.
    pub fn since(&self, places: &[Place], millis: i64) -> Result<HashMap<Place, u64>, Error> {
        self.offsets(places, Offset::Offset(millis.max(0)))
    }

    /// One question for all partitions of a broker. `what` is a time, or an end of the partition.
    fn offsets(&self, places: &[Place], what: Offset) -> Result<HashMap<Place, u64>, Error> {
        if places.is_empty() {
            return Ok(HashMap::new());
        }
        if let Some((topic, partition)) = places.iter().find(|place| !self.is_led(place)) {
            let name = self.cluster.names.topic(*topic);
            return Err(Error::Unavailable(format!("{name}/{partition} has no leader")));
        }
        let asked = self.list(places.iter().map(|place| (*place, what)))?;
        let found = self.ask(|consumer, wait| {
            consumer.offsets_for_times(asked.clone(), wait).and_then(without_errors)
        })?;
        let mut offsets = HashMap::with_capacity(places.len());
        for element in found.elements() {
            if let Some(place) = self.cluster.names.place(&element)
                && let Offset::Offset(offset) = element.offset()
            {
                offsets.insert(place, offset.max(0).unsigned_abs());
            }
        }
        Ok(offsets)
    }

    /// The times of the first records at or behind `next`. Fetches only where a group has moved.
    pub fn unread(&mut self, next: HashMap<Place, u64>) -> Result<HashMap<Place, Times>, Error> {
        let known = |(place, offset): &(Place, u64)| {
            self.unread.get(place).is_some_and(|(asked, _)| asked == offset)
        };
        let unknown: HashMap<_, _> = next.into_iter().filter(|next| !known(next)).collect();
        for (place, record) in self.at(unknown.clone())? {
            let (appended_at, happened_at) = (record.appended_at, record.happened_at());
            let times = Times { appended_at, happened_at };
            self.unread.extend(unknown.get(&place).map(|next| (place, (*next, times))));
        }
        Ok(self.unread.iter().map(|(place, (_, times))| (*place, *times)).collect())
    }

    /// Where the group is.
    pub fn committed(&self, places: &[Place]) -> Result<HashMap<Place, Committed>, Error> {
        let asked = self.list(places.iter().map(|place| (*place, Offset::Invalid)))?;
        let found = self.ask(|consumer, wait| {
            consumer.committed_offsets(asked.clone(), wait).and_then(without_errors)
        })?;
        let mut committed = HashMap::with_capacity(places.len());
        for element in found.elements() {
            if let Some(place) = self.cluster.names.place(&element)
                && let Offset::Offset(offset) = element.offset()
            {
                let note = element.metadata().parse().ok();
                let offset = offset.max(0).unsigned_abs();
                committed.insert(place, Committed { offset, note });
            }
        }
        Ok(committed)
    }

    /// Moves the group, which must have no members: the cluster refuses what a stranger says
    /// about a group that has. Answers whether it was done.
    pub fn commit(&self, to: &[(Place, u64, Note)]) -> Result<bool, Error> {
        let offsets = self.cluster.names.commit(to).map_err(|error| unavailable(&error))?;
        match self.consumer()?.commit(&offsets, CommitMode::Sync) {
            Ok(()) => Ok(true),
            Err(KafkaError::ConsumerCommit(
                RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress,
            )) => Ok(false),
            Err(error) => Err(unavailable(&error)),
        }
    }

    pub(super) fn list(
        &self,
        places: impl IntoIterator<Item = (Place, Offset)>,
    ) -> Result<TopicPartitionList, Error> {
        let list = self.cluster.names.list(places);
        list.map_err(|error| Error::Unavailable(reason(&error)))
    }
}

/// Whether it was asked of a broker that is gone, or does not lead here any more, or not yet.
fn is_moving(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::DestroyBroker
                | Code::BrokerTransportFailure
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::OffsetNotAvailable
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
        )
    )
}

/// `found`, unless there is an error in it.
pub(super) fn without_errors(found: TopicPartitionList) -> Result<TopicPartitionList, KafkaError> {
    found.elements().iter().try_for_each(|element| element.error())?;
    Ok(found)
}
