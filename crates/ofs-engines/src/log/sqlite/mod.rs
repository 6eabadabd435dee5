//! The log in one SQLite file, for one process: one partition a topic, appends once per event id.
//!
//! Appends share commits; readers wait in memory and read the file only when they are behind.

mod disk;
mod groups;
mod open;
mod shared;
mod subscription;
mod tail;

pub use open::OpenError;

use crate::sqlite::{Abort, Database, Failure, Options};
use async_trait::async_trait;
use ofs_events::Topic;
use ofs_runtime::budget::{Budget, Room, Weight};
use ofs_runtime::log::{
    Bounds, Error, Lag, Layout, Log, Message, Position, Reader, Received, Reset, StoreMark,
    Subscription,
};
use ofs_runtime::task;
use rusqlite::Connection;
use shared::{Along, Broken, Shared};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use subscription::SqliteSubscription;
use tail::Tail;
use tokio::sync::oneshot;
use uuid::Uuid;

/// How long an ack waits for a commit that takes it along.
const ACK_DELAY: Duration = Duration::from_millis(500);

/// The log in one SQLite file. The file is closed when this and its subscriptions are dropped.
pub struct SqliteLog {
    inner: Arc<Inner>,
}

/// What the log and its subscriptions share.
struct Inner {
    shared: Arc<Shared>,
    database: Database,
    flushing: AtomicBool,
    /// For messages that wait for the writer.
    room: Room,
}

impl SqliteLog {
    /// Opens the log in the file at `path`, or makes it, for the store that has the id `instance`.
    /// Blocks for some milliseconds, however long the log is.
    ///
    /// # Errors
    /// [`OpenError`], which says what is wrong with the file.
    pub fn open(path: &Path, options: Options, instance: Uuid) -> Result<Self, OpenError> {
        let (database, shared) = open::open(path, options, instance)?;
        let shared = Arc::new(shared);
        let inner =
            Inner { shared, database, flushing: AtomicBool::new(false), room: Room::default() };
        Ok(Self { inner: Arc::new(inner) })
    }
}

/// What a failing database means for the log.
fn failed(broken: Broken) -> Error {
    match broken {
        Abort::Because(never) => match never {},
        Abort::Failed(Failure::Full) => Error::Full,
        Abort::Failed(
            Failure::Unavailable(reason) | Failure::Damaged(reason) | Failure::Refused(reason),
        ) => Error::Unavailable(reason),
    }
}

impl Inner {
    /// Runs `job`, with the positions that are to be written; `then` sees what is durable before any
    /// later job's is, even if this future is dropped.
    async fn write<T: Send + 'static, A: Send + 'static>(
        &self,
        mut job: impl FnMut(&Connection) -> Result<T, Broken> + Send + 'static,
        then: impl FnOnce(T) -> A + Send + 'static,
    ) -> Result<A, Error> {
        let along = Along::new(&self.shared);
        let settle = along.clone();
        let (answer, answered) = oneshot::channel();
        let job = move |db: &Connection| {
            along.write(db)?;
            job(db)
        };
        let done = move |result: Result<T, Broken>| {
            settle.settle(result.is_ok());
            // The caller may be gone; what was done stands.
            let _ = answer.send(result.map(then));
        };
        self.database
            .write_then(job, done)
            .await
            .map_err(|failure| failed(Abort::Failed(failure)))?;
        let gone = |_| Error::Unavailable("the log is closed".to_owned());
        answered.await.map_err(gone)?.map_err(failed)
    }

    /// Makes every position acked so far durable.
    async fn flush(&self) -> Result<(), Error> {
        self.write(|_| Ok(()), |()| ()).await
    }

    /// Records of `topic` from `from` on: from memory, else from the file.
    async fn read(&self, topic: Topic, from: u64, budget: Budget) -> Result<Vec<Received>, Error> {
        let held = |tail: &Tail| tail.take(from, budget).ok_or_else(|| tail.end());
        match self.shared.tails.with(topic, held) {
            Ok(records) => Ok(records),
            Err(end) => {
                let read = move |db: &Connection| {
                    disk::read(db, topic, from, end, budget).map_err(Broken::from)
                };
                self.database.read(read).await.map_err(failed)
            }
        }
    }

    async fn lag(&self, group: &str, topic: Topic) -> Result<Lag, Error> {
        let (first, end) = self.shared.bounds(topic);
        let position = self.shared.groups.position(group, topic);
        // What retention took before the group read it is still lag: it was never handled.
        let next = position.unwrap_or(first);
        let events = end.saturating_sub(next);
        let unread = match events {
            0 => Vec::new(),
            _ => self.read(topic, next.max(first), Budget::of(1)).await?,
        };
        let oldest = unread.first().map(|record| record.appended_at);
        let happened = unread.first().map(Received::happened_at);
        let assigned = self.shared.groups.is_read(group, topic);
        let leaderless = false;
        let partition = 0;
        Ok(Lag { topic, partition, position, end, events, oldest, happened, assigned, leaderless })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // So that the task that writes acks sees that the log is gone.
        self.shared.acked.notify_one();
    }
}

/// Writes acks that no commit has taken along.
async fn flush_acks(shared: Arc<Shared>, log: Weak<Inner>) {
    loop {
        shared.acked.notified().await;
        tokio::time::sleep(ACK_DELAY).await;
        let Some(inner) = log.upgrade() else { return };
        if shared.groups.is_dirty()
            && let Err(error) = inner.flush().await
        {
            tracing::warn!(%error, "failed to write the positions of groups; trying again");
        }
    }
}

#[async_trait]
impl Log for SqliteLog {
    async fn append(&self, messages: Vec<Message>) -> Vec<Result<Position, Error>> {
        let count = messages.len();
        if count == 0 {
            return Vec::new();
        }
        let shared = Arc::clone(&self.inner.shared);
        let publish = move |(answers, new)| {
            shared.publish(new);
            answers
        };
        let clock = self.inner.shared.clock;
        let share = self.inner.room.take(messages.iter().map(Weight::weight).sum()).await;
        let append = move |db: &Connection| {
            let _held = &share;
            shared::append(db, clock, &messages)
        };
        let appended = self.inner.write(append, publish).await;
        appended.unwrap_or_else(|error| vec![Err(error); count])
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[Topic],
    ) -> Result<Box<dyn Subscription>, Error> {
        let joined = SqliteSubscription::join(Arc::clone(&self.inner), group, topics)?;
        if !self.inner.flushing.swap(true, Ordering::Relaxed) {
            let shared = Arc::clone(&self.inner.shared);
            let flushing = flush_acks(shared, Arc::downgrade(&self.inner));
            tokio::spawn(task::guard("log/positions", flushing));
        }
        Ok(Box::new(joined))
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        max: usize,
    ) -> Result<Vec<Received>, Error> {
        if partition > 0 || max == 0 {
            return Ok(Vec::new());
        }
        self.inner.read(topic, offset, Budget::of(max)).await
    }

    async fn bounds(&self, topic: Topic) -> Result<Vec<Bounds>, Error> {
        let (first, end) = self.inner.shared.bounds(topic);
        Ok(vec![Bounds { partition: 0, first, end }])
    }

    async fn noted_store(&self) -> Result<Option<StoreMark>, Error> {
        let read = |db: &Connection| disk::noted_store(db).map_err(Broken::from);
        self.inner.database.read(read).await.map(Some).map_err(failed)
    }

    async fn note_store(&self, mark: StoreMark) -> Result<(), Error> {
        let note = move |db: &Connection| disk::note_store(db, mark).map_err(Broken::from);
        self.inner.write(note, |()| ()).await
    }

    async fn lag(&self, group: &str, topics: &[Topic]) -> Result<Vec<Lag>, Error> {
        let mut lags = Vec::with_capacity(topics.len());
        for topic in topics {
            lags.push(self.inner.lag(group, *topic).await?);
        }
        Ok(lags)
    }

    async fn reset(&self, group: &str, topics: &[Topic], to: Reset) -> Result<(), Error> {
        let mut targets = Vec::with_capacity(topics.len());
        for topic in topics.iter().copied() {
            let (first, end) = self.inner.shared.bounds(topic);
            let target = match to {
                Reset::Earliest => first,
                Reset::Latest => end,
                Reset::Time(time) => {
                    let find = move |db: &Connection| {
                        disk::first_since(db, topic, first, end, time).map_err(Broken::from)
                    };
                    self.inner.database.read(find).await.map_err(failed)?
                }
            };
            targets.push((topic, target));
        }
        if !self.inner.shared.groups.reset(group, &targets) {
            return Err(Error::Busy(group.to_owned()));
        }
        self.inner.flush().await
    }

    async fn groups(&self) -> Result<Vec<String>, Error> {
        Ok(self.inner.shared.groups.names())
    }

    async fn forget(&self, group: &str) -> Result<(), Error> {
        if !self.inner.shared.groups.forget(group) {
            return Err(Error::Busy(group.to_owned()));
        }
        let group = group.to_owned();
        let forget =
            move |db: &Connection| disk::delete_positions(db, &group).map_err(Broken::from);
        self.inner.write(forget, |()| ()).await
    }

    async fn prepare(&self, _layout: Layout) -> Result<(), Error> {
        Ok(())
    }

    async fn engine(&self) -> Option<String> {
        Some(crate::sqlite::engine())
    }

    fn damage(&self) -> Option<String> {
        self.inner.database.damage()
    }

    async fn tidy(&self, kept: Duration, readers: &[Reader]) -> Result<(), Error> {
        loop {
            let shared = Arc::clone(&self.inner.shared);
            let readers = readers.to_vec();
            let published = Arc::clone(&self.inner.shared);
            let cut = move |(cuts, more)| {
                published.cut(cuts);
                more
            };
            if !self.inner.write(move |db| shared.tidy(db, kept, &readers), cut).await? {
                return Ok(());
            }
        }
    }
}
