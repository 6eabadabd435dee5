//! Reading the log across partitions, oldest first, with bounded memory; no consumer group.
//!
//! The order between partitions is that of appending, as well as it can be told while reading.

use super::place::{self, NoStart, Reached, Start};
use ofs_events::{Key, Timestamp, Topic};
use ofs_runtime::budget::{BATCH_BYTES, Budget, Weight};
use ofs_runtime::context::Context;
use ofs_runtime::log::{Bounds, Error, Log, Position, Received};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Records held per partition, as far as all that is held weighs no more than a batch; at least one.
const CHUNK: usize = 64;
/// How far clocks may be apart, where only the time tells what is new.
pub(super) const SKEW: Duration = Duration::from_secs(1);
/// How often a tail that follows looks for new records.
const POLL: Duration = Duration::from_millis(200);

struct Part {
    topic: Topic,
    partition: u32,
    /// The next offset to be read.
    next: u64,
    /// Where reading stops for now.
    end: u64,
    held: VecDeque<Received>,
    /// How many were held the last time.
    fitted: usize,
    /// How far its reader has come.
    reached: Reached,
}

impl Part {
    fn new(topic: Topic, bounds: Bounds, reached: Reached) -> Self {
        let (partition, end) = (bounds.partition, bounds.end);
        let (held, fitted) = (VecDeque::new(), CHUNK);
        Self { topic, partition, next: reached.next(), end, held, fitted, reached }
    }

    fn is(&self, topic: Topic, partition: u32) -> bool {
        (self.topic, self.partition) == (topic, partition)
    }

    fn take(&mut self) -> Option<Received> {
        let record = self.held.pop_front()?;
        let appended_at = Some(record.appended_at);
        self.reached = Reached::Given(place::Place { at: record.at, appended_at });
        Some(record)
    }

    fn age(&self) -> Option<(Timestamp, Position)> {
        self.held.front().map(|record| (record.appended_at, record.at))
    }

    /// Reads on, if nothing is held; holds no more than `bytes` of what comes.
    async fn fill(&mut self, log: &dyn Log, bytes: usize) -> Result<(), Error> {
        if !self.held.is_empty() || self.next >= self.end {
            return Ok(());
        }
        // Of large records not many more than fit, or most would be read in vain.
        let mut budget = Budget::new((2 * self.fitted).min(CHUNK), bytes);
        let read = log.read(self.topic, self.partition, self.next, budget.items()).await?;
        if read.first().is_none_or(|first| first.at.offset != self.next) {
            self.kept(log).await?;
        }
        // Offsets may have gaps, also at the end: nothing more to read means the end is reached.
        let mut next = self.end;
        for record in read {
            next = record.at.offset + 1;
            let more = budget.spend(record.weight());
            if record.at.offset < self.end {
                self.held.push_back(record);
            }
            if !more {
                break;
            }
        }
        self.next = next.min(self.end);
        self.fitted = self.held.len().max(1);
        Ok(())
    }

    /// Fails if what is to be read next is not kept any more.
    async fn kept(&self, log: &dyn Log) -> Result<(), Error> {
        let (bounds, _) = log.readable(self.topic).await?;
        let own = bounds.into_iter().find(|bounds| bounds.partition == self.partition);
        own.map_or(Err(without_leader((self.topic, self.partition))), |own| self.within(own))
    }

    fn within(&self, bounds: Bounds) -> Result<(), Error> {
        if bounds.first <= self.next && self.next <= bounds.end {
            return Ok(());
        }
        let (topic, partition) = (self.topic, self.partition);
        let next = Position { topic, partition, offset: self.next };
        Err(Error::Lost(format!("{next} is not kept any more")))
    }
}

/// A partition of a topic.
pub(super) type Place = (Topic, u32);

/// What comes next in a [`Tail`].
pub(super) enum Next {
    Record(Received),
    /// The partitions that cannot be read now, because no broker leads them, are these; they were others
    /// before.
    Leaderless(Vec<Place>),
}

/// A reader of some partitions.
pub(super) struct Tail {
    log: Arc<dyn Log>,
    topics: Vec<Topic>,
    parts: Vec<Part>,
    order: Option<Key>,
    /// A partition that is added later, or led later, is read, too.
    whole: bool,
    follow: bool,
    stop: CancellationToken,
    /// Those that cannot be read now.
    leaderless: BTreeSet<Place>,
    /// Those of which the client was told that they cannot be.
    told: BTreeSet<Place>,
}

impl Tail {
    /// Begins at `start`; only records of `order`, if one is given. Ends where the log ends now,
    /// unless it follows; then it ends with `stop`.
    pub(super) async fn open(
        log: Arc<dyn Log>,
        start: &Start,
        order: Option<Key>,
        follow: bool,
        stop: CancellationToken,
    ) -> Result<Tail, NoStart> {
        let only = start.only().map(|place| (place.at.topic, place.at.partition));
        // Producers' clocks may be somewhat behind ours.
        let now = Context::new("http").now();
        let now = Timestamp::from_micros(now.as_micros() - SKEW.as_micros() as i64);
        let mut tail = Tail {
            log,
            topics: start.topics.clone(),
            parts: Vec::new(),
            order,
            whole: only.is_none(),
            follow,
            stop,
            leaderless: BTreeSet::new(),
            told: BTreeSet::new(),
        };
        for topic in start.topics.iter().copied() {
            let (bounds, leaderless) = tail.log.readable(topic).await?;
            let known = bounds.iter().map(|bounds| bounds.partition);
            start.check(topic, &known.chain(leaderless.iter().copied()).collect::<Vec<_>>())?;
            for bounds in bounds {
                let reached = start.next(&*tail.log, topic, bounds).await?;
                tail.parts.extend(reached.map(|reached| Part::new(topic, bounds, reached)));
            }
            for place in leaderless.into_iter().map(|partition| (topic, partition)) {
                match only {
                    Some(only) if only != place => continue,
                    Some(_) => return Err(NoStart::Log(without_leader(place))),
                    None => tail.leave_out(place, start.later(place, now)),
                }
            }
        }
        Ok(tail)
    }

    /// Reads all but this partition, until a broker leads it.
    fn leave_out(&mut self, place: Place, reached: Reached) {
        let (topic, partition) = place;
        let (first, end) = (reached.next(), reached.next());
        self.leaderless.insert(place);
        self.parts.push(Part::new(topic, Bounds { partition, first, end }, reached));
    }

    /// What comes next; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Next>, Error> {
        while !self.stop.is_cancelled() {
            self.fill().await?;
            if self.leaderless != self.told {
                self.told.clone_from(&self.leaderless);
                return Ok(Some(Next::Leaderless(self.told.iter().copied().collect())));
            }
            let oldest = self.parts.iter_mut().filter(|part| !part.held.is_empty());
            let oldest = oldest.min_by_key(|part| part.age());
            match oldest.and_then(Part::take) {
                Some(record) if self.wants(&record) => return Ok(Some(Next::Record(record))),
                Some(_) => {}
                None if self.follow => self.wait().await?,
                // A partition may have been read to a gap: look again until each is at its end.
                None if self.parts.iter().all(|part| self.is_done(part)) => return Ok(None),
                None => {}
            }
        }
        Ok(None)
    }

    fn is_done(&self, part: &Part) -> bool {
        part.next >= part.end || self.leaderless.contains(&(part.topic, part.partition))
    }

    /// Fills every part that can be read.
    async fn fill(&mut self) -> Result<(), Error> {
        let share = BATCH_BYTES / self.parts.len().max(1);
        for part in &mut self.parts {
            let place = (part.topic, part.partition);
            if self.leaderless.contains(&place) {
                continue;
            }
            if let Err(error) = part.fill(&*self.log, share).await {
                let (_, leaderless) = self.log.readable(part.topic).await?;
                if !self.whole || !leaderless.contains(&part.partition) {
                    return Err(error);
                }
                self.leaderless.insert(place);
            }
        }
        Ok(())
    }

    /// From where to go on after the record at `given`, which was the last.
    pub(super) fn cursor(&self, given: Position) -> String {
        let (own, others): (Vec<&Part>, Vec<&Part>) =
            self.parts.iter().partition(|part| part.is(given.topic, given.partition));
        let own = own.first().map_or(Reached::Next(given), |part| part.reached);
        place::cursor(&own, others.into_iter().map(|part| part.reached))
    }

    fn wants(&self, record: &Received) -> bool {
        let Some(order) = self.order else { return true };
        Key::from_record_key(record.key.as_deref()) == Some(order)
    }

    async fn wait(&mut self) -> Result<(), Error> {
        let pause = tokio::time::sleep(POLL);
        if self.stop.run_until_cancelled(pause).await.is_none() {
            return Ok(());
        }
        for topic in self.topics.clone() {
            let (bounds, leaderless) = self.log.readable(topic).await?;
            self.leaderless.retain(|place| place.0 != topic);
            for place in leaderless.into_iter().map(|partition| (topic, partition)) {
                let is_read = self.parts.iter().any(|part| part.is(place.0, place.1));
                if !self.whole && is_read {
                    return Err(without_leader(place));
                }
                self.leaderless.extend(self.whole.then_some(place));
            }
            for bounds in bounds {
                self.extend(topic, bounds).await?;
            }
        }
        Ok(())
    }

    /// Reads on up to where the partition ends now.
    async fn extend(&mut self, topic: Topic, bounds: Bounds) -> Result<(), Error> {
        let partition = bounds.partition;
        if let Some(part) = self.parts.iter_mut().find(|part| part.is(topic, partition)) {
            if matches!(part.reached, Reached::Unseen { .. }) {
                part.reached = part.reached.seen(&*self.log, bounds).await?;
                part.next = part.reached.next();
            }
            part.within(bounds)?;
            part.end = bounds.end;
        } else if self.whole {
            let next = Position { topic, partition, offset: bounds.first };
            self.parts.push(Part::new(topic, bounds, Reached::Next(next)));
        }
        Ok(())
    }
}

fn without_leader((topic, partition): Place) -> Error {
    Error::Unavailable(format!("{topic}/{partition} has no leader"))
}
