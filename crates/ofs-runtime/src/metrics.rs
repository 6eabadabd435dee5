//! Every metric of the machine: its name, its labels, and the one way to count it.
//!
//! Keeps the conservation law: what was consumed is what was handled, at every scrape.

use crate::store;
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use ofs_events::Topic;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Deliveries taken from the log, labels `service`, `topic`; once per delivery, after its commit.
pub const EVENTS_CONSUMED: &str = "ofs_events_consumed_total";
/// What became of them, labels `service`, `topic`, `outcome` (see [`Outcome`]).
pub const EVENTS_HANDLED: &str = "ofs_events_handled_total";
/// Retries of parked events, labels `service`, `outcome` (see [`Retry`]).
pub const RETRIES: &str = "ofs_retries_total";
/// Commits tried, labels `service`, `outcome` (see [`commit_outcome`]).
pub const COMMITS: &str = "ofs_commits_total";
/// Seconds a commit took, label `service`.
pub const COMMIT_SECONDS: &str = "ofs_commit_seconds";
/// Items couriers tried to deliver, labels `service`, `lane`, `outcome` (see [`LaneName`], [`Delivered`]).
pub const DELIVERIES: &str = "ofs_deliveries_total";
/// Items not yet delivered, labels `service`, `lane` (`outbox`, `index`); NaN while unknown.
pub const OWED: &str = "ofs_owed";
/// Age of the oldest of them in seconds, labels as [`OWED`]; 0 if nothing is owed.
pub const OWED_OLDEST_SECONDS: &str = "ofs_owed_oldest_seconds";
/// Records that the index refuses, label `service`; NaN while unknown.
pub const REFUSED: &str = "ofs_refused";
/// Parked events still open, label `service`; NaN while unknown.
pub const PARKED: &str = "ofs_parked";
/// Age of the oldest of them in seconds, label `service`; 0 if there is none.
pub const PARKED_OLDEST_SECONDS: &str = "ofs_parked_oldest_seconds";
/// Deadlines that have passed while what they wait for is missing, label `service`; NaN while unknown.
pub const STUCK: &str = "ofs_stuck";
/// Records a service has still to read, labels `service`, `topic`; NaN while unknown.
pub const LAG_EVENTS: &str = "ofs_lag_events";
/// Age of the oldest of them in seconds, labels `service`, `topic`; 0 if there is none.
pub const LAG_SECONDS: &str = "ofs_lag_seconds";
/// Partitions that this process reads, labels `service`, `topic`; NaN while unknown.
pub const ASSIGNED_PARTITIONS: &str = "ofs_assigned_partitions";
/// 1 while a service of this process cannot read on until an operator acts, label `service`; else 0.
pub const READING_STOPPED: &str = "ofs_reading_stopped";
/// HTTP requests answered, labels `method`, `route` (the template), `status`.
pub const HTTP_REQUESTS: &str = "ofs_http_requests_total";
/// Seconds until the head of the answer was ready, labels `method`, `route`.
pub const HTTP_REQUEST_SECONDS: &str = "ofs_http_request_seconds";

/// Every histogram, for the exporter's bucket configuration.
pub const HISTOGRAMS: [&str; 2] = [COMMIT_SECONDS, HTTP_REQUEST_SECONDS];
/// Upper bounds of the buckets of every histogram, in seconds.
pub const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The record changed.
    Processed,
    /// It was known already.
    Duplicate,
    /// It is none of the service's business.
    Ignored,
    /// It waits in the service's parking, as itself or behind another one.
    Parked,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 4] = [Self::Processed, Self::Duplicate, Self::Ignored, Self::Parked];

    /// The value of the label `outcome`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Parked => "parked",
        }
    }
}

/// What became of a retry of a parked event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It was handled.
    Resolved,
    /// It failed again and stays parked.
    Failed,
}

impl Retry {
    /// The value of the label `outcome`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Failed => "failed",
        }
    }
}

/// What a courier carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneName {
    /// Events to the log.
    Outbox,
    /// Documents to the index.
    Index,
    /// Parked events to their handler.
    Retry,
    /// Deadlines that have passed to their handler.
    Deadline,
}

impl LaneName {
    /// Every lane.
    pub const ALL: [LaneName; 4] = [Self::Outbox, Self::Index, Self::Retry, Self::Deadline];

    /// The value of the label `lane`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Outbox => "outbox",
            Self::Index => "index",
            Self::Retry => "retry",
            Self::Deadline => "deadline",
        }
    }
}

/// What became of one thing a courier carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivered {
    /// It arrived and is settled.
    Settled,
    /// Not now; it is delivered later.
    Later,
    /// It was refused whatever happens.
    Refused,
}

impl Delivered {
    /// Every outcome.
    pub const ALL: [Delivered; 3] = [Self::Settled, Self::Later, Self::Refused];

    /// The value of the label `outcome`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Later => "later",
            Self::Refused => "refused",
        }
    }
}

/// Every value of the label `outcome` of [`COMMITS`].
pub const COMMIT_OUTCOMES: [&str; 4] = ["committed", "conflict", "rejected", "unavailable"];

/// The label `outcome` of a commit's result.
#[must_use]
pub const fn commit_outcome(result: &Result<(), store::Error>) -> &'static str {
    match result {
        Ok(()) => "committed",
        Err(store::Error::Stale | store::Error::KeyTaken) => "conflict",
        Err(store::Error::Rejected(_)) => "rejected",
        Err(store::Error::Unavailable(_) | store::Error::Full) => "unavailable",
    }
}

/// Held while the conservation pair moves, and while it is read.
static LAW: Mutex<()> = Mutex::new(());

/// Nothing is kept in the mutex, so a panic while it was held broke nothing.
fn law() -> MutexGuard<'static, ()> {
    LAW.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(service: &'static str, topic: Topic, outcome: &'static str, n: u64) {
    let topic = topic.name();
    counter!(EVENTS_CONSUMED, "service" => service, "topic" => topic).increment(n);
    counter!(EVENTS_HANDLED, "service" => service, "topic" => topic, "outcome" => outcome)
        .increment(n);
}

/// Counts `n` deliveries as consumed and handled. Call it after the commit.
pub fn handled(service: &'static str, topic: Topic, outcome: Outcome, n: u64) {
    let _law = law();
    count(service, topic, outcome.label(), n);
}

/// Counts a batch, one `(topic, outcome label)` for each delivery. Call it after the commit; no
/// scrape sees a part of it.
pub fn settle(service: &'static str, batch: impl IntoIterator<Item = (Topic, &'static str)>) {
    let mut sums: Vec<(Topic, &'static str, u64)> = Vec::new();
    for (topic, outcome) in batch {
        match sums.iter_mut().find(|(t, o, _)| *t == topic && *o == outcome) {
            Some((.., n)) => *n += 1,
            None => sums.push((topic, outcome, 1)),
        }
    }
    let _law = law();
    for (topic, outcome, n) in sums {
        count(service, topic, outcome, n);
    }
}

/// Renders all metrics with `f` at a moment when the conservation law holds.
pub fn rendered(f: impl FnOnce() -> String) -> String {
    let _law = law();
    f()
}

/// Counts one commit and the time it took.
pub fn committed(service: &'static str, result: &Result<(), store::Error>, took: Duration) {
    counter!(COMMITS, "service" => service, "outcome" => commit_outcome(result)).increment(1);
    histogram!(COMMIT_SECONDS, "service" => service).record(took.as_secs_f64());
}

/// Counts one retry of a parked event.
pub fn retried(service: &'static str, outcome: Retry) {
    counter!(RETRIES, "service" => service, "outcome" => outcome.label()).increment(1);
}

/// Sets the count of requests that a route may answer with `status` to zero.
pub fn zero_requests(method: &'static str, route: &str, status: &str) {
    let (route, status) = (route.to_owned(), status.to_owned());
    let _ = histogram!(HTTP_REQUEST_SECONDS, "method" => method, "route" => route.clone());
    counter!(HTTP_REQUESTS, "method" => method, "route" => route, "status" => status).increment(0);
}

/// Counts `n` things a courier carried.
pub fn delivered(service: &'static str, lane: LaneName, outcome: Delivered, n: u64) {
    let (lane, outcome) = (lane.label(), outcome.label());
    counter!(DELIVERIES, "service" => service, "lane" => lane, "outcome" => outcome).increment(n);
}

/// Whether `service` cannot read on until an operator acts.
pub fn reading_stopped(service: &'static str, stopped: bool) {
    gauge!(READING_STOPPED, "service" => service).set(if stopped { 1.0 } else { 0.0 });
}

/// Describes every metric, and sets every counter of `services` (with the topics each reads) to zero:
/// a series that first appears at its first failure cannot be alerted on.
pub fn describe_and_zero(services: &[(&'static str, &'static [Topic])]) {
    describe();
    let _law = law();
    for &(service, topics) in services {
        for (topic, outcome) in
            topics.iter().flat_map(|topic| Outcome::ALL.map(|outcome| (*topic, outcome)))
        {
            count(service, topic, outcome.label(), 0);
        }
        for outcome in [Retry::Resolved, Retry::Failed] {
            counter!(RETRIES, "service" => service, "outcome" => outcome.label()).increment(0);
        }
        for outcome in COMMIT_OUTCOMES {
            counter!(COMMITS, "service" => service, "outcome" => outcome).increment(0);
        }
        reading_stopped(service, false);
        let _ = histogram!(COMMIT_SECONDS, "service" => service);
        for (lane, outcome) in
            LaneName::ALL.into_iter().flat_map(|lane| Delivered::ALL.map(|outcome| (lane, outcome)))
        {
            delivered(service, lane, outcome, 0);
        }
    }
}

fn describe() {
    describe_counter!(EVENTS_CONSUMED, "Deliveries taken from the log, counted after their commit");
    describe_counter!(EVENTS_HANDLED, "What became of consumed deliveries; sums up to them");
    describe_counter!(RETRIES, "Retries of parked events");
    describe_counter!(COMMITS, "Commits tried");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "Time a commit took");
    describe_counter!(DELIVERIES, "Items that couriers tried to deliver");
    describe_gauge!(OWED, "Items not yet delivered");
    describe_gauge!(OWED_OLDEST_SECONDS, Unit::Seconds, "Age of the oldest item not yet delivered");
    describe_gauge!(REFUSED, "Records that the index refuses");
    describe_gauge!(PARKED, "Parked events still open");
    describe_gauge!(PARKED_OLDEST_SECONDS, Unit::Seconds, "Age of the oldest open parked event");
    describe_gauge!(STUCK, "Deadlines that have passed while what they wait for is missing");
    describe_gauge!(LAG_EVENTS, "Records a service has still to read");
    describe_gauge!(ASSIGNED_PARTITIONS, Unit::Count, "Partitions that this process reads");
    describe_gauge!(LAG_SECONDS, Unit::Seconds, "Age of the oldest record still to be read");
    describe_gauge!(READING_STOPPED, "1 while a service cannot read on until an operator acts");
    describe_counter!(HTTP_REQUESTS, "HTTP requests answered");
    describe_histogram!(HTTP_REQUEST_SECONDS, Unit::Seconds, "Time until the head of the answer");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_commit_result_has_a_label_that_is_set_to_zero_at_the_start() {
        for error in [
            store::Error::Stale,
            store::Error::KeyTaken,
            store::Error::Rejected(String::new()),
            store::Error::Unavailable(String::new()),
            store::Error::Full,
        ] {
            assert!(COMMIT_OUTCOMES.contains(&commit_outcome(&Err(error))));
        }
        assert!(COMMIT_OUTCOMES.contains(&commit_outcome(&Ok(()))));
    }

    #[test]
    fn a_panic_while_rendering_does_not_end_the_counting() {
        let panicked = std::panic::catch_unwind(|| rendered(|| panic!("renderer")));
        assert!(panicked.is_err());
        handled("payment-worker", Topic::Orders, Outcome::Processed, 1);
        assert_eq!(rendered(|| "fine".to_owned()), "fine");
    }
}
