//! What a member has in hand: the records between the thread that fetches them and the worker
//! that asks for them, which partitions are owned, and how far each is acknowledged.
//!
//! Keeps generations apart; speaks to nobody.

use super::Place;
use super::note::Note;
use super::start::{Standing, Start};
use ofs_events::Timestamp;
use ofs_runtime::budget::{BATCH_BYTES, BATCHES, Budget, Weight};
use ofs_runtime::log::{Error, Polled, Received};
use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Records waiting for the worker beyond which no more are fetched.
const MAX_RECORDS: usize = 2048;
const MAX_BYTES: usize = BATCHES * BATCH_BYTES;

/// A position to be committed.
pub(super) type Commit = (Place, u64, Note);

enum Item {
    Record(Received),
    Revoked(Vec<Place>),
}

/// A partition that this member owns.
struct Owned {
    note: Note,
    /// Records taken in and not acknowledged, with their times.
    open: VecDeque<(u64, Timestamp)>,
    /// The offset behind the last record taken in.
    next: u64,
    acked: u64,
    /// In the last commit that the cluster is known to have kept.
    kept: Option<u64>,
    /// Nothing was taken in, and nobody could tell where the partition begins.
    unseen: bool,
    /// The worker has not been told yet that an earlier generation of it is gone: what it
    /// acknowledges is of that one.
    muted: bool,
}

impl Owned {
    fn new(start: &Start, muted: bool) -> Self {
        let known = (!start.fresh).then_some(start.offset);
        Self {
            note: start.note,
            open: VecDeque::new(),
            next: start.offset,
            acked: start.offset,
            kept: known,
            unseen: start.unseen,
            muted,
        }
    }

    fn take_in(&mut self, record: &Received) {
        if self.unseen {
            (self.acked, self.unseen) = (record.at.offset, false);
        }
        self.next = record.at.offset + 1;
        self.open.push_back((record.at.offset, record.appended_at));
    }

    fn ack(&mut self, offset: u64) {
        if self.muted || offset <= self.acked || offset > self.next {
            return;
        }
        self.acked = offset;
        while let Some(record) = self.open.pop_front_if(|(open, _)| *open < offset) {
            self.note.last = Some(record);
        }
    }
}

#[derive(Default)]
struct State {
    queue: VecDeque<Item>,
    records: usize,
    bytes: usize,
    owned: HashMap<Place, Owned>,
    stopping: bool,
    ended: Option<Error>,
}

/// Shared by a subscription and its thread.
#[derive(Default)]
pub(super) struct Hand {
    state: Mutex<State>,
    /// Wakes the worker.
    arrived: Notify,
    /// Wakes the thread.
    changed: Condvar,
}

impl Hand {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- the thread's side

    /// These partitions are ours from now on.
    pub fn assign(&self, starts: &[Start]) {
        let mut state = self.lock();
        for start in starts {
            let muted = state
                .queue
                .iter()
                .any(|item| matches!(item, Item::Revoked(places) if places.contains(&start.place)));
            state.owned.insert(start.place, Owned::new(start, muted));
        }
    }

    /// These partitions are not ours any more; answers with what is acknowledged and not known to be kept.
    pub fn revoke(&self, places: &[Place]) -> Vec<Commit> {
        let mut state = self.lock();
        let gone: Vec<(Place, Owned)> =
            places.iter().filter_map(|place| Some((*place, state.owned.remove(place)?))).collect();
        if gone.is_empty() {
            return Vec::new();
        }
        let places: Vec<Place> = gone.iter().map(|(place, _)| *place).collect();
        let (mut records, mut bytes) = (0, 0);
        state.queue.retain(|item| match item {
            Item::Record(record) if places.contains(&(record.at.topic, record.at.partition)) => {
                records += 1;
                bytes += record.weight();
                false
            }
            _ => true,
        });
        state.records -= records;
        state.bytes -= bytes;
        state.queue.push_back(Item::Revoked(places));
        drop(state);
        self.arrived.notify_one();
        gone.into_iter().filter_map(|(place, owned)| unkept(place, &owned)).collect()
    }

    /// Takes a record in, if its partition is ours. The worker hears of it with [`Hand::tell`].
    pub fn push(&self, record: Received) {
        let mut state = self.lock();
        let place = (record.at.topic, record.at.partition);
        let Some(owned) = state.owned.get_mut(&place) else { return };
        if record.at.offset < owned.next {
            return;
        }
        owned.take_in(&record);
        state.records += 1;
        state.bytes += record.weight();
        state.queue.push_back(Item::Record(record));
    }

    /// Tells the worker that records came in.
    pub fn tell(&self) {
        self.arrived.notify_one();
    }

    /// Whether there is room for more records; waits for it up to `patience`.
    pub fn has_room(&self, patience: Duration) -> bool {
        let full = |state: &mut State| {
            !state.stopping && (state.records >= MAX_RECORDS || state.bytes >= MAX_BYTES)
        };
        let waited = self.changed.wait_timeout_while(self.lock(), patience, full);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Waits for `pause`, or until the subscription is being closed.
    pub fn pause(&self, pause: Duration) {
        let waited = self.changed.wait_timeout_while(self.lock(), pause, |state| !state.stopping);
        drop(waited);
    }

    /// Everything acknowledged that is not known to be kept.
    pub fn unkept(&self) -> Vec<Commit> {
        let state = self.lock();
        state.owned.iter().filter_map(|(place, owned)| unkept(*place, owned)).collect()
    }

    /// These commits were kept.
    pub fn settle(&self, commits: &[Commit]) {
        let mut state = self.lock();
        for (place, offset, _) in commits {
            if let Some(owned) = state.owned.get_mut(place) {
                owned.kept = Some(*offset);
            }
        }
    }

    /// Takes no commit for kept: all positions are to be written once more.
    pub fn doubt(&self) {
        for owned in self.lock().owned.values_mut() {
            owned.kept = None;
        }
    }

    /// The partitions that this member owns.
    pub fn places(&self) -> Vec<Place> {
        self.lock().owned.keys().copied().collect()
    }

    /// Where this member stands in each partition it owns, as far as that can be told.
    pub fn standings(&self) -> Vec<Standing> {
        let state = self.lock();
        let standing = |(place, owned): (&Place, &Owned)| Standing {
            place: *place,
            next: owned.next,
            note: owned.note,
        };
        state.owned.iter().filter(|(_, owned)| !owned.unseen).map(standing).collect()
    }

    /// The subscription ends with this error.
    pub fn end(&self, error: Error) {
        self.lock().ended.get_or_insert(error);
        self.arrived.notify_one();
    }

    /// Whether the subscription is being closed.
    pub fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    // ---- the worker's side

    /// Whether this member owns the partition.
    pub fn owns(&self, place: Place) -> bool {
        self.lock().owned.contains_key(&place)
    }

    /// What comes next. Takes it only when it is there, so the future may be dropped.
    pub async fn next(&self, max: usize) -> Result<Polled, Error> {
        loop {
            let arrived = self.arrived.notified();
            if let Some(polled) = self.take(max.max(1)) {
                return polled;
            }
            arrived.await;
        }
    }

    fn take(&self, max: usize) -> Option<Result<Polled, Error>> {
        let mut state = self.lock();
        if let Some(Item::Revoked(_)) = state.queue.front() {
            let Some(Item::Revoked(places)) = state.queue.pop_front() else { return None };
            state.unmute(&places);
            return Some(Ok(Polled::Revoked(places)));
        }
        if let Some(error) = &state.ended {
            return Some(Err(error.clone()));
        }
        let (mut records, mut budget, mut more) = (Vec::new(), Budget::of(max), true);
        while more
            && let Some(Item::Record(record)) =
                state.queue.pop_front_if(|item| matches!(item, Item::Record(_)))
        {
            state.records -= 1;
            state.bytes -= record.weight();
            more = budget.spend(record.weight());
            records.push(record);
        }
        drop(state);
        self.changed.notify_one();
        (!records.is_empty()).then_some(Ok(Polled::Records(records)))
    }

    /// Remembers that the worker is done with everything before these offsets.
    pub fn ack(&self, done: impl IntoIterator<Item = (Place, u64)>) {
        let mut state = self.lock();
        for (place, offset) in done {
            if let Some(owned) = state.owned.get_mut(&place) {
                owned.ack(offset);
            }
        }
    }

    /// The thread is to commit what is acknowledged, and to leave the group.
    pub fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_all();
    }
}

impl State {
    /// The worker knows now that these are gone, unless another notice is on its way.
    fn unmute(&mut self, places: &[Place]) {
        for place in places {
            let again = self
                .queue
                .iter()
                .any(|item| matches!(item, Item::Revoked(places) if places.contains(place)));
            if let Some(owned) = self.owned.get_mut(place) {
                owned.muted = again;
            }
        }
    }
}

fn unkept(place: Place, owned: &Owned) -> Option<Commit> {
    (!owned.unseen && owned.kept != Some(owned.acked)).then_some((place, owned.acked, owned.note))
}

#[cfg(test)]
mod tests;
