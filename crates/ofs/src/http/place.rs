//! Places in the log as readers name them: where a reading begins, and how far one has come.

use ofs_events::{Timestamp, Topic};
use ofs_runtime::log::{Bounds, Error, Log, Position};
use std::fmt;
use std::str::FromStr;

/// A position, and when the record there was appended. Written `topic/partition@offset~time`: the
/// time tells the record from what stands there in a log that was restored or made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: Position,
    pub(super) appended_at: Option<Timestamp>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.fmt(f)?;
        self.appended_at.map_or(Ok(()), |time| write!(f, "~{time}"))
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (at, time) = match text.split_once('~') {
            None => (text, None),
            Some((at, time)) => {
                let time = time.parse().map_err(|_| format!("`{time}` is not an RFC 3339 time"))?;
                (at, Some(time))
            }
        };
        let at = at.parse().map_err(|error: ofs_runtime::log::NoPosition| error.to_string())?;
        Ok(Self { at, appended_at: time })
    }
}

impl Place {
    /// Whether the record is still there, as far as that can be told: not once it was cut off.
    async fn stands(&self, log: &dyn Log, first: u64) -> Result<bool, Error> {
        let Position { topic, partition, offset } = self.at;
        let Some(time) = self.appended_at.filter(|_| offset >= first) else { return Ok(true) };
        let read = log.read(topic, partition, offset, 1).await?;
        Ok(read.first().is_some_and(|r| r.at.offset == offset && r.appended_at == time))
    }
}

/// How far a reader has come in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// It was given this record.
    Given(Place),
    /// It was given none; this is the next.
    Next(Position),
    /// It was given none, and no broker has led the partition since, so the next is not known: the
    /// oldest that is kept, or the first that was appended at this time or later.
    Unseen { topic: Topic, partition: u32, since: Option<Timestamp> },
}

impl Reached {
    pub(super) const fn place(&self) -> (Topic, u32) {
        match self {
            Self::Given(Place { at, .. }) | Self::Next(at) => (at.topic, at.partition),
            Self::Unseen { topic, partition, .. } => (*topic, *partition),
        }
    }

    /// The offset of the next record; 0 while it is not known.
    pub(super) const fn next(&self) -> u64 {
        match self {
            Self::Given(place) => place.at.offset.saturating_add(1),
            Self::Next(next) => next.offset,
            Self::Unseen { .. } => 0,
        }
    }

    /// The same once a broker leads the partition, which has these `bounds`.
    pub(super) async fn seen(self, log: &dyn Log, bounds: Bounds) -> Result<Self, Error> {
        let Self::Unseen { topic, partition, since } = self else { return Ok(self) };
        let (mut offset, mut end) = (bounds.first, since.map_or(bounds.first, |_| bounds.end));
        while offset < end {
            let middle = offset.midpoint(end);
            match log.read(topic, partition, middle, 1).await?.first() {
                Some(record) if record.at.offset < end && Some(record.appended_at) < since => {
                    offset = record.at.offset + 1;
                }
                _ => end = middle,
            }
        }
        Ok(Self::Next(Position { topic, partition, offset }))
    }

    /// Reads what `Display` writes.
    fn read(text: &str) -> Option<Self> {
        if let Some((place, "first")) = text.rsplit_once('@') {
            return Self::unseen(place, None);
        }
        if let Some((place, since)) = text.split_once("@since~") {
            return Self::unseen(place, Some(since.parse().ok()?));
        }
        let place: Place = text.parse().ok()?;
        Some(if place.appended_at.is_some() { Self::Given(place) } else { Self::Next(place.at) })
    }

    fn unseen(place: &str, since: Option<Timestamp>) -> Option<Self> {
        let (topic, partition) = place.split_once('/')?;
        Some(Self::Unseen { topic: topic.parse().ok()?, partition: partition.parse().ok()?, since })
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(place) => place.fmt(f),
            Self::Next(next) => next.fmt(f),
            Self::Unseen { topic, partition, since: None } => {
                write!(f, "{topic}/{partition}@first")
            }
            Self::Unseen { topic, partition, since: Some(time) } => {
                write!(f, "{topic}/{partition}@since~{time}")
            }
        }
    }
}

/// Writes how far a reader has come: the record it was given last, then the other partitions.
pub(super) fn cursor(given: &Reached, others: impl Iterator<Item = Reached>) -> String {
    let others: Vec<String> = others.map(|reached| reached.to_string()).collect();
    if others.is_empty() { given.to_string() } else { format!("{given};{}", others.join(",")) }
}

/// Reads what [`cursor`] wrote.
pub(super) fn resume(cursor: &str) -> Option<Vec<Reached>> {
    let (given, others) = cursor.split_once(';').unwrap_or((cursor, ""));
    let given: Place = given.trim().parse().ok()?;
    given.at.offset.checked_add(1)?;
    let mut reached = vec![Reached::Given(given)];
    for text in others.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        reached.push(Reached::read(text)?);
    }
    Some(reached)
}

/// Where a reading begins.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The topics to read.
    pub(super) topics: Vec<Topic>,
    /// From where on.
    pub(super) from: From,
    /// How far the reader had come before, if it goes on; then `from` only narrows what is read.
    pub(super) reached: Vec<Reached>,
}

/// From where on a log is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    /// The oldest record kept.
    Earliest,
    /// Behind the newest record.
    Latest,
    /// This record, and only its partition.
    Place(Place),
}

/// Why a reading cannot begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoStart {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] Error),
    /// The position no longer exists, or never did.
    #[error("{0}")]
    Place(String),
}

impl Start {
    /// The partition of `from`, if it names one.
    pub(super) fn only(&self) -> Option<Place> {
        match self.from {
            From::Place(place) => Some(place),
            From::Earliest | From::Latest => None,
        }
    }

    /// Where to begin in the partition of these `bounds`; none if it is not to be read.
    pub(super) async fn next(
        &self,
        log: &dyn Log,
        topic: Topic,
        bounds: Bounds,
    ) -> Result<Option<Reached>, NoStart> {
        let own = (topic, bounds.partition);
        if self.only().is_some_and(|only| (only.at.topic, only.at.partition) != own) {
            return Ok(None);
        }
        let at = |offset| Position { topic, partition: bounds.partition, offset };
        let (reached, place) = match (self.before(own), self.from) {
            (Some(Reached::Given(place)), _) => (Reached::Given(place), Some(place)),
            (Some(next), _) => (next.seen(log, bounds).await?, None),
            (None, From::Place(place)) => (Reached::Next(place.at), Some(place)),
            (None, From::Latest) if self.reached.is_empty() => {
                (Reached::Next(at(bounds.end)), None)
            }
            (None, _) => (Reached::Next(at(bounds.first)), None),
        };
        within(&reached, at(bounds.first), at(bounds.end))?;
        match place {
            Some(place) if !place.stands(log, bounds.first).await? => {
                Err(other(&format!("another record stands at {}", place.at)))
            }
            _ => Ok(Some(reached)),
        }
    }

    /// How far the reader had come in a partition.
    fn before(&self, place: (Topic, u32)) -> Option<Reached> {
        self.reached.iter().find(|reached| reached.place() == place).copied()
    }

    /// Where to begin in a partition that no broker leads, asked at `now`.
    pub(super) fn later(&self, (topic, partition): (Topic, u32), now: Timestamp) -> Reached {
        let latest = matches!(self.from, From::Latest) && self.reached.is_empty();
        let since = latest.then_some(now);
        self.before((topic, partition)).unwrap_or(Reached::Unseen { topic, partition, since })
    }

    /// Refuses partitions that the log does not have, and topics that are not read or were not.
    pub(super) fn check(&self, topic: Topic, partitions: &[u32]) -> Result<(), NoStart> {
        let named = self.reached.iter().map(Reached::place);
        let only = self.only().map(|place| (place.at.topic, place.at.partition));
        let mut named = named.chain(only);
        if !self.reached.is_empty() && !self.reached.iter().any(|r| r.place().0 == topic) {
            return Err(NoStart::Place(format!(
                "belongs to a reading without {topic}; ask as you asked then"
            )));
        }
        if let Some((topic, _)) = named.clone().find(|(topic, _)| !self.topics.contains(topic)) {
            return Err(NoStart::Place(format!(
                "belongs to a reading with {topic}; ask as you asked then"
            )));
        }
        let missing = named.find(|place| place.0 == topic && !partitions.contains(&place.1));
        missing.map_or(Ok(()), |(_, partition)| {
            Err(NoStart::Place(format!("{topic} has no partition {partition}")))
        })
    }
}

fn within(reached: &Reached, first: Position, end: Position) -> Result<(), NoStart> {
    let next = reached.next();
    if next < first.offset {
        return Err(gone(first));
    }
    if next > end.offset {
        let Position { topic, partition, offset } = end;
        return Err(other(&format!(
            "{topic}/{partition} ends at offset {offset}, before {reached}"
        )));
    }
    Ok(())
}

fn gone(first: Position) -> NoStart {
    NoStart::Place(format!(
        "names records that retention has removed; the oldest kept is {first}: begin there, or with \
         from=earliest"
    ))
}

fn other(why: &str) -> NoStart {
    NoStart::Place(format!(
        "is not a place in this log: {why}. The log was restored or made again; begin with \
         from=earliest and skip the events you know by their eventId"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_behind_each_record_given() {
        let written = "orders.events.v1/0@17~2026-01-02T03:04:05.000006Z;payments.events.v1/0@4";
        let reached = resume(written).expect("a cursor");
        assert_eq!(reached.iter().map(Reached::next).collect::<Vec<_>>(), [18, 4]);
        assert_eq!(cursor(&reached[0], reached[1..].iter().copied()), written);
        let unseen = "orders.events.v1/0@17~2026-01-02T03:04:05.000006Z;payments.events.v1/0@first,\
                      payments.events.v1/1@since~2026-01-02T03:04:05.000006Z";
        let reached = resume(unseen).expect("a cursor");
        assert_eq!(cursor(&reached[0], reached[1..].iter().copied()), unseen);
        let plain = resume("orders.events.v1/0@17;payments.events.v1/0@4").expect("a cursor");
        assert_eq!(plain.iter().map(Reached::next).collect::<Vec<_>>(), [18, 4]);
        for wrong in [
            "",
            "17",
            "orders.events.v1/0@17;x",
            "orders.events.v1/0@17~noon",
            "orders.events.v1/0@18446744073709551615",
        ] {
            assert!(resume(wrong).is_none(), "{wrong}");
        }
    }
}
