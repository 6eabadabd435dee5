//! Kill points: named places at which a debug build dies when it is told to, so that tests can ask
//! "what if it dies right here?" everywhere it matters. Background tasks are such places, too, by
//! their names; there it panics. Release builds have none.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

struct KillPoint {
    point: String,
    passes_left: AtomicU64,
}

static KILL_POINT: OnceLock<KillPoint> = OnceLock::new();

/// Every kill point there is.
pub const POINTS: &[&str] = &[
    "commit.before",
    "commit.after",
    "append.before",
    "append.after",
    "ack.before",
    "ack.after",
    "push.before",
    "push.after",
    "settle.before",
    "settle.after",
];

/// Makes the process die at the `nth` pass (from 1) of `point`. The first call counts.
pub fn arm(point: &str, nth: u64) {
    let _ = KILL_POINT.set(KillPoint { point: point.to_owned(), passes_left: AtomicU64::new(nth) });
}

/// Dies here if armed for it: no destructor runs and nothing is flushed, as if killed.
pub fn point(name: &str) {
    if is_due(name) {
        std::process::abort();
    }
}

/// A step of the background task `name`: panics here if armed for it.
#[expect(clippy::panic, reason = "that is what it is for")]
pub fn task(name: &str) {
    if is_due(name) {
        panic!("armed to panic here");
    }
}

fn is_due(name: &str) -> bool {
    cfg!(debug_assertions)
        && KILL_POINT.get().is_some_and(|plan| {
            plan.point == name && plan.passes_left.fetch_sub(1, Ordering::Relaxed) == 1
        })
}
