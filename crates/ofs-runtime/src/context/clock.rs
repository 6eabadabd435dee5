//! The clock of a process. The time of day is for people, and jumps when it is set; waiting
//! and aging go by elapsed time.

use ofs_events::Timestamp;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// By less than this, in microseconds, no clock is set: the two are never read at quite the same time.
const JITTER: i64 = 1_000_000;

/// The clock of a process, or one that a test moves.
#[derive(Clone, Copy, Debug)]
pub struct Clock(&'static State);

#[derive(Debug)]
struct State {
    /// The time of day at the first look, and when that was.
    start: OnceLock<(i64, Instant)>,
    /// How far the time of day was behind the steady time, at worst.
    behind: AtomicI64,
    /// How far a test has set the time of day.
    set: AtomicI64,
    /// How much time a test has let pass.
    passed: AtomicI64,
}

impl State {
    const fn new() -> Self {
        Self {
            start: OnceLock::new(),
            behind: AtomicI64::new(0),
            set: AtomicI64::new(0),
            passed: AtomicI64::new(0),
        }
    }
}

static REAL: State = State::new();

impl Default for Clock {
    fn default() -> Self {
        Self::real()
    }
}

impl Clock {
    /// The machine's.
    #[must_use]
    pub const fn real() -> Self {
        Self(&REAL)
    }

    /// One that a test moves; it is never freed.
    #[must_use]
    pub fn movable() -> Self {
        Self(Box::leak(Box::new(State::new())))
    }

    /// Sets the time of day, forward or back, as if the machine's clock had been set; before the
    /// process started, if it has not been read yet.
    pub fn set(self, by_seconds: i64) {
        self.0.set.fetch_add(by_seconds.saturating_mul(1_000_000), Ordering::Relaxed);
    }

    /// Lets time pass.
    pub fn pass(self, time: Duration) {
        self.0.passed.fetch_add(micros(time), Ordering::Relaxed);
    }

    /// The time of day, in whole microseconds.
    #[must_use]
    pub fn now(self) -> Timestamp {
        Timestamp::from_micros(self.read().0)
    }

    /// The time of day at the start of the process, plus the time that has passed since: it never jumps.
    #[must_use]
    pub fn steady(self) -> Timestamp {
        Timestamp::from_micros(self.read().1)
    }

    /// A time on the steady clock, as the time of day would have it now.
    #[must_use]
    pub fn shown(self, steady: Timestamp) -> Timestamp {
        let (now, passed) = self.read();
        let set = Some(now - passed).filter(|set| set.abs() >= JITTER).unwrap_or_default();
        Timestamp::from_micros(steady.as_micros().saturating_add(set))
    }

    /// What was stamped before this time is older than `age`, however the clock was set since the
    /// process started. It errs by letting things become older than that.
    #[must_use]
    pub fn before(self, age: Duration) -> Timestamp {
        let (now, steady) = self.read();
        let sure = now.min(steady) - self.0.behind.load(Ordering::Relaxed);
        Timestamp::from_micros(sure.saturating_sub(micros(age)))
    }

    /// The time of day and the steady time.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn read(self) -> (i64, i64) {
        let State { start, behind, set, passed } = self.0;
        let (day, instant) = (jiff::Timestamp::now().as_microsecond(), Instant::now());
        let day = day + set.load(Ordering::Relaxed);
        let (first, then) = start.get_or_init(|| (day, instant));
        let passed = passed.load(Ordering::Relaxed);
        let now = day + passed;
        let steady = first + micros(instant.saturating_duration_since(*then)) + passed;
        behind.fetch_max(steady - now, Ordering::Relaxed);
        (now, steady)
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;
    const SECOND: i64 = 1_000_000;

    fn seconds(from: Timestamp, to: Timestamp) -> i64 {
        (to.as_micros() - from.as_micros()) / SECOND
    }

    #[test]
    fn the_steady_time_only_passes_and_the_time_of_day_is_set() {
        for by in [-DAY, -HOUR, HOUR, DAY] {
            let clock = Clock::movable();
            let (now, steady) = (clock.now(), clock.steady());
            clock.set(by);
            assert_eq!(seconds(steady, clock.steady()), 0, "{by}");
            assert!((seconds(now, clock.now()) - by).abs() <= 1, "{by}");
            assert!((seconds(steady, clock.shown(steady)) - by).abs() <= 1, "{by}");
            clock.pass(Duration::from_hours(2));
            assert_eq!(seconds(steady, clock.steady()), 2 * HOUR, "{by}");
            assert!((seconds(now, clock.now()) - by - 2 * HOUR).abs() <= 1, "{by}");
        }
    }

    #[test]
    fn a_time_is_shown_as_it_is_while_nobody_sets_the_clock() {
        let clock = Clock::movable();
        let steady = clock.steady();
        assert!((0..1_000).all(|_| clock.shown(steady) == steady));
    }

    #[test]
    fn nothing_is_ever_older_than_the_time_that_has_passed_since_it_was_stamped() {
        let age = Duration::from_hours(1);
        for steps in [[DAY, 0], [-DAY, DAY], [DAY, -DAY], [-HOUR, DAY], [HOUR, HOUR]] {
            let clock = Clock::movable();
            let mut stamps = vec![clock.now()];
            for by in steps {
                clock.set(by);
                stamps.push(clock.now());
            }
            let young = |stamp: &Timestamp| *stamp >= clock.before(age);
            assert!(stamps.iter().all(young), "{steps:?}");
        }
    }

    #[test]
    fn everything_becomes_old_as_time_passes() {
        let clock = Clock::movable();
        let stamp = clock.now();
        clock.pass(Duration::from_mins(59));
        assert!(stamp >= clock.before(Duration::from_hours(1)));
        clock.pass(Duration::from_mins(2));
        assert!(stamp < clock.before(Duration::from_hours(1)));
    }
}
