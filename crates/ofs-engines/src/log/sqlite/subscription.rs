//! One member of a consumer group: waits for records and hands them out, fairly across topics.
//!
//! Keeps its own reading position; how far the group is, is [`super::groups`]' business.

use super::Inner;
use async_trait::async_trait;
use ofs_events::Topic;
use ofs_runtime::budget::{BATCH_BYTES, Budget};
use ofs_runtime::log::{Error, Polled, Received, Subscription};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

/// A topic and the offset this member reads next; none while another member owns it.
#[derive(Debug)]
struct Cursor {
    topic: Topic,
    next: Option<u64>,
}

pub(super) struct SqliteSubscription {
    inner: Arc<Inner>,
    group: String,
    member: u64,
    cursors: Vec<Cursor>,
    /// Which cursor is served first; moves on with every batch.
    turn: usize,
    changed: watch::Receiver<()>,
}

impl SqliteSubscription {
    /// Joins `group`.
    pub fn join(inner: Arc<Inner>, group: &str, topics: &[Topic]) -> Result<Self, Error> {
        let changed = inner.shared.changed.subscribe();
        let member = inner.shared.groups.join(group, topics);
        let topics: BTreeSet<Topic> = topics.iter().copied().collect();
        let cursors = topics.into_iter().map(|topic| Cursor { topic, next: None }).collect();
        let group = group.to_owned();
        let mut joined = Self { inner, group, member, cursors, turn: 0, changed };
        joined.take_over()?;
        Ok(joined)
    }

    /// Starts reading the topics that are this member's now.
    fn take_over(&mut self) -> Result<(), Error> {
        let shared = &self.inner.shared;
        for Cursor { topic, next } in &mut self.cursors {
            if next.is_none() && shared.groups.owns(&self.group, *topic, self.member) {
                let first = shared.tails.with(*topic, super::tail::Tail::first);
                let start = shared.groups.position(&self.group, *topic).unwrap_or(first);
                if start < first {
                    return Err(lost(&self.group, *topic, start, first));
                }
                *next = Some(start);
            }
        }
        Ok(())
    }

    /// What to read next: each topic with records gets an equal share of `max`, the rest goes to those
    /// that have more.
    fn plan(&mut self, max: usize) -> Vec<(Topic, u64, usize)> {
        let count = self.cursors.len();
        let turn = self.turn;
        self.turn = self.turn.wrapping_add(1);
        let tails = &self.inner.shared.tails;
        let mut plan: Vec<(Topic, u64, usize, usize)> = (0..count)
            .filter_map(|n| {
                let Cursor { topic, next } = &self.cursors[(turn.wrapping_add(n)) % count];
                let next = (*next)?;
                let ready = tails.with(*topic, super::tail::Tail::end).saturating_sub(next);
                let ready = usize::try_from(ready).unwrap_or(usize::MAX).min(max);
                (ready > 0).then_some((*topic, next, ready, 0))
            })
            .collect();
        let mut left = max;
        while left > 0 && plan.iter().any(|(.., ready, share)| share < ready) {
            let hungry = plan.iter().filter(|(.., ready, share)| share < ready).count();
            let portion = (left / hungry).max(1);
            for (.., ready, share) in &mut plan {
                let more = portion.min(*ready - *share).min(left);
                *share += more;
                left -= more;
            }
        }
        plan.into_iter()
            .filter(|(.., share)| *share > 0)
            .map(|(topic, next, _, share)| (topic, next, share))
            .collect()
    }

    /// Reads without moving a cursor, so that dropping the future loses nothing.
    async fn fetch(&self, plan: &[(Topic, u64, usize)]) -> Result<Vec<Received>, Error> {
        let mut records = Vec::new();
        let bytes = BATCH_BYTES / plan.len().max(1);
        for (topic, from, share) in plan {
            let found = self.inner.read(*topic, *from, Budget::new(*share, bytes)).await?;
            if found.first().is_none_or(|record| record.at.offset != *from) {
                let first = self.inner.shared.tails.with(*topic, super::tail::Tail::first);
                return Err(lost(&self.group, *topic, *from, first));
            }
            records.extend(found);
        }
        Ok(records)
    }

    fn leave(&self) {
        self.inner.shared.groups.leave(&self.group, self.member);
        self.inner.shared.changed.send_replace(());
    }
}

fn lost(group: &str, topic: Topic, at: u64, first: u64) -> Error {
    Error::Lost(format!(
        "group {group} is at offset {at} of {topic}, but retention has removed everything below \
         {first}; decide where it goes on with `ofs events reset`"
    ))
}

#[async_trait]
impl Subscription for SqliteSubscription {
    async fn next(&mut self, max: usize) -> Result<Polled, Error> {
        loop {
            self.changed.borrow_and_update();
            self.take_over()?;
            let plan = self.plan(max.max(1));
            if plan.is_empty() {
                let gone = |_| Error::Unavailable("the log is closed".to_owned());
                self.changed.changed().await.map_err(gone)?;
                continue;
            }
            let records = self.fetch(&plan).await?;
            for record in &records {
                let cursor = self.cursors.iter_mut().find(|known| known.topic == record.at.topic);
                if let Some(cursor) = cursor {
                    cursor.next = Some(record.at.offset + 1);
                }
            }
            return Ok(Polled::Records(records));
        }
    }

    fn ack(&mut self, done: &[(Topic, u32, u64)]) {
        let groups = &self.inner.shared.groups;
        let mut wake = false;
        for (topic, partition, offset) in done {
            let end = self.inner.shared.tails.with(*topic, super::tail::Tail::end);
            if *partition == 0 {
                wake |= groups.ack(&self.group, self.member, *topic, (*offset).min(end));
            }
        }
        if wake {
            self.inner.shared.acked.notify_one();
        }
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        self.inner.flush().await
    }
}

impl Drop for SqliteSubscription {
    fn drop(&mut self) {
        self.leave();
    }
}
