//! The records a worker holds: which waits for which, and up to where a partition is done.

use crate::budget::{BATCH_BYTES, BATCHES, Weight};
use crate::log::{Position, Received};
use ofs_events::{CorrelationId, DecodeError, Event, EventId, Key, Topic};
use std::collections::{BTreeMap, HashMap, VecDeque};
use tracing::field::{DisplayValue, display};

/// A record that the worker holds, decoded once.
#[derive(Debug)]
pub(crate) struct Item {
    pub received: Received,
    pub event: Result<Event, DecodeError>,
}

impl Item {
    pub(crate) fn read(received: Received) -> Self {
        let event = Event::decode(received.at.topic, received.key.as_deref(), &received.value);
        Self { received, event }
    }

    pub(crate) fn key(&self) -> Option<Key> {
        match &self.event {
            Ok(event) => Some(event.key()),
            Err(_) => Key::from_record_key(self.received.key.as_deref()),
        }
    }
}

/// What every log line about a record says of it, as far as it is known.
pub(crate) struct Named {
    pub key: Option<DisplayValue<Key>>,
    pub event: Option<DisplayValue<EventId>>,
    pub correlation: Option<DisplayValue<CorrelationId>>,
}

impl Named {
    pub(crate) fn of(item: &Item) -> Self {
        let event = item.event.as_ref().ok();
        Self {
            key: item.key().map(display),
            event: event.map(|event| display(event.id)),
            correlation: event.map(|event| display(event.correlation_id)),
        }
    }
}

/// Records of one key (or one record of none), to be handled in this order.
#[derive(Debug)]
pub(crate) struct KeyBatch {
    pub key: Option<Key>,
    pub items: Vec<Item>,
}

#[derive(Debug, Default)]
struct Partition {
    /// What is not done yet, and what it weighs.
    open: BTreeMap<u64, usize>,
    next: u64,
    acked: u64,
}

/// Everything polled and not yet done: at most [`Window::SIZE`] records, and as many bytes as so many
/// batches have.
#[derive(Debug, Default)]
pub(crate) struct Window {
    partitions: HashMap<(Topic, u32), Partition>,
    busy: HashMap<Key, VecDeque<Item>>,
    in_hand: usize,
    bytes: usize,
}

impl Window {
    /// The most records of one batch.
    pub(crate) const BATCH: usize = 128;
    /// Bounds the memory of a worker: at most this many records are held.
    pub(crate) const SIZE: usize = BATCHES * Self::BATCH;

    /// How many records may be polled now; those that come weigh no more than a batch does.
    pub(crate) fn room(&self) -> usize {
        if self.bytes >= BATCHES * BATCH_BYTES {
            return 0;
        }
        Self::SIZE.saturating_sub(self.in_hand).min(Self::BATCH)
    }

    /// Takes records in; answers with the groups that can be handled now. Records of a key that is
    /// being handled wait for it.
    pub(crate) fn admit(&mut self, records: Vec<Received>) -> Vec<KeyBatch> {
        let mut groups: Vec<KeyBatch> = Vec::with_capacity(records.len());
        let mut started: HashMap<Key, usize> = HashMap::new();
        for received in records {
            self.open(&received);
            let item = Item::read(received);
            let Some(key) = item.key() else {
                groups.push(KeyBatch { key: None, items: vec![item] });
                continue;
            };
            if let Some(at) = started.get(&key) {
                groups[*at].items.push(item);
            } else if let Some(waiting) = self.busy.get_mut(&key) {
                waiting.push_back(item);
            } else {
                self.busy.insert(key, VecDeque::new());
                started.insert(key, groups.len());
                groups.push(KeyBatch { key: Some(key), items: vec![item] });
            }
        }
        groups
    }

    /// Marks a group done; answers with what waited for it.
    pub(crate) fn finish(&mut self, group: &KeyBatch) -> Option<KeyBatch> {
        for item in &group.items {
            self.close(item.received.at);
        }
        let key = group.key?;
        let waiting = self.busy.get_mut(&key)?;
        if waiting.is_empty() {
            self.busy.remove(&key);
            return None;
        }
        Some(KeyBatch { key: Some(key), items: waiting.drain(..).collect() })
    }

    /// Forgets partitions that belong to another member now. What is being handled goes on: versions
    /// and inbox decide whether it counts.
    pub(crate) fn revoke(&mut self, partitions: &[(Topic, u32)]) {
        let lost = |at: Position| partitions.contains(&(at.topic, at.partition));
        for waiting in self.busy.values_mut() {
            waiting.retain(|item| !lost(item.received.at));
        }
        for partition in partitions {
            let Some(gone) = self.partitions.remove(partition) else { continue };
            self.in_hand -= gone.open.len();
            self.bytes -= gone.open.values().sum::<usize>();
        }
    }

    /// Up to where each partition is done, where that has moved since the last call.
    pub(crate) fn done(&mut self) -> Vec<(Topic, u32, u64)> {
        let moved = self.partitions.iter_mut().filter_map(|((topic, partition), state)| {
            let done = state.open.keys().next().copied().unwrap_or(state.next);
            (done > state.acked).then(|| {
                state.acked = done;
                (*topic, *partition, done)
            })
        });
        moved.collect()
    }

    fn open(&mut self, received: &Received) {
        let (at, weight) = (received.at, received.weight());
        let state = self.partitions.entry((at.topic, at.partition)).or_default();
        state.open.insert(at.offset, weight);
        state.next = at.offset + 1;
        self.in_hand += 1;
        self.bytes += weight;
    }

    fn close(&mut self, at: Position) {
        let Some(state) = self.partitions.get_mut(&(at.topic, at.partition)) else { return };
        if let Some(weight) = state.open.remove(&at.offset) {
            self.in_hand -= 1;
            self.bytes -= weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ofs_events::Timestamp;
    use uuid::Uuid;

    fn record(offset: u64, key: u128) -> Received {
        Received {
            at: Position { topic: Topic::Orders, partition: 0, offset },
            appended_at: Timestamp::from_micros(0),
            key: Some(Key(Uuid::from_u128(key)).to_string().into()),
            headers: Vec::new(),
            value: Bytes::from_static(b"x"),
        }
    }

    #[test]
    fn later_records_of_an_order_wait_for_the_earlier_ones() {
        let mut window = Window::default();
        let first = window.admit(vec![record(0, 1), record(1, 2), record(2, 1)]);
        assert_eq!(first.iter().map(|group| group.items.len()).collect::<Vec<_>>(), [2, 1]);
        assert!(window.admit(vec![record(3, 1)]).is_empty());
        assert!(window.finish(&first[1]).is_none());
        assert!(window.done().is_empty(), "offset 0 is still open");
        let second = window.finish(&first[0]).expect("offset 3 waited");
        assert_eq!(window.done(), [(Topic::Orders, 0, 3)]);
        assert!(window.finish(&second).is_none());
        assert_eq!(window.done(), [(Topic::Orders, 0, 4)]);
        assert_eq!((window.room(), window.bytes), (Window::BATCH, 0));
    }

    #[test]
    fn a_revoked_partition_is_neither_acknowledged_nor_counted() {
        let mut window = Window::default();
        let first = window.admit(vec![record(0, 1), record(1, 2)]);
        assert!(window.admit(vec![record(2, 1)]).is_empty());
        window.revoke(&[(Topic::Orders, 0)]);
        for group in &first {
            assert!(window.finish(group).is_none());
        }
        assert!(window.done().is_empty());
        assert_eq!((window.room(), window.bytes), (Window::BATCH, 0));
    }

    #[test]
    fn a_window_is_full_of_few_large_records_as_of_many_small_ones() {
        let mut window = Window::default();
        let mut groups = Vec::new();
        for offset in 0.. {
            if window.room() == 0 {
                break;
            }
            let value = Bytes::from(vec![b'x'; 256 * 1024]);
            let large = Received { value, ..record(offset, u128::from(offset)) };
            groups.extend(window.admit(vec![large]));
        }
        assert_eq!(groups.len(), BATCHES * BATCH_BYTES / (256 * 1024));
        assert!(window.finish(&groups[0]).is_none() && window.room() > 0);
        window.revoke(&[(Topic::Orders, 0)]);
        assert_eq!((window.room(), window.bytes), (Window::BATCH, 0));
    }
}
