//! How much waits in the store, and since when.

use ofs_events::Timestamp;
use serde::Serialize;

/// What is owed and how old it is, per owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Depth {
    /// The service.
    pub owner: String,
    /// How many.
    pub rows: u64,
    /// Since when the oldest waits; in the index lane, when the first event happened that is not there yet.
    pub oldest: Option<Timestamp>,
}

/// How much is owed, everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Depths {
    /// When this was so, on the store's clock, which is also the one that `oldest` is on.
    pub at: Timestamp,
    /// Events not yet in the log.
    pub outbox: Vec<Depth>,
    /// Records not yet in the index.
    pub index: Vec<Depth>,
    /// Records that the index refuses.
    pub refused: Vec<Depth>,
    /// Parked events still open.
    pub parked: Vec<Depth>,
}

/// When a record would have to be owed since, to stand behind all that has changed: what the index gets
/// once more. In the year 9999.
#[must_use]
pub fn once_more() -> Timestamp {
    Timestamp::from_micros(253_402_214_400_000_000)
}

/// When the first event happened that the index lacks, of those whose records are owed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// When this was so, on the store's clock, which is also the one that `since` is on.
    pub at: Timestamp,
    /// None if nothing is owed that has changed.
    pub since: Option<Timestamp>,
    /// Whether something is owed that the index gets once more.
    pub again: bool,
}
