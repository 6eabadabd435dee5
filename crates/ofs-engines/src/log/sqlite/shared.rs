//! What is known about the log in this process, and the jobs that change it and the file together.
//!
//! A job runs in the writer's transaction; what it did becomes visible here only once it is durable.

use super::disk::{self, Inserted};
use super::groups::{GroupPosition, Groups};
use super::tail::{Tail, Tails};
use crate::sqlite::{Abort, Failure};
use ofs_events::Topic;
use ofs_runtime::context::Clock;
use ofs_runtime::log::{Error, Message, Position, Reader, Received};
use rusqlite::Connection;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Records of a topic that retention deletes in one job.
const TIDY_BATCH: u64 = 2000;

/// How a job of the log can fail: only by SQLite.
pub(super) type Broken = Abort<Infallible>;

/// One answer for each message.
pub(super) type Answers = Vec<Result<Position, Error>>;

/// What all jobs and subscriptions of one log share.
#[derive(Debug)]
pub(super) struct Shared {
    pub clock: Clock,
    pub tails: Tails,
    pub groups: Groups,
    /// Changes when records came or went, and when a member left its group.
    pub changed: watch::Sender<()>,
    /// There are positions to write.
    pub acked: Notify,
}

/// The positions that a job writes along; they go back if the job fails.
#[derive(Clone)]
pub(super) struct Along {
    shared: Arc<Shared>,
    taken: Arc<Mutex<Vec<GroupPosition>>>,
}

impl Along {
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), taken: Arc::default() }
    }

    /// Writes what there is to write.
    pub fn write(&self, db: &Connection) -> Result<(), Broken> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // This job may run for the second time.
        taken.extend(self.shared.groups.take_dirty());
        taken.iter().try_for_each(|at| disk::write_position(db, at)).map_err(Into::into)
    }

    /// The job is over.
    pub fn settle(&self, durable: bool) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if !durable && !taken.is_empty() {
            self.shared.groups.unwritten(std::mem::take(&mut taken));
            self.shared.acked.notify_one();
        }
    }
}

/// Adds `messages`; the records that are new come back for [`Shared::publish`].
pub(super) fn append(
    db: &Connection,
    clock: Clock,
    messages: &[Message],
) -> Result<(Answers, Vec<Received>), Broken> {
    let now = clock.now();
    let mut ends = [None; Topic::ALL.len()];
    let mut answers = Vec::with_capacity(messages.len());
    let mut new = Vec::with_capacity(messages.len());
    for message in messages {
        let topic = message.topic;
        let end = match ends[topic as usize] {
            Some(end) => end,
            None => disk::end(db, topic)?,
        };
        ends[topic as usize] = Some(end);
        match disk::insert(db, message, end, now).map_err(Failure::from) {
            Ok(Inserted::New(record)) => {
                ends[topic as usize] = Some(end + 1);
                answers.push(Ok(record.at));
                new.push(record);
            }
            Ok(Inserted::Known(at)) => answers.push(Ok(at)),
            // Only this statement was undone; its neighbours are not punished.
            Err(Failure::Refused(reason)) => answers.push(Err(Error::Refused(reason))),
            Err(failure) => return Err(Abort::Failed(failure)),
        }
    }
    for (topic, end) in Topic::ALL.into_iter().zip(ends) {
        if let Some(end) = end {
            disk::write_end(db, topic, end)?;
        }
    }
    Ok((answers, new))
}

impl Shared {
    /// These records are durable: wakes who waits for them.
    pub fn publish(&self, records: Vec<Received>) {
        if !records.is_empty() {
            self.tails.publish(records);
            self.changed.send_replace(());
        }
    }

    /// Deletes at most one batch a topic, from the oldest record to the first that is young enough or
    /// that a group has not read, by the positions that are written in this very transaction.
    /// Answers what every topic begins with now, and whether there is more to delete.
    pub fn tidy(
        &self,
        db: &Connection,
        kept: Duration,
        readers: &[Reader],
    ) -> Result<(Vec<(Topic, u64)>, bool), Broken> {
        let older_than = self.clock.before(kept);
        let positions = disk::positions(db)?;
        let mut cuts = Vec::new();
        let mut more = false;
        for topic in Topic::ALL {
            let (first, end) = self.bounds(topic);
            let end = end.min(self.read_by_all(topic, &positions, readers));
            let limit = end.min(first + TIDY_BATCH);
            let cut = disk::first_since(db, topic, first, limit, older_than)?;
            if cut > first {
                disk::delete(db, topic, first, cut)?;
                cuts.push((topic, cut));
                more |= cut == limit && limit < end;
            }
        }
        Ok((cuts, more))
    }

    /// Up to where every known group has read `topic`; 0 if one of them has not begun.
    fn read_by_all(&self, topic: Topic, positions: &[GroupPosition], readers: &[Reader]) -> u64 {
        let has_position =
            |group: &str| positions.iter().any(|at| at.topic == topic && at.group == group);
        let expected = readers.iter().filter(|reader| reader.topics.contains(&topic));
        let waits = expected.map(|reader| reader.group.as_str()).any(|group| !has_position(group))
            || self.groups.reading(topic).iter().any(|group| !has_position(group));
        if waits {
            return 0;
        }
        let here = positions.iter().filter(|at| at.topic == topic);
        here.map(|at| at.offset).min().unwrap_or(u64::MAX)
    }

    /// Everything below these offsets is gone from the file.
    pub fn cut(&self, cuts: Vec<(Topic, u64)>) {
        for (topic, first) in cuts {
            self.tails.cut(topic, first);
        }
        self.changed.send_replace(());
    }

    /// The first offset kept and the next one to be given.
    pub fn bounds(&self, topic: Topic) -> (u64, u64) {
        self.tails.with(topic, |tail: &Tail| (tail.first(), tail.end()))
    }
}
