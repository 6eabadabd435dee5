//! The newest records of the log, newest first, read backwards and no further than is worth it.

use ofs_events::Topic;
use ofs_runtime::log::{Bounds, Error, Log, Received};

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
}

/// The newest `max` records of `topics` that are `wanted`.
pub(super) async fn recent(
    log: &dyn Log,
    topics: &[Topic],
    max: usize,
    wanted: &(dyn Fn(&Received) -> bool + Sync),
) -> Result<Recent, Error> {
    let mut found = Recent::default();
    for topic in topics {
        for bounds in log.bounds(*topic).await? {
            found.add(log, *topic, bounds, max, wanted).await?;
        }
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
        max: usize,
        wanted: &(dyn Fn(&Received) -> bool + Sync),
    ) -> Result<(), Error> {
        let (mut end, mut matched) = (bounds.end, 0);
        let last = bounds.first.max(bounds.end.saturating_sub(MOST));
        while end > last && matched < max {
            let start = last.max(end.saturating_sub(CHUNK));
            let chunk = usize::try_from(end - start).unwrap_or(usize::MAX);
            let mut read = log.read(topic, bounds.partition, start, chunk).await?;
            // Offsets may have gaps: what lies behind the chunk was read before.
            read.retain(|record| record.at.offset < end);
            self.looked += read.len() as u64;
            read.retain(wanted);
            matched += read.len();
            self.records.extend(read);
            end = start;
        }
        self.cut |= end > bounds.first && matched < max;
        Ok(())
    }
}
