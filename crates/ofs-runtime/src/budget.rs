//! How much is held in memory at once, in items and in bytes. Code that reads, carries or keeps items
//! in batches does so within a [`Budget`]; a single item always fits, however big it is.

use crate::log::{Message, Received};
use crate::store::{Commit, Due, Outgoing, Parked, Parking, Record};
use ofs_events::Key;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one batch: more than a full one of usual events or documents, and ten of the largest.
pub const BATCH_BYTES: usize = 2 << 20;

/// Batches that one part of a process holds at once, and so the most that it holds: a worker of what it
/// reads, a courier of what it carries, an engine of what it is to write.
pub const BATCHES: usize = 4;

/// The fewest things to ask for at once; so many of the largest are still a bounded amount.
const FEW: usize = 64;

/// Something of which many are held.
pub trait Weight {
    /// Bytes of memory that it is counted with: those of its texts and values.
    fn weight(&self) -> usize;
}

/// What may still be taken. The last thing taken may be more than was left, so the first always fits.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    items: usize,
    bytes: usize,
}

impl Budget {
    /// At most `items`, and the bytes of a batch.
    #[must_use]
    pub const fn of(items: usize) -> Self {
        Self::new(items, BATCH_BYTES)
    }

    /// At most `items`, and `bytes` of them.
    #[must_use]
    pub const fn new(items: usize, bytes: usize) -> Self {
        Self { items, bytes }
    }

    /// Things that may still be taken; none if the bytes are used up.
    #[must_use]
    pub const fn items(self) -> usize {
        if self.bytes == 0 { 0 } else { self.items }
    }

    /// Takes out something of this `weight`; whether more may be taken.
    pub const fn spend(&mut self, weight: usize) -> bool {
        self.items = self.items.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(weight);
        self.items() > 0
    }
}

/// How many things to ask for where it shows only afterwards how many fit: at most twice as many as came
/// last, so that what an engine reads in vain is bounded, too.
#[derive(Debug)]
pub struct Appetite {
    most: usize,
    next: AtomicUsize,
}

impl Appetite {
    /// Begins with `most`, and never asks for more.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { most, next: AtomicUsize::new(most) }
    }

    /// How many to ask for.
    #[must_use]
    pub fn ask(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    /// So many came.
    pub fn came(&self, count: usize) {
        self.next.store((2 * count).max(FEW).min(self.most), Ordering::Relaxed);
    }
}

/// Bytes that are held by many at once, each for a time. Who finds no room waits for it, in line.
#[derive(Clone, Debug)]
pub struct Room {
    free: Arc<Semaphore>,
    bytes: u32,
}

/// A part of a [`Room`], given back when it is dropped.
pub type Share = Option<OwnedSemaphorePermit>;

impl Default for Room {
    fn default() -> Self {
        Self::of(u32::try_from(BATCHES * BATCH_BYTES).unwrap_or(u32::MAX))
    }
}

impl Room {
    /// Room for so many bytes.
    #[must_use]
    pub fn of(bytes: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes as usize)), bytes }
    }

    /// Waits until there is room for something of this `weight`; for what is larger than the room, until
    /// it is empty.
    pub async fn take(&self, weight: usize) -> Share {
        let share = u32::try_from(weight).unwrap_or(u32::MAX).min(self.bytes);
        // It is never closed.
        Arc::clone(&self.free).acquire_many_owned(share).await.ok()
    }
}

fn all<T: Weight>(things: &[T]) -> usize {
    things.iter().map(Weight::weight).sum()
}

fn headers(headers: &[(String, String)]) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len()).sum()
}

fn bytes(bytes: Option<&bytes::Bytes>) -> usize {
    bytes.map_or(0, bytes::Bytes::len)
}

impl Weight for Key {
    fn weight(&self) -> usize {
        size_of::<Self>()
    }
}

impl Weight for Received {
    fn weight(&self) -> usize {
        self.value.len() + bytes(self.key.as_ref()) + headers(&self.headers)
    }
}

impl Weight for Message {
    fn weight(&self) -> usize {
        self.value.len() + bytes(self.key.as_ref()) + headers(&self.headers)
    }
}

impl Weight for Outgoing {
    fn weight(&self) -> usize {
        self.message.as_ref().map_or_else(String::len, Weight::weight)
    }
}

impl Weight for Record {
    fn weight(&self) -> usize {
        self.status.len() + self.body.len()
    }
}

impl Weight for Parking {
    fn weight(&self) -> usize {
        self.raw.len() + bytes(self.raw_key.as_ref()) + self.reason.len()
    }
}

impl Weight for Parked {
    fn weight(&self) -> usize {
        self.event.weight()
    }
}

impl Weight for Due {
    fn weight(&self) -> usize {
        self.name.len()
    }
}

impl Weight for Commit {
    fn weight(&self) -> usize {
        let Commit { records, outgoing, parked, once, .. } = self;
        let once = once.as_ref().map_or(0, |once| once.key.len() + once.answer.len());
        all(records) + all(outgoing) + all(parked) + once
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn the_first_thing_always_fits_and_both_measures_end_it() {
        assert!(!Budget::new(10, 5).spend(6), "it is taken, and it is the last");
        let mut budget = Budget::new(2, 5);
        assert!(budget.spend(1) && !budget.spend(1));
        assert_eq!(Budget::new(3, 0).items(), 0);
    }

    #[test]
    fn what_is_asked_for_follows_what_came() {
        let appetite = Appetite::new(1000);
        assert_eq!(appetite.ask(), 1000);
        for (came, asked) in [(10, FEW), (FEW, 2 * FEW), (200, 400), (900, 1000), (0, FEW)] {
            appetite.came(came);
            assert_eq!(appetite.ask(), asked, "after {came}");
        }
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_and_what_is_too_large_goes_alone() {
        let room = Room::of(10);
        let first = room.take(6).await;
        let mut second = Box::pin(room.take(5));
        assert!(second.as_mut().now_or_never().is_none(), "there is no room");
        drop(first);
        let second = second.await;
        let mut large = Box::pin(room.take(1_000));
        assert!(large.as_mut().now_or_never().is_none(), "it is not alone");
        drop(second);
        assert!(large.await.is_some());
    }
}
