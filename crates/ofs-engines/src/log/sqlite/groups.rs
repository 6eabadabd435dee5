//! Consumer groups: who is a member, who owns which topic, and how far each group is.
//!
//! In memory; the writer makes the positions durable. Does not read or deliver records.

use ofs_events::Topic;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One group's position on one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupPosition {
    pub group: String,
    pub topic: Topic,
    pub offset: u64,
}

#[derive(Debug, Default)]
struct Group {
    /// In the order in which they joined.
    members: Vec<(u64, Vec<Topic>)>,
    positions: BTreeMap<Topic, u64>,
}

impl Group {
    /// The longest-standing member that reads `topic` owns it: ownership only moves when one leaves.
    fn owner(&self, topic: Topic) -> Option<u64> {
        let owner = self.members.iter().find(|(_, topics)| topics.contains(&topic));
        owner.map(|(member, _)| *member)
    }
}

#[derive(Debug, Default)]
struct State {
    groups: HashMap<String, Group>,
    /// Positions that the file does not have yet.
    dirty: BTreeSet<(String, Topic)>,
    next_member: u64,
}

/// All groups of the log.
#[derive(Debug, Default)]
pub(super) struct Groups(Mutex<State>);

impl Groups {
    /// Groups as the file knows them.
    pub fn new(positions: Vec<GroupPosition>) -> Self {
        let mut state = State::default();
        for at in positions {
            state.groups.entry(at.group).or_default().positions.insert(at.topic, at.offset);
        }
        Self(Mutex::new(state))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a member; it owns what no earlier member reads.
    pub fn join(&self, group: &str, topics: &[Topic]) -> u64 {
        let mut state = self.lock();
        state.next_member += 1;
        let member = state.next_member;
        state.groups.entry(group.to_owned()).or_default().members.push((member, topics.to_vec()));
        member
    }

    /// Removes a member; the next one in line owns its topics.
    pub fn leave(&self, group: &str, member: u64) {
        if let Some(group) = self.lock().groups.get_mut(group) {
            group.members.retain(|(id, _)| *id != member);
        }
    }

    /// Whether `member` is the one that reads `topic`.
    pub fn owns(&self, group: &str, topic: Topic, member: u64) -> bool {
        self.lock().groups.get(group).is_some_and(|group| group.owner(topic) == Some(member))
    }

    /// The groups that have a member which reads `topic`.
    pub fn reading(&self, topic: Topic) -> Vec<String> {
        let state = self.lock();
        let reading = state.groups.iter().filter(|(_, group)| group.owner(topic).is_some());
        reading.map(|(name, _)| name.clone()).collect()
    }

    /// Whether a member reads `topic` for the group.
    pub fn is_read(&self, group: &str, topic: Topic) -> bool {
        self.lock().groups.get(group).is_some_and(|group| group.owner(topic).is_some())
    }

    /// Where the group is on `topic`; none before its first ack.
    pub fn position(&self, group: &str, topic: Topic) -> Option<u64> {
        self.lock().groups.get(group)?.positions.get(&topic).copied()
    }

    /// Moves the group forward to `offset`, if `member` owns the topic. `true` if the writer has to be
    /// told that there is something to write.
    pub fn ack(&self, group: &str, member: u64, topic: Topic, offset: u64) -> bool {
        let mut state = self.lock();
        let Some(known) = state.groups.get_mut(group) else { return false };
        let behind = known.positions.get(&topic).is_none_or(|at| *at < offset);
        if !behind || known.owner(topic) != Some(member) {
            return false;
        }
        known.positions.insert(topic, offset);
        let first = state.dirty.is_empty();
        state.dirty.insert((group.to_owned(), topic));
        first
    }

    /// Moves the group to `offset`s, forward or back; `false` if it has members.
    pub fn reset(&self, group: &str, to: &[(Topic, u64)]) -> bool {
        let mut state = self.lock();
        let known = state.groups.entry(group.to_owned()).or_default();
        if !known.members.is_empty() {
            return false;
        }
        known.positions.extend(to.iter().copied());
        state.dirty.extend(to.iter().map(|(topic, _)| (group.to_owned(), *topic)));
        true
    }

    /// The groups that have a position, by name.
    pub fn names(&self) -> Vec<String> {
        let state = self.lock();
        let known = state.groups.iter().filter(|(_, group)| !group.positions.is_empty());
        let mut names: Vec<String> = known.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Forgets the group; `false` if it has members.
    pub fn forget(&self, group: &str) -> bool {
        let mut state = self.lock();
        if state.groups.get(group).is_some_and(|known| !known.members.is_empty()) {
            return false;
        }
        state.groups.remove(group);
        state.dirty.retain(|(name, _)| name != group);
        true
    }

    /// Whether there is something to write.
    pub fn is_dirty(&self) -> bool {
        !self.lock().dirty.is_empty()
    }

    /// Takes what is to be written; [`Groups::unwritten`] brings it back if that fails.
    pub fn take_dirty(&self) -> Vec<GroupPosition> {
        let mut state = self.lock();
        let dirty = std::mem::take(&mut state.dirty);
        let position = |(group, topic): (String, Topic)| {
            let offset = *state.groups.get(&group)?.positions.get(&topic)?;
            Some(GroupPosition { group, topic, offset })
        };
        dirty.into_iter().filter_map(position).collect()
    }

    /// These could not be written; they are to be written with the next commit.
    pub fn unwritten(&self, positions: Vec<GroupPosition>) {
        self.lock().dirty.extend(positions.into_iter().map(|at| (at.group, at.topic)));
    }
}
