//! Deadlines, as the store keeps them: by when something should have happened to a key.

use ofs_events::{Key, Timestamp};
use std::time::Duration;

/// What a commit does about one deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// What it is about.
    pub key: Key,
    /// Which one; a key has at most one of a name.
    pub name: &'static str,
    /// Set, from now on the store's clock; none drops it, if it is there.
    pub due_in: Option<Duration>,
}

/// A deadline that has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// What it is about.
    pub key: Key,
    /// Which one.
    pub name: String,
    /// When it was due, on the clock by which the store waits.
    pub due_at: Timestamp,
    /// For how long what it waits for has been overdue; zero when it is handed over for the first time.
    pub overdue_for: Duration,
}

/// The overdue deadlines of one owner and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// The service.
    pub owner: String,
    /// Which one.
    pub name: String,
    /// How many, at most [`OVERDUE_LOOK`] of all.
    pub rows: u64,
    /// When the first of them became overdue.
    pub oldest: Timestamp,
    /// The key of that one.
    pub key: Key,
}

/// Overdue deadlines that are counted at most.
pub const OVERDUE_LOOK: usize = 10_000;
