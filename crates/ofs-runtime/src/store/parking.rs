//! Parked events, as the store keeps them: queues of one key's events on one topic, and their heads.

use crate::log::Position;
use bytes::Bytes;
use ofs_events::{EventId, Key, Timestamp};
use std::time::Duration;

/// An event that could not be handled, with everything needed to retry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parking {
    /// Where it stands in the log; an owner parks a position once.
    pub at: Position,
    /// The key whose later events on this topic wait behind it; none if the key is unknown.
    pub key: Option<Key>,
    /// The event, where it could be read.
    pub event_id: Option<EventId>,
    /// Its type, where it could be read.
    pub event_type: Option<String>,
    /// The raw record key.
    pub raw_key: Option<Bytes>,
    /// The raw record value.
    pub raw: Bytes,
    /// Why, for people.
    pub reason: String,
    /// Whether a newer build may know better (unknown type or version).
    pub unknown_type: bool,
    /// When to retry, from now on the store's clock; none waits for an operator.
    pub retry_in: Option<Duration>,
}

/// What became of a parked event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParkedState {
    /// Still to be handled.
    Parked,
    /// Handled by a retry.
    Resolved,
    /// Discarded by an operator.
    Discarded,
}

/// A parked event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Its number; the lowest open one of an (owner, topic, key) is the head of that queue.
    pub id: u64,
    /// The service that could not handle it.
    pub owner: String,
    /// What was parked; `retry_in` is what is left of the wait.
    pub event: Parking,
    /// How often it was claimed to be tried since it was parked.
    pub attempts: u32,
    /// When it was parked.
    pub parked_at: Timestamp,
    /// When it is retried; none waits for an operator.
    pub next_at: Option<Timestamp>,
    /// Parked, resolved or discarded.
    pub state: ParkedState,
    /// When it left `Parked`.
    pub closed_at: Option<Timestamp>,
    /// The head of its queue, if that is another one.
    pub behind: Option<u64>,
}

/// Which parked events to list, by ascending id.
#[derive(Clone, Debug, Default)]
pub struct ParkedFilter {
    /// Only this service's.
    pub owner: Option<String>,
    /// Only this key's.
    pub key: Option<Key>,
    /// Only those whose reason holds this text, in any case.
    pub reason: Option<String>,
    /// Only those in this state.
    pub state: Option<ParkedState>,
    /// Only ids above this one.
    pub after: Option<u64>,
}

/// A page of parked events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParkedPage {
    /// Those that were asked for, by ascending id.
    pub events: Vec<Parked>,
    /// Where the next page begins, as [`ParkedFilter::after`]; none if there is nothing more to look at.
    pub next: Option<u64>,
}

/// Parked events that are looked at for one page, whether they were asked for or not: a page may hold
/// none and still have a next one.
pub const PARKED_LOOK: usize = 10_000;

/// The answer to [`Store::claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is yours until the time given is over.
    Claimed(Box<Parked>),
    /// Another one has to go first.
    Behind(u64),
    /// It is being retried right now.
    Busy,
    /// It is not open any more, or never was.
    Closed(Option<ParkedState>),
}
