//! The newest records of each topic, in memory, so that the services do not each read them from disk.
//!
//! Holds only what is durable; older records are read from the file.

use ofs_events::Topic;
use ofs_runtime::budget::{BATCH_BYTES, BATCHES, Budget, Weight};
use ofs_runtime::log::Received;
use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};

/// Bounds of one topic's tail.
const MAX_RECORDS: usize = 8192;
const MAX_BYTES: usize = BATCHES * BATCH_BYTES;

/// What is known of a topic without reading the file. Offsets have no gaps.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The lowest offset kept in the file.
    first: u64,
    /// The offset of `records[0]`.
    base: u64,
    records: VecDeque<Received>,
    bytes: usize,
}

impl Tail {
    pub fn new(first: u64, end: u64) -> Self {
        Self { first, base: end, ..Self::default() }
    }

    pub fn first(&self) -> u64 {
        self.first
    }

    pub fn end(&self) -> u64 {
        self.base + self.records.len() as u64
    }

    fn push(&mut self, record: Received) {
        self.bytes += record.weight();
        self.records.push_back(record);
        while self.records.len() > MAX_RECORDS || self.bytes > MAX_BYTES {
            self.drop_front();
        }
    }

    fn drop_front(&mut self) {
        if let Some(old) = self.records.pop_front() {
            self.bytes -= old.weight();
            self.base += 1;
        }
    }

    /// Records below `first` are gone from the file.
    fn cut(&mut self, first: u64) {
        self.first = first;
        while self.base < first && !self.records.is_empty() {
            self.drop_front();
        }
    }

    /// Records from `from` on; none if `from` is not held here.
    pub fn take(&self, from: u64, mut budget: Budget) -> Option<Vec<Received>> {
        let skip = usize::try_from(from.checked_sub(self.base)?).ok()?;
        let mut taken = Vec::new();
        for record in self.records.iter().skip(skip) {
            taken.push(record.clone());
            if !budget.spend(record.weight()) {
                break;
            }
        }
        Some(taken)
    }
}

/// The tails of all topics.
#[derive(Debug)]
pub(super) struct Tails(Vec<RwLock<Tail>>);

impl Tails {
    /// One for each topic, in the order of [`Topic::ALL`].
    pub fn new(tails: Vec<Tail>) -> Self {
        Self(tails.into_iter().map(RwLock::new).collect())
    }

    /// Reads one topic's tail.
    pub fn with<T>(&self, topic: Topic, read: impl FnOnce(&Tail) -> T) -> T {
        read(&self.0[topic as usize].read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds records that are durable now, in the order of their offsets.
    pub fn publish(&self, records: Vec<Received>) {
        for record in records {
            let tail = &self.0[record.at.topic as usize];
            tail.write().unwrap_or_else(PoisonError::into_inner).push(record);
        }
    }

    /// Everything below `first` is gone from the file.
    pub fn cut(&self, topic: Topic, first: u64) {
        self.0[topic as usize].write().unwrap_or_else(PoisonError::into_inner).cut(first);
    }
}
