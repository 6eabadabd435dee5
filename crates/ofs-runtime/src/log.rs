//! Port: the log. Topics of partitions of records; consumer groups that remember where they are.
//!
//! Defined by one conformance suite in `ofs-engines`; only the outbox courier appends.

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use ofs_events::{EventId, Key, Timestamp, Topic};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Where a record stands. Written `topic/partition@offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The topic.
    pub topic: Topic,
    /// The partition, from 0.
    pub partition: u32,
    /// The offset in the partition, from 0, growing, possibly with gaps.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// A string that is not a [`Position`].
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not a position; write topic/partition@offset, for example {example}/0@17",
    example = Topic::ALL[0]
)]
pub struct NoPosition(String);

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (topic, rest) = text.split_once('/')?;
            let (partition, offset) = rest.split_once('@')?;
            Some(Position {
                topic: topic.parse().ok()?,
                partition: partition.parse().ok()?,
                offset: offset.parse().ok()?,
            })
        };
        parse().ok_or_else(|| NoPosition(text.to_owned()))
    }
}

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A record to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub topic: Topic,
    /// The record key, a [`Key`] as text in everything we write; it picks the partition.
    pub key: Option<Bytes>,
    /// The event in `value`; an engine that can (SQLite) appends each event once.
    pub event_id: Option<EventId>,
    /// UTF-8 headers, `(name, value)`.
    pub headers: Vec<(String, String)>,
    /// The record value.
    pub value: Bytes,
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Where it stands.
    pub at: Position,
    /// When it was appended to the log.
    pub appended_at: Timestamp,
    /// Its key, if it has one.
    pub key: Option<Bytes>,
    /// Its headers; values that are not UTF-8 are left out.
    pub headers: Vec<(String, String)>,
    /// Its value; empty if it has none.
    pub value: Bytes,
}

impl Received {
    /// When its event happened, as the event says; when it was appended, if that is earlier or all that is
    /// known.
    #[must_use]
    pub fn happened_at(&self) -> Timestamp {
        let told = ofs_events::occurred_at(&self.value);
        told.map_or(self.appended_at, |told| told.min(self.appended_at))
    }
}

/// What happened on a subscription.
#[derive(Debug)]
pub enum Polled {
    /// The next records, in order within each partition. Empty only if the subscription is closing.
    Records(Vec<Received>),
    /// These partitions now belong to another member: drop what is held and not committed.
    Revoked(Vec<(Topic, u32)>),
}

/// One member's membership in a consumer group.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for records, at most `max` of them and a batch by weight. Cancel safe: no record is lost if the future is dropped.
    ///
    /// # Errors
    /// [`Error::Unavailable`] may be tried again on the same subscription; all else ends it.
    async fn next(&mut self, max: usize) -> Result<Polled, Error>;

    /// Remembers that the group is done with everything before `offset` in each `(topic, partition, offset)`.
    /// A hint that returns at once: it may be lost, and becomes durable within a second.
    fn ack(&mut self, done: &[(Topic, u32, u64)]);

    /// Makes the acks durable and leaves the group.
    ///
    /// # Errors
    /// If the acks could not be written; the group will see these records again.
    async fn close(self: Box<Self>) -> Result<(), Error>;
}

/// Where one group stands in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: u32,
    /// The next offset the group will be given; none before its first ack (on Kafka: before it came).
    pub position: Option<u64>,
    /// The offset the next record will get.
    pub end: u64,
    /// Records between the two.
    pub events: u64,
    /// When the oldest of them was appended.
    pub oldest: Option<Timestamp>,
    /// When the event in it happened, which may have waited long to be appended.
    pub happened: Option<Timestamp>,
    /// Whether a subscription of this process reads the partition.
    pub assigned: bool,
    /// No broker leads the partition: nothing can be read there, nor written, and `end` and `events` are
    /// not known, but 0. Never so where the engine has no brokers.
    pub leaderless: bool,
}

/// One partition's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The partition.
    pub partition: u32,
    /// The lowest offset still kept.
    pub first: u64,
    /// The offset the next record will get.
    pub end: u64,
}

/// Where [`Log::reset`] moves a group to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The oldest record kept.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// The first record appended at or after this time.
    Time(Timestamp),
}

/// How topics are made.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Partitions of each topic. An engine with one partition (SQLite) ignores it.
    pub partitions: u32,
    /// Copies of each partition, where the engine has brokers; 0 for three where there are three
    /// brokers or more, and for one where there is one.
    pub replication: u16,
}

/// What became of one of several messages, by its place among them.
pub type Appended = (usize, Result<Position, Error>);

/// The log.
#[async_trait]
pub trait Log: Send + Sync {
    /// Appends `messages`, one answer each, in order. Within a partition they stand in the order given.
    /// `Ok` means durable. An event id that is there already answers with its position (SQLite) or may
    /// be appended again (Kafka); readers know events by id.
    async fn append(&self, messages: Vec<Message>) -> Vec<Result<Position, Error>>;

    /// As [`Log::append`], but each answer comes as soon as it is known, in any order.
    fn append_each(&self, messages: Vec<Message>) -> BoxStream<'_, Appended> {
        let answers =
            async move { stream::iter(self.append(messages).await.into_iter().enumerate()) };
        stream::once(answers).flatten().boxed()
    }

    /// Whether there is any point in appending messages with this key: not while what goes where they
    /// go fails, until it is time to try again.
    fn takes(&self, _topic: Topic, _key: Key) -> bool {
        true
    }

    /// Joins `group` for `topics`, from where the group is, else from the oldest record.
    ///
    /// # Errors
    /// [`Error::Lost`] if a topic is not what the group knew (gone, recreated, repartitioned, truncated).
    async fn subscribe(
        &self,
        group: &str,
        topics: &[Topic],
    ) -> Result<Box<dyn Subscription>, Error>;

    /// Records of one partition from `offset` on, at most `max` and a batch by weight, without a group.
    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        max: usize,
    ) -> Result<Vec<Received>, Error>;

    /// The bounds of every partition of `topic`.
    async fn bounds(&self, topic: Topic) -> Result<Vec<Bounds>, Error>;

    /// The same of those that can be read now, and the partitions that cannot, because no broker leads
    /// them: none of them where the engine has no brokers.
    async fn readable(&self, topic: Topic) -> Result<(Vec<Bounds>, Vec<u32>), Error> {
        Ok((self.bounds(topic).await?, Vec::new()))
    }

    /// Where `group` stands on `topics`.
    async fn lag(&self, group: &str, topics: &[Topic]) -> Result<Vec<Lag>, Error>;

    /// Moves `group` on `topics`. The group must have no members.
    ///
    /// # Errors
    /// [`Error::Busy`] if it has.
    async fn reset(&self, group: &str, topics: &[Topic], to: Reset) -> Result<(), Error>;

    /// All groups that have a position on one of our topics, by name.
    async fn groups(&self) -> Result<Vec<String>, Error>;

    /// Forgets `group` and its positions. It must have no members.
    ///
    /// # Errors
    /// [`Error::Busy`] if it has.
    async fn forget(&self, group: &str) -> Result<(), Error>;

    /// How far the store was, as it was noted here; none on an engine that has no place for it.
    async fn noted_store(&self) -> Result<Option<StoreMark>, Error> {
        Ok(None)
    }

    /// Notes how far the store is.
    async fn note_store(&self, _: StoreMark) -> Result<(), Error> {
        Ok(())
    }

    /// What is known to be damaged, for people: then nothing is appended any more. None on an engine
    /// that answers for its own data.
    fn damage(&self) -> Option<String> {
        None
    }

    /// Its name and version, for people; none while they cannot be told.
    async fn engine(&self) -> Option<String> {
        None
    }

    /// Makes the topics; does nothing where they are as asked.
    ///
    /// # Errors
    /// [`Error::Unprepared`] if they are there and are others, or cannot be made so.
    async fn prepare(&self, layout: Layout) -> Result<(), Error>;

    /// Drops what was appended longer ago than `kept`, where that is not the engine's own business; but
    /// nothing that one of `readers`, or another group the log knows, has still to read.
    async fn tidy(&self, kept: Duration, readers: &[Reader]) -> Result<(), Error>;
}

/// How far the store was when the log last saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreMark {
    /// The highest id that its outbox had given.
    pub newest: u64,
    /// How many ids the store has lost.
    pub missing: u64,
}

/// A consumer group that will read these topics, whether or not it has begun to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The group.
    pub group: String,
    /// What it reads.
    pub topics: &'static [Topic],
}

/// Why the log did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached or is failing; try again.
    #[error("cannot reach the log: {0}")]
    Unavailable(String),
    /// Its disk is full; try again when there is room.
    #[error("cannot append to the log: the disk is full")]
    Full,
    /// It refuses this record whatever happens.
    #[error("cannot append to the log: {0}")]
    Refused(String),
    /// The group has members.
    #[error("group {0} has members; stop its services first")]
    Busy(String),
    /// The topics are not as they must be.
    #[error("cannot use the log: {0}")]
    Unprepared(String),
    /// What the group would read is gone; an operator has to decide.
    #[error("cannot read the log: {0}")]
    Lost(String),
}
