//! Waiting before a retry: exponential with full jitter, so that many who failed together
//! do not come back together.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The waits of one series of failures.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits up to `first` after the first failure, twice as long after each more, never over `most`.
    #[must_use]
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, failures: 0 }
    }

    /// For a store, log or index that cannot be reached: from 50 ms to 5 s.
    #[must_use]
    pub const fn world() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(5))
    }

    /// The wait after one more failure.
    pub fn next_wait(&mut self) -> Duration {
        let wait = nth_wait(self.first, self.most, self.failures);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// Sleeps for the next wait.
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.next_wait()).await;
    }

    /// Forgets the failures.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// No wait of a parked event is longer.
pub const LONGEST: Duration = Duration::from_mins(15);

/// When a parked event is tried again after `attempts` failures: 250 ms doubling up to 15 minutes,
/// jittered over the upper half.
#[must_use]
pub fn retry_in(attempts: u32) -> Duration {
    let whole = (Duration::from_millis(250) * 2_u32.saturating_pow(attempts.min(12))).min(LONGEST);
    whole / 2 + jitter(whole / 2)
}

fn nth_wait(first: Duration, most: Duration, failures: u32) -> Duration {
    let ceiling = first.saturating_mul(2_u32.saturating_pow(failures.min(16))).min(most);
    ceiling / 10 + jitter(ceiling - ceiling / 10)
}

/// A random part of `whole`. The standard library seeds each hasher at random; that is enough here.
fn jitter(whole: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let part = u32::try_from(random >> 32).unwrap_or(u32::MAX);
    whole.mul_f64(f64::from(part) / f64::from(u32::MAX))
}
