//! Times of a run in microseconds since it began, and what is said of many of them.

use ofs_events::Timestamp;
use ofs_runtime::context::Context;
use std::time::{Duration, Instant};

/// Microseconds since the run began.
pub(super) type Micros = i64;

/// The clock of a run: monotonic, and how it stands to the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
    wall: Timestamp,
}

impl Clock {
    pub fn start(context: &Context) -> Self {
        Self { began: Instant::now(), wall: context.now() }
    }

    pub fn now(self) -> Micros {
        micros(self.began.elapsed())
    }

    /// When a time of the wall clock was.
    pub fn of(self, wall: Timestamp) -> Micros {
        wall.as_micros() - self.wall.as_micros()
    }

    /// The moment at `micros`.
    pub fn instant(self, micros: Micros) -> tokio::time::Instant {
        let since = Duration::from_micros(micros.max(0).unsigned_abs());
        tokio::time::Instant::from_std(self.began + since)
    }
}

pub(super) fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "counts and times stay far below 2^52")]
pub(super) const fn float(value: i64) -> f64 {
    value as f64
}

/// Durations in microseconds, sorted.
#[derive(Clone, Debug, Default)]
pub(super) struct Durations(Vec<Micros>);

impl FromIterator<Micros> for Durations {
    fn from_iter<I: IntoIterator<Item = Micros>>(durations: I) -> Self {
        let mut durations: Vec<Micros> = durations.into_iter().collect();
        durations.sort_unstable();
        Self(durations)
    }
}

impl Durations {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The duration, in milliseconds, that `share` of 1000 do not exceed.
    pub fn at(&self, share: usize) -> f64 {
        let rank = (self.0.len() * share).div_ceil(1000).clamp(1, self.0.len().max(1));
        self.0.get(rank - 1).map_or(0.0, |micros| float(*micros) / 1000.0)
    }

    /// How many fall below each power of two of a millisecond, from the first that any does to the last
    /// that is needed: `(below, count)`.
    pub fn histogram(&self) -> Vec<(f64, usize)> {
        let mut bars = Vec::new();
        let (mut limit, mut counted) = (125, 0);
        while counted < self.0.len() {
            let below = self.0.partition_point(|micros| *micros < limit);
            if below > 0 {
                bars.push((float(limit) / 1000.0, below - counted));
            }
            counted = below;
            limit *= 2;
        }
        bars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_durations_is_the_smallest_one_that_many_do_not_exceed() {
        let durations: Durations = (1..=1000).map(|nth| nth * 1000).collect();
        assert_eq!(durations.at(500), 500.0);
        assert_eq!(durations.at(999), 999.0);
        assert_eq!(durations.at(1000), 1000.0);
        assert_eq!(Durations::default().at(500), 0.0);
        assert_eq!(Durations::from_iter([7000]).at(1), 7.0);
    }

    #[test]
    fn a_histogram_counts_each_duration_once() {
        let durations: Durations = [200, 300, 900, 1100, 5000].into_iter().collect();
        let bars = durations.histogram();
        assert_eq!(bars, [(0.25, 1), (0.5, 1), (1.0, 1), (2.0, 1), (4.0, 0), (8.0, 1)]);
    }
}
