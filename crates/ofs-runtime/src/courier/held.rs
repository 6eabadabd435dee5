//! The keys that a courier leaves out when it looks for what is owed: those being delivered, and
//! those that failed, each for its own time, so that items not delivered before go ahead of them.

use crate::backoff::Backoff;
use ofs_events::Key;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// A failed key that is no longer owed (another process delivered it) is forgotten after this time.
const FORGET: Duration = Duration::from_mins(1);

struct Hold {
    /// None while it is under way.
    until: Option<Instant>,
    backoff: Backoff,
}

#[derive(Default)]
pub(super) struct Held(HashMap<Key, Hold>);

impl Held {
    /// Those to leave out now.
    pub fn now(&mut self) -> Vec<Key> {
        let now = Instant::now();
        self.0.retain(|_, hold| hold.until.is_none_or(|until| until + FORGET > now));
        let held = self.0.iter().filter(|(_, hold)| hold.until.is_none_or(|until| until > now));
        held.map(|(key, _)| *key).collect()
    }

    /// Those under way, and those that failed, due again or not.
    pub fn all(&self) -> Vec<Key> {
        self.0.keys().copied().collect()
    }

    /// `keys` are under way from now on. Whether some of them had not failed before.
    pub fn take(&mut self, keys: &[Key]) -> bool {
        let known = self.0.len();
        for key in keys {
            let hold = Hold { until: None, backoff: Backoff::world() };
            self.0.entry(*key).or_insert(hold).until = None;
        }
        self.0.len() > known
    }

    /// These were not delivered.
    pub fn fail(&mut self, failed: impl Iterator<Item = Key>) {
        for key in failed {
            if let Some(hold) = self.0.get_mut(&key) {
                hold.until = Some(Instant::now() + hold.backoff.next_wait());
            }
        }
    }

    /// The delivery of `keys` is over, and settled where they did not fail.
    pub fn release(&mut self, keys: &[Key]) {
        for key in keys {
            if self.0.get(key).is_some_and(|hold| hold.until.is_none()) {
                self.0.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const ONE: Key = Key(Uuid::from_u128(1));
    const OTHER: Key = Key(Uuid::from_u128(2));

    #[test]
    fn what_failed_waits_longer_each_time_and_what_arrived_does_not() {
        let mut held = Held::default();
        let mut longest = Duration::ZERO;
        for attempt in 0..12 {
            let keys = [ONE, OTHER];
            assert!(held.take(&keys), "the other one is new each time");
            assert_eq!(held.now().len(), 2, "both are under way");
            held.fail([ONE].into_iter());
            held.release(&keys);
            assert!(!held.0.contains_key(&OTHER));
            let until = held.0[&ONE].until.expect("it waits");
            longest = longest.max(until.saturating_duration_since(Instant::now()));
            assert!(longest <= Duration::from_secs(5), "attempt {attempt}: {longest:?}");
        }
        assert!(longest > Duration::from_millis(250), "{longest:?}");
        assert!(!held.take(&[ONE]), "it has failed before");
    }
}
