//! Port: the store. Versioned records, and everything that changes with them in one transaction.
//!
//! [`Store::commit`] is the only way to write state; the rest reads, or arbitrates who works on what.
//! What reads many answers within a [`Budget`](crate::budget::Budget) of a batch: it may end before `max`.

mod deadline;
mod depth;
mod outgoing;
mod parking;
mod record;

pub use deadline::{Deadline, Due, OVERDUE_LOOK, Overdue};
pub use depth::{Depth, Depths, Oldest, once_more};
pub use outgoing::Outgoing;
pub use parking::{Claim, PARKED_LOOK, Parked, ParkedFilter, ParkedPage, ParkedState, Parking};
pub use record::Record;

use crate::log::{Message, Position};
use async_trait::async_trait;
use ofs_events::{EventId, Key, Timestamp, Topic};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use uuid::Uuid;

/// Shards of the outbox: the unit in which couriers of several processes share the work. A constant,
/// because a row's shard is stored with it.
pub const SHARDS: u16 = 8;

/// The shard a key's outgoing events travel in.
#[must_use]
pub fn shard_of(key: Key) -> u16 {
    let [.., high, low] = *key.0.as_bytes();
    u16::from_be_bytes([high, low]) % SHARDS
}

/// An event in the inbox: known by its owner, key and id; `day` only keeps inserts local.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// UTC day of the event's own time, in days since 1970.
    pub day: i32,
    /// The key.
    pub key: Key,
    /// The event.
    pub event_id: EventId,
}

/// What was owed and is now dealt with. Committing it fails as [`Error::Stale`] if it is not owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The outbox row with this id is in the log.
    Sent(u64),
    /// The index durably has this version (or a newer one); settles what is owed up to it.
    Indexed {
        /// The key.
        key: Key,
        /// The version pushed.
        version: u64,
    },
    /// The index refuses this version, for this reason; settles as [`Settled::Indexed`] does, and is
    /// kept as [`Refused`] until a version is indexed.
    Refused {
        /// The key.
        key: Key,
        /// The version pushed.
        version: u64,
        /// Why, for people.
        reason: String,
    },
    /// The parked event with this id was handled.
    Resolved(u64),
    /// The parked event with this id was given up, for this reason.
    Discarded(u64, String),
    /// The parked event with this id failed again.
    Deferred {
        /// Its number.
        id: u64,
        /// Why this time.
        reason: String,
        /// When to retry, from now on the store's clock; none waits for an operator.
        retry_in: Option<Duration>,
    },
    /// This deadline, due at this time, was handed over. It is dropped, or stays as overdue.
    Passed {
        /// What it is about.
        key: Key,
        /// Which one.
        name: String,
        /// When it was due; [`Error::Stale`] if it was set again or dropped meanwhile.
        due_at: Timestamp,
        /// When it is handed over again, from now on the store's clock; none drops it.
        again_in: Option<Duration>,
    },
}

impl Settled {
    /// Whether it only notes that something has arrived, which arrives again without that note.
    pub(crate) const fn is_delivered(&self) -> bool {
        matches!(self, Self::Sent(_) | Self::Indexed { .. } | Self::Refused { .. })
    }
}

/// A request's idempotency key and the answer it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// What the client sent.
    pub key: String,
    /// Stands for the request's content; the same key with another one is an error of the client's.
    pub fingerprint: Uuid,
    /// The answer, as the route wants it back.
    pub answer: String,
}

/// A record that must still have this version, though it is not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Whose record.
    pub owner: String,
    /// Its key.
    pub key: Key,
    /// Its version; 0 if there must be none.
    pub version: u64,
}

/// Everything that changes, as one value: all of it becomes durable, or nothing does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The service; every row belongs to it.
    pub owner: String,
    /// Events now handled or parked. Conflict: already there.
    pub seen: Vec<Seen>,
    /// Conflict: the stored version is not `loaded`.
    pub records: Vec<Record>,
    /// Versions this commit depends on.
    pub guards: Vec<Guard>,
    /// Events to be sent, in order within a key; each key has a record in this commit.
    pub outgoing: Vec<Message>,
    /// Events to be parked. Conflict: the position is already parked.
    pub parked: Vec<Parking>,
    /// Deliveries done.
    pub settled: Vec<Settled>,
    /// Record versions that the index must get; a lower version owed before is replaced.
    pub index: Vec<(Key, u64)>,
    /// When the first of the events happened that `index` brings there, by this process's clock; none: now.
    pub since: Option<Timestamp>,
    /// Record versions that the index gets once more, behind what has changed.
    pub again: Vec<(Key, u64)>,
    /// Deadlines set and dropped, at most one of each key and name; after what is settled.
    pub deadlines: Vec<Deadline>,
    /// The request that asked for all this. Conflict: [`Error::KeyTaken`].
    pub once: Option<Once>,
}

impl Commit {
    /// Whether nothing waits for it to become durable: then a store may commit it along with the next one.
    #[must_use]
    pub fn can_wait(&self) -> bool {
        let Self {
            seen, records, outgoing, parked, settled, index, again, deadlines, once, ..
        } = self;
        let changes = [seen.len(), records.len(), outgoing.len(), parked.len(), index.len()];
        changes.iter().sum::<usize>() + again.len() + deadlines.len() == 0
            && once.is_none()
            && settled.iter().all(Settled::is_delivered)
    }

    /// Whether a client waits for it: it follows from no event, no delivery and no deadline, but from a
    /// command.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        let Self { seen, parked, settled, again, .. } = self;
        seen.len() + parked.len() + settled.len() + again.len() == 0 && !self.records.is_empty()
    }

    /// Everything that changes in this one and in `other`, which is about other keys.
    pub(crate) fn join(&mut self, other: Commit) {
        self.seen.extend(other.seen);
        self.records.extend(other.records);
        self.guards.extend(other.guards);
        self.outgoing.extend(other.outgoing);
        self.parked.extend(other.parked);
        self.settled.extend(other.settled);
        self.index.extend(other.index);
        self.since = self.since.into_iter().chain(other.since).min();
        self.again.extend(other.again);
        self.deadlines.extend(other.deadlines);
        self.once = self.once.take().or(other.once);
    }
}

/// What a batch needs to know before it is decided.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The service.
    pub owner: String,
    /// Records to load.
    pub keys: Vec<Key>,
    /// Events to look up in the inbox.
    pub events: Vec<Seen>,
    /// Positions to look up among the parked, whatever their state.
    pub positions: Vec<Position>,
    /// Idempotency key to look up.
    pub once: Option<String>,
}

/// The answer to [`Wanted`], from one moment.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The records there are, as far as they weigh no more than a batch does; at least one.
    pub records: HashMap<Key, Record>,
    /// Keys whose records were left out for that: to be asked for again.
    pub left: HashSet<Key>,
    /// Which of the events are in the inbox.
    pub seen: HashSet<Seen>,
    /// Topics and keys (of those wanted) with a parked event still open.
    pub queues: HashSet<(Topic, Key)>,
    /// Which of the positions were ever parked.
    pub parked: HashSet<Position>,
    /// The idempotency key, if it is taken.
    pub once: Option<Once>,
}

/// A record version that the index refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The key.
    pub key: Key,
    /// The version refused last.
    pub version: u64,
    /// Why, for people.
    pub reason: String,
    /// Since when the index refuses the key's document.
    pub since: Timestamp,
}

/// How far one partition of the log was when the store last saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: u32,
    /// The offset behind the last record seen.
    pub next: u64,
    /// How many records the partition has lost.
    pub missing: u64,
}

/// Retention of what is only kept for a while.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Days the inbox remembers an event, by the event's own day.
    pub inbox_days: u16,
    /// Hours an idempotency key is kept.
    pub once_hours: u16,
    /// Days a closed parked event stays visible.
    pub parked_days: u16,
}

/// The store.
#[async_trait]
pub trait Store: Send + Sync {
    /// The id drawn when the store was made; log and index carry the same one.
    fn instance(&self) -> Uuid;

    /// What is known to be damaged, for people: then nothing is written any more. None on an engine
    /// that answers for its own data.
    fn damage(&self) -> Option<String> {
        None
    }

    /// Its name and version, for people; none while they cannot be told.
    async fn engine(&self) -> Option<String> {
        None
    }

    /// Reads, from one moment.
    async fn load(&self, wanted: &Wanted) -> Result<Loaded, Error>;

    /// Writes all of `commit` durably, or nothing.
    async fn commit(&self, commit: Commit) -> Result<(), Error>;

    /// Outbox rows of `owner` in `shards` whose id is `from` or higher, by ascending id and without a
    /// gap, at most `max`: only the lowest row of each key, and none of the keys in `skip`. Empty only if
    /// there is none.
    async fn outbox(
        &self,
        owner: &str,
        shards: &[u16],
        skip: &[Key],
        from: u64,
        max: usize,
    ) -> Result<Vec<Outgoing>, Error>;

    /// Records of `owner` owed to the index, at most `max`, the current record of each: one half those
    /// owed for longest, one half the newest, so that a long backlog does not hold up what happens now.
    /// What the index gets once more is the newest, and leaves the first half to what has changed.
    async fn unindexed(&self, owner: &str, skip: &[Key], max: usize) -> Result<Vec<Record>, Error>;

    /// Records of `owner` that the index refuses, by ascending key, after `after`, at most `max`.
    async fn refused(
        &self,
        owner: &str,
        after: Option<Key>,
        max: usize,
    ) -> Result<Vec<Refused>, Error>;

    /// Heads of `owner`'s queues that are due, claimed for `hold` on the store's clock, at most `max`.
    async fn due(&self, owner: &str, hold: Duration, max: usize) -> Result<Vec<Parked>, Error>;

    /// Claims one parked event for `hold`, due or not.
    async fn claim(&self, id: u64, hold: Duration) -> Result<Claim, Error>;

    /// Parked events by ascending id, at most `max`, among the next [`PARKED_LOOK`].
    async fn parked(&self, filter: &ParkedFilter, max: usize) -> Result<ParkedPage, Error>;

    /// One parked event, in any state.
    async fn parked_event(&self, id: u64) -> Result<Option<Parked>, Error>;

    /// Deadlines of `owner` in `shards` that have passed, those first that passed first, at most `max`.
    async fn passed(&self, owner: &str, shards: &[u16], max: usize) -> Result<Vec<Due>, Error>;

    /// What is overdue, by owner and name.
    async fn overdue(&self) -> Result<Vec<Overdue>, Error>;

    /// Records of `owner` by ascending key, after `after`, at most `max`.
    async fn scan(&self, owner: &str, after: Option<Key>, max: usize)
    -> Result<Vec<Record>, Error>;

    /// The highest id that an outgoing event or a note ever got; 0 before the first.
    async fn newest_outgoing(&self) -> Result<u64, Error>;

    /// How many commits this process has made or tried.
    fn commits(&self) -> u64;

    /// How far the log was, as it was noted here.
    async fn log_ends(&self) -> Result<Vec<LogEnd>, Error>;

    /// Notes that partitions end at these positions or behind them. The note gets an id, like an outgoing
    /// event, and answers it: a store that knows this id has lost nothing that was committed before.
    async fn note_log_ends(&self, ends: &[Position]) -> Result<u64, Error>;

    /// Notes these ends in place of what was noted.
    async fn set_log_ends(&self, ends: &[LogEnd]) -> Result<(), Error>;

    /// Since when what `owner` owes to the index waits. Takes no longer because more is owed.
    async fn oldest_owed(&self, owner: &str) -> Result<Oldest, Error>;

    /// How much is owed. Takes no longer because more is owed; a number of many thousands may be some
    /// seconds old.
    async fn depths(&self) -> Result<Depths, Error>;

    /// Renews `holder`'s membership in `group` and answers with the slots (of `slots`) it holds for
    /// `ttl` on the store's clock: at most its fair share among the living holders. A `ttl` of zero
    /// gives everything back.
    async fn lease(
        &self,
        group: &str,
        holder: Uuid,
        slots: u16,
        ttl: Duration,
    ) -> Result<Vec<u16>, Error>;

    /// Drops what is past its retention, a bounded amount per call; `true` if there is more.
    async fn tidy(&self, retention: Retention) -> Result<bool, Error>;
}

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Something the commit was decided on has changed: load and decide again.
    #[error("cannot commit: what the decision was based on has changed")]
    Stale,
    /// The idempotency key has an answer: load it.
    #[error("cannot commit: the idempotency key is taken")]
    KeyTaken,
    /// The engine refuses these values whatever happens.
    #[error("the store refuses the commit: {0}")]
    Rejected(String),
    /// It cannot be reached or is failing. The outcome of a commit is unknown; run it again.
    #[error("cannot reach the store: {0}")]
    Unavailable(String),
    /// Its disk is full; nothing was written.
    #[error("cannot write to the store: the disk is full")]
    Full,
}
