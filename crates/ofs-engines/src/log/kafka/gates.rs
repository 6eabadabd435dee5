//! Partitions that take nothing at present, most likely for want of a leader. What would go there is
//! not even tried until it is time to: it would take as long as a message may, each time.

use super::Place;
use ofs_events::Topic;
use ofs_runtime::backoff::Backoff;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The waits between two trials, at least and at most.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// How long a trial may take: a little more than a message may.
const TRIAL: Duration = Duration::from_secs(11);

struct Gate {
    closed_until: Instant,
    /// What has been let through has not come to its end.
    on_trial: bool,
    backoff: Backoff,
}

#[derive(Default)]
struct State {
    gates: HashMap<Place, Gate>,
    /// How many partitions a topic has, as far as that is known.
    partitions: HashMap<Topic, u32>,
    /// Topics that are being asked for.
    asked: HashSet<Topic>,
}

/// The partitions that appends have failed in lately.
#[derive(Default)]
pub(super) struct Gates(Mutex<State>);

impl Gates {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what has this key may go to `topic` now.
    pub fn is_open(&self, topic: Topic, key: &[u8]) -> bool {
        let state = self.lock();
        if state.gates.is_empty() {
            return true;
        }
        let place = state.place(topic, key);
        let gate = place.and_then(|place| state.gates.get(&place));
        gate.is_none_or(|gate| gate.closed_until <= Instant::now())
    }

    /// Something with this key is on its way: what comes behind waits for what becomes of it.
    pub fn pass(&self, topic: Topic, key: &[u8]) {
        let mut state = self.lock();
        if state.gates.is_empty() {
            return;
        }
        let now = Instant::now();
        if let Some(place) = state.place(topic, key)
            && let Some(gate) = state.gates.get_mut(&place)
            && gate.closed_until <= now
        {
            (gate.closed_until, gate.on_trial) = (now + TRIAL, true);
        }
    }

    /// Something has arrived. Where it did, more may follow; elsewhere it is time to try.
    pub fn arrived(&self, place: Place) {
        let mut state = self.lock();
        if state.gates.remove(&place).is_some() {
            for gate in state.gates.values_mut().filter(|gate| !gate.on_trial) {
                gate.closed_until = Instant::now();
            }
        }
    }

    /// Something has failed, like other things with it.
    pub fn failed(&self, place: Place) {
        let mut state = self.lock();
        let now = Instant::now();
        let (least, most) = WAITS;
        let new = || Gate { closed_until: now, on_trial: true, backoff: Backoff::new(least, most) };
        let gate = state.gates.entry(place).or_insert_with(new);
        if gate.on_trial || gate.closed_until <= now {
            (gate.closed_until, gate.on_trial) = (now + gate.backoff.next_wait(), false);
        }
    }

    /// Whether nobody asks for `topic`; from then on somebody does.
    pub fn ask(&self, topic: Topic) -> bool {
        self.lock().asked.insert(topic)
    }

    /// What was asked for has been answered: the topic's partitions, if it is known.
    pub fn answer(&self, topic: Topic, partitions: Option<u32>) {
        let mut state = self.lock();
        state.asked.remove(&topic);
        state.partitions.extend(partitions.map(|partitions| (topic, partitions)));
    }
}

impl State {
    fn place(&self, topic: Topic, key: &[u8]) -> Option<Place> {
        let partitions = self.partitions.get(&topic).filter(|partitions| **partitions > 0)?;
        Some((topic, (murmur2(key) & 0x7fff_ffff) % partitions))
    }
}

/// The hash by which clients of Kafka choose a partition, ours, too (`partitioner=murmur2_random`).
fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ u32::try_from(key.len()).unwrap_or(u32::MAX);
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mixed = u32::from_le_bytes(*word).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (mixed ^ (mixed >> 24)).wrapping_mul(M);
    }
    if !tail.is_empty() {
        let rest = tail.iter().rev().fold(0, |rest, byte| (rest << 8) | u32::from(*byte));
        hash = (hash ^ rest).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With seven partitions, `21` goes to `murmur2("21") % 7`.
    const KEY: &[u8] = b"21";

    fn gates() -> (Gates, Place) {
        let gates = Gates::default();
        assert!(gates.ask(Topic::Orders) && !gates.ask(Topic::Orders));
        gates.answer(Topic::Orders, Some(7));
        assert!(gates.ask(Topic::Orders));
        (gates, (Topic::Orders, (murmur2(KEY) & 0x7fff_ffff) % 7))
    }

    /// The values that Kafka's own clients are tested with.
    #[test]
    fn the_hash_is_that_of_other_clients() {
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn where_something_failed_the_rest_waits_and_elsewhere_it_does_not() {
        let (gates, place) = gates();
        assert!(gates.is_open(Topic::Orders, KEY));
        gates.failed(place);
        gates.failed(place);
        assert!(!gates.is_open(Topic::Orders, KEY));
        assert!(gates.is_open(Topic::Payments, KEY));
        let others = (0..100).map(|n: u32| n.to_string());
        assert!(others.filter(|key| gates.is_open(Topic::Orders, key.as_bytes())).count() > 50);
    }

    #[test]
    fn one_trial_at_a_time_and_where_it_arrives_all_may_pass() {
        let (gates, place) = gates();
        let elsewhere = (Topic::Payments, 0);
        gates.failed(place);
        gates.failed(elsewhere);
        gates.lock().gates.get_mut(&place).expect("it").closed_until = Instant::now();
        assert!(gates.is_open(Topic::Orders, KEY));
        gates.pass(Topic::Orders, KEY);
        assert!(!gates.is_open(Topic::Orders, KEY), "one is under way");
        gates.arrived(place);
        assert!(gates.is_open(Topic::Orders, KEY));
        assert!(gates.lock().gates[&elsewhere].closed_until <= Instant::now());
    }
}
