//! What an engine does bare: durable rows, records and documents as large as an order's, without any of
//! our work around them. The limits that figures of the whole program are held against.

use ofs_runtime::context::Context;
use std::time::{Duration, Instant};

/// Bytes of the rows that one order writes into the store in its life: its records, what the index
/// shows of it, its events, and the events it has handled.
pub const ROWS: [usize; 18] =
    [450, 450, 450, 250, 250, 700, 700, 700, 500, 500, 500, 40, 40, 40, 40, 40, 40, 40];
/// Bytes of the events that one order appends to the log.
pub const RECORDS: [usize; 3] = [520, 400, 430];
/// Orders whose rows one commit makes durable.
pub(crate) const GROUP: usize = 64;
/// Documents of one request or commit.
pub(crate) const DOCUMENTS: usize = 1000;

/// Counts what is done in a time.
pub(crate) struct Meter {
    began: Instant,
    time: Duration,
    done: usize,
}

impl Meter {
    pub(crate) fn start(time: Duration) -> Self {
        Self { began: Instant::now(), time, done: 0 }
    }

    /// Whether there is time for more; `done` more is done.
    pub(crate) fn goes_on(&mut self, done: usize) -> bool {
        self.done += done;
        self.began.elapsed() < self.time
    }

    /// How many a second.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub(crate) fn rate(&self) -> f64 {
        self.done as f64 / self.began.elapsed().as_secs_f64()
    }
}

/// A name that nothing else has, for what is removed afterwards.
pub(crate) fn name() -> String {
    format!("bare_{}", Context::new("bare").new_id().simple())
}

/// Text of so many bytes that does not compress to nothing.
pub(crate) fn text(bytes: usize, seed: usize) -> String {
    let letter = |nth: usize| char::from(b'a' + u8::try_from((seed + nth * nth) % 26).unwrap_or(0));
    (0..bytes).map(letter).collect()
}

/// Why it could not be measured.
#[derive(Debug, thiserror::Error)]
#[error("cannot measure what {engine} does bare: {reason}")]
pub struct Error {
    engine: &'static str,
    reason: String,
}

impl Error {
    pub(crate) fn new(engine: &'static str, reason: impl ToString) -> Self {
        Self { engine, reason: reason.to_string() }
    }
}
