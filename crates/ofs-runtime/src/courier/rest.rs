//! A courier's rest while nothing that it carries arrives, and how often it complains.

use crate::backoff::Backoff;
use std::time::Duration;
use tokio::time::Instant;

/// Time between two complaints.
const COMPLAIN: Duration = Duration::from_secs(10);

pub(super) struct Rest {
    backoff: Backoff,
    /// Set while nothing arrives.
    until: Option<Instant>,
    /// Failures that were not complained of yet.
    failures: usize,
    complained: Option<Instant>,
}

impl Default for Rest {
    fn default() -> Self {
        Self { backoff: Backoff::world(), until: None, failures: 0, complained: None }
    }
}

impl Rest {
    /// Nothing of a delivery has arrived, though some of it had not failed before, or nothing has arrived
    /// lately either.
    pub fn begin(&mut self) {
        self.until = Some(Instant::now() + self.backoff.next_wait());
    }

    /// Something has arrived.
    pub fn arrived(&mut self) {
        self.backoff.reset();
        self.until = None;
    }

    /// Whether a delivery may start.
    pub fn is_over(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }

    /// Whether nothing has arrived lately: then one delivery at a time is enough to find out.
    pub fn is_failing(&self) -> bool {
        self.until.is_some()
    }

    /// Counts `failures`; answers with how many there are to complain of, if it is time to.
    pub fn failed(&mut self, failures: usize) -> Option<usize> {
        self.failures += failures;
        if self.complained.is_some_and(|at| at.elapsed() < COMPLAIN) {
            return None;
        }
        self.complained = Some(Instant::now());
        Some(std::mem::take(&mut self.failures))
    }
}
