//! Reading the log across partitions, oldest first, with bounded memory; no consumer group.
//!
//! The order between partitions is that of appending, as well as it can be told while reading.

use ofs_events::{OrderId, Timestamp, Topic};
use ofs_runtime::log::{Bounds, Error, Log, Position, Received};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Records held per partition.
const CHUNK: usize = 64;
/// How often a tail that follows looks for new records.
const POLL: Duration = Duration::from_millis(200);

/// Where a tail begins.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The topics to read.
    pub(super) topics: Vec<Topic>,
    /// Only this position's partition, from there on.
    pub(super) only: Option<Position>,
    /// Behind the newest record, where `next` says nothing; else with the oldest.
    pub(super) latest: bool,
    /// The next record of these partitions.
    pub(super) next: Vec<Position>,
}

/// Why a tail cannot begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoStart {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] Error),
    /// There is no such place any more, or never was.
    #[error("{0}")]
    Place(String),
}

struct Part {
    topic: Topic,
    partition: u32,
    /// The next offset to be read.
    next: u64,
    /// Where reading stops for now.
    end: u64,
    held: VecDeque<Received>,
}

impl Part {
    /// The first record not handed out.
    fn place(&self) -> Position {
        let offset = self.held.front().map_or(self.next, |record| record.at.offset);
        Position { topic: self.topic, partition: self.partition, offset }
    }

    fn age(&self) -> Option<(Timestamp, Position)> {
        self.held.front().map(|record| (record.appended_at, record.at))
    }

    async fn fill(&mut self, log: &dyn Log) -> Result<(), Error> {
        if !self.held.is_empty() || self.next >= self.end {
            return Ok(());
        }
        let read = log.read(self.topic, self.partition, self.next, CHUNK).await?;
        // Offsets may have gaps, also at the end: nothing more to read means the end is reached.
        self.next = read.last().map_or(self.end, |last| last.at.offset + 1);
        let end = self.end;
        self.held.extend(read.into_iter().filter(|record| record.at.offset < end));
        self.next = self.next.min(end);
        Ok(())
    }
}

/// A reader of some partitions.
pub(super) struct Tail {
    log: Arc<dyn Log>,
    parts: Vec<Part>,
    order: Option<OrderId>,
    follow: bool,
    stop: CancellationToken,
}

impl Tail {
    /// Begins at `start`; only records of `order`, if one is given. Ends where the log ends now,
    /// unless it follows; then it ends with `stop`.
    pub(super) async fn open(
        log: Arc<dyn Log>,
        start: &Start,
        order: Option<OrderId>,
        follow: bool,
        stop: CancellationToken,
    ) -> Result<Tail, NoStart> {
        let mut parts = Vec::new();
        for topic in start.topics.iter().copied() {
            for bounds in log.bounds(topic).await? {
                parts.extend(start.part(topic, bounds)?);
            }
        }
        if let Some(only) = start.only.filter(|_| parts.is_empty()) {
            let (topic, partition) = (only.topic, only.partition);
            return Err(NoStart::Place(format!("{topic} has no partition {partition}")));
        }
        Ok(Tail { log, parts, order, follow, stop })
    }

    /// The next record; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Received>, Error> {
        while !self.stop.is_cancelled() {
            for part in &mut self.parts {
                part.fill(&*self.log).await?;
            }
            let oldest = self.parts.iter_mut().filter(|part| !part.held.is_empty());
            let oldest = oldest.min_by_key(|part| part.age());
            match oldest.and_then(|part| part.held.pop_front()) {
                Some(record) if self.wants(&record) => return Ok(Some(record)),
                Some(_) => {}
                None if self.follow => self.wait().await?,
                // A partition may have been read to a gap: look again until each is at its end.
                None if self.parts.iter().all(|part| part.next >= part.end) => return Ok(None),
                None => {}
            }
        }
        Ok(None)
    }

    /// From where to go on after the record at `given`: it, then the next of all other partitions.
    pub(super) fn cursor(&self, given: Position) -> String {
        let own = |part: &&Part| (part.topic, part.partition) == (given.topic, given.partition);
        let others = self.parts.iter().filter(|part| !own(part));
        let others: Vec<String> = others.map(|part| part.place().to_string()).collect();
        if others.is_empty() { given.to_string() } else { format!("{given};{}", others.join(",")) }
    }

    fn wants(&self, record: &Received) -> bool {
        let Some(order) = self.order else { return true };
        OrderId::from_record_key(record.key.as_deref()) == Some(order)
    }

    async fn wait(&mut self) -> Result<(), Error> {
        let pause = tokio::time::sleep(POLL);
        if self.stop.run_until_cancelled(pause).await.is_none() {
            return Ok(());
        }
        let mut topics: Vec<Topic> = self.parts.iter().map(|part| part.topic).collect();
        topics.dedup();
        for topic in topics {
            for bounds in self.log.bounds(topic).await? {
                let own =
                    |part: &&mut Part| (part.topic, part.partition) == (topic, bounds.partition);
                if let Some(part) = self.parts.iter_mut().find(own) {
                    part.end = bounds.end;
                }
            }
        }
        Ok(())
    }
}

impl Start {
    fn part(&self, topic: Topic, bounds: Bounds) -> Result<Option<Part>, NoStart> {
        let own = |place: &&Position| (place.topic, place.partition) == (topic, bounds.partition);
        let only = self.only.as_ref();
        if only.is_some_and(|only| !own(&only)) {
            return Ok(None);
        }
        let place = self.next.iter().find(own).or(only).map(|place| place.offset);
        let next = place.unwrap_or(if self.latest { bounds.end } else { bounds.first });
        if next < bounds.first {
            let partition = bounds.partition;
            let first = Position { topic, partition, offset: bounds.first };
            return Err(NoStart::Place(format!(
                "records before {first} are gone; begin there, or with earliest"
            )));
        }
        let end = bounds.end;
        let held = VecDeque::new();
        Ok(Some(Part { topic, partition: bounds.partition, next, end, held }))
    }
}

/// Reads what [`Tail::cursor`] wrote: the next record of each partition it names.
pub(super) fn resume(cursor: &str) -> Option<Vec<Position>> {
    let (given, others) = cursor.split_once(';').unwrap_or((cursor, ""));
    let given: Position = given.trim().parse().ok()?;
    let mut next = vec![Position { offset: given.offset.checked_add(1)?, ..given }];
    for place in others.split(',').map(str::trim).filter(|place| !place.is_empty()) {
        next.push(place.parse().ok()?);
    }
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_behind_the_record_given_and_with_the_next_of_the_others() {
        let next = resume("orders.events.v1/0@17;payments.events.v1/0@4").expect("a cursor");
        let next: Vec<String> = next.iter().map(ToString::to_string).collect();
        assert_eq!(next, ["orders.events.v1/0@18", "payments.events.v1/0@4"]);
        for wrong in
            ["", "17", "orders.events.v1/0@17;x", "orders.events.v1/0@18446744073709551615"]
        {
            assert!(resume(wrong).is_none(), "{wrong}");
        }
    }
}
