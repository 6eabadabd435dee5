//! Where a group goes on, and whether it may: nothing that it has not read may be gone, and the
//! topics must be the ones it knew. What is doubtful is for a person to decide.

use super::Place;
use super::names::Names;
use super::note::Note;
use super::observer::{Committed, View};
use ofs_events::{Timestamp, Topic};
use ofs_runtime::log::Error;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Where a group goes on in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub place: Place,
    pub offset: u64,
    pub note: Note,
    /// The group has not been here; where it begins is still to be committed.
    pub fresh: bool,
    /// Nobody can tell where it begins: it has not been here, and the partition has no leader.
    pub unseen: bool,
}

/// Where a member is in a partition it owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub place: Place,
    /// The offset behind the last record it got.
    pub next: u64,
    pub note: Note,
}

impl View {
    /// Where `group` goes on in those partitions of `topics` that are `wanted`. What stands in one
    /// without a leader is looked at when it has one again, see [`View::check`].
    ///
    /// # Errors
    /// [`Error::Lost`] with what happened and what to do.
    pub fn starts(
        &mut self,
        group: &str,
        topics: &[Topic],
        wanted: impl Fn(&Place) -> bool,
    ) -> Result<Vec<Start>, Error> {
        let mut places = self.places(topics, Duration::ZERO)?;
        places.retain(wanted);
        let committed = self.committed(&places)?;
        let led = self.led(&places);
        let (firsts, ends) = (self.firsts(&led)?, self.ends(&led)?);
        let mut starts = Vec::with_capacity(places.len());
        for place in places {
            let first = firsts.get(&place).copied();
            let known = committed.get(&place).copied();
            let start = start(place, known, first, self.count(place.0));
            if let Some(first) = first {
                let end = ends.get(&place).copied().unwrap_or(first);
                self.judge(group, first..=end, start.standing())?;
            }
            starts.push(start);
        }
        self.compare(group, &firsts, starts.iter().map(Start::standing))?;
        Ok(starts)
    }

    /// Whether a member may go on where it stands.
    ///
    /// # Errors
    /// As [`View::starts`].
    pub fn check(&mut self, group: &str, standings: &[Standing]) -> Result<(), Error> {
        let places: Vec<Place> = standings.iter().map(|standing| standing.place).collect();
        let topics: BTreeSet<Topic> = places.iter().map(|(topic, _)| *topic).collect();
        self.places(&Vec::from_iter(topics), Duration::ZERO)?;
        let led = self.led(&places);
        let (firsts, ends) = (self.firsts(&led)?, self.ends(&led)?);
        for standing in standings.iter().filter(|standing| self.is_led(&standing.place)) {
            let first = firsts.get(&standing.place).copied().unwrap_or(0);
            let end = ends.get(&standing.place).copied().unwrap_or(first);
            self.judge(group, first..=end, *standing)?;
        }
        self.compare(group, &firsts, standings.iter().copied())
    }

    fn judge(
        &self,
        group: &str,
        bounds: std::ops::RangeInclusive<u64>,
        Standing { place, next, note }: Standing,
    ) -> Result<(), Error> {
        let names = &self.cluster.names;
        let partitions = self.count(place.0);
        if note.partitions != partitions {
            return Err(repartitioned(names, group, place, note.partitions, partitions));
        }
        if next < *bounds.start() {
            return Err(cut_off(names, group, place, next, *bounds.start()));
        }
        if next > *bounds.end() {
            return Err(too_short(names, group, place, next, *bounds.end()));
        }
        Ok(())
    }

    /// Compares what is noted of the last records with what stands there.
    fn compare(
        &mut self,
        group: &str,
        firsts: &HashMap<Place, u64>,
        standings: impl Iterator<Item = Standing>,
    ) -> Result<(), Error> {
        let kept = |place: &Place, offset: u64| firsts.get(place).is_some_and(|f| *f <= offset);
        let noted: HashMap<Place, (u64, Timestamp)> = standings
            .filter_map(|standing| Some((standing.place, standing.note.last?)))
            .filter(|(place, (offset, _))| kept(place, *offset))
            .collect();
        let found = self.at(noted.iter().map(|(place, (offset, _))| (*place, *offset)))?;
        for (place, (offset, time)) in &noted {
            // Another offset: that record was compacted away, which tells nothing.
            if let Some(found) = found.get(place)
                && found.at.offset == *offset
                && found.appended_at != *time
            {
                return Err(other_record(&self.cluster.names, group, *place, *offset));
            }
        }
        Ok(())
    }
}

impl Start {
    fn standing(&self) -> Standing {
        Standing { place: self.place, next: self.offset, note: self.note }
    }
}

fn start(place: Place, known: Option<Committed>, first: Option<u64>, partitions: u32) -> Start {
    let blank = Note { partitions, last: None };
    match known {
        Some(Committed { offset, note }) => {
            let note = note.unwrap_or(blank);
            Start { place, offset, note, fresh: false, unseen: false }
        }
        None => {
            let (offset, unseen) = (first.unwrap_or(0), first.is_none());
            Start { place, offset, note: blank, fresh: true, unseen }
        }
    }
}

fn repartitioned(names: &Names, group: &str, place: Place, before: u32, now: u32) -> Error {
    lost(
        names,
        group,
        place,
        &format!(
            "topic had {before} partitions when the group was last there and has {now} now, so that \
         later events of a key stand in another partition than earlier ones"
        ),
    )
}

fn cut_off(names: &Names, group: &str, place: Place, next: u64, first: u64) -> Error {
    lost(
        names,
        group,
        place,
        &format!(
            "group is at offset {next}, but everything below {first} has been removed before it was read"
        ),
    )
}

fn too_short(names: &Names, group: &str, place: Place, next: u64, end: u64) -> Error {
    lost(
        names,
        group,
        place,
        &format!(
            "group is at offset {next}, but the partition ends at {end}: the topic was made anew, or \
         the cluster lost records"
        ),
    )
}

fn other_record(names: &Names, group: &str, place: Place, offset: u64) -> Error {
    lost(
        names,
        group,
        place,
        &format!(
            "the record at offset {offset} is not the one that the group read there: the topic was \
         made anew"
        ),
    )
}

fn lost(names: &Names, group: &str, (topic, partition): Place, what: &str) -> Error {
    let name = names.topic(topic);
    Error::Lost(format!(
        "{name}/{partition}, group {group}: {what}; decide where the group goes on with `ofs events \
         reset --group {group} --topic {topic} --to earliest` (or latest, or a time)"
    ))
}
