//! The newest records of the log, newest first, read backwards and no further than is worth it.

use ofs_events::Topic;
use ofs_runtime::budget::{BATCH_BYTES, Budget, Weight};
use ofs_runtime::log::{Bounds, Error, Log, Received};
use std::collections::VecDeque;

/// Records read at once.
const CHUNK: u64 = 256;
/// Records looked at in each partition, at most.
const MOST: u64 = 5_000;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// The newest records that were wanted, newest first.
    pub(super) records: Vec<Received>,
    /// How many were looked at.
    pub(super) looked: u64,
    /// Whether there are older ones that were not looked at, though more were wanted.
    pub(super) cut: bool,
    /// Partitions that were left out, because no broker leads them.
    pub(super) leaderless: Vec<(Topic, u32)>,
}

/// The newest `max` records of `topics` that are `wanted`.
pub(super) async fn recent(
    log: &dyn Log,
    topics: &[Topic],
    max: usize,
    wanted: &(dyn Fn(&Received) -> bool + Sync),
) -> Result<Recent, Error> {
    let (mut found, mut parts) = (Recent::default(), Vec::new());
    for topic in topics.iter().copied() {
        let (bounds, leaderless) = log.readable(topic).await?;
        found.leaderless.extend(leaderless.into_iter().map(|partition| (topic, partition)));
        parts.extend(bounds.into_iter().map(|bounds| (topic, bounds)));
    }
    let budget = Budget::new(max, BATCH_BYTES / parts.len().max(1));
    for (topic, bounds) in parts {
        found.add(log, topic, bounds, budget, wanted).await?;
    }
    found.records.sort_by_key(|record| std::cmp::Reverse((record.appended_at, record.at)));
    found.records.truncate(max);
    Ok(found)
}

impl Recent {
    async fn add(
        &mut self,
        log: &dyn Log,
        topic: Topic,
        bounds: Bounds,
        mut budget: Budget,
        wanted: &(dyn Fn(&Received) -> bool + Sync),
    ) -> Result<(), Error> {
        let (mut end, most, before) = (bounds.end, budget.items(), self.records.len());
        let last = bounds.first.max(bounds.end.saturating_sub(MOST));
        while end > last && budget.items() > 0 {
            let start = last.max(end.saturating_sub(CHUNK));
            let (mut next, mut newest) = (start, VecDeque::new());
            // Offsets may have gaps, and what is read at once may end before the chunk does.
            while next < end {
                let chunk = usize::try_from(end - next).unwrap_or(usize::MAX);
                let mut read = log.read(topic, bounds.partition, next, chunk).await?;
                next = read.last().map_or(end, |last| last.at.offset + 1);
                read.retain(|record| record.at.offset < end);
                self.looked += read.len() as u64;
                newest.extend(read.into_iter().filter(wanted));
                keep_newest(&mut newest, budget);
            }
            for record in &newest {
                budget.spend(record.weight());
            }
            self.records.extend(newest);
            end = start;
        }
        let is_short = self.records.len() - before < most;
        self.cut |= is_short && (end > bounds.first || budget.items() == 0);
        Ok(())
    }
}

/// Drops the oldest of `records`, as far as it takes to fit into `budget`.
fn keep_newest(records: &mut VecDeque<Received>, mut budget: Budget) {
    let mut kept = 0;
    for record in records.iter().rev() {
        if budget.items() == 0 {
            break;
        }
        budget.spend(record.weight());
        kept += 1;
    }
    records.drain(..records.len() - kept);
}
