//! The last hour in memory: how far the log had grown and what waited, every five seconds.
//!
//! Bounded, lost with the process, and for people only.

use futures::future::join_all;
use ofs_events::{Timestamp, Topic};
use ofs_runtime::log::Log;
use ofs_runtime::pipeline::{Pipeline, PipelineView};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Time between two looks.
const STEP: Duration = Duration::from_secs(5);
/// Looks kept.
const KEPT: usize = 720;
/// Looks over which the rate of now is taken: a minute.
const NOW: usize = 12;
/// How long the log may take for one look.
const PATIENCE: Duration = Duration::from_secs(2);

/// One look.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// Records each topic ever had, as far as known.
    pub ends: [Option<u64>; Topic::ALL.len()],
    /// What waits where.
    pub view: Arc<PipelineView>,
}

impl Sample {
    /// Records that `topics` ever had.
    #[must_use]
    pub fn end(&self, topics: &[Topic]) -> Option<u64> {
        let ends = Topic::ALL.iter().zip(self.ends).filter(|(topic, _)| topics.contains(topic));
        ends.map(|(_, end)| end).sum()
    }

    /// Records that `service` has read.
    #[must_use]
    pub fn read(&self, service: &str) -> Option<u64> {
        let service = self.view.services.iter().find(|one| one.service == service)?;
        let topics: Vec<Topic> = service.topics.iter().map(|topic| topic.topic).collect();
        let lag: u64 = service.topics.iter().map(|topic| topic.lag_events).sum::<Option<u64>>()?;
        self.end(&topics)?.checked_sub(lag)
    }
}

/// What was seen in the last hour. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct History(Arc<Mutex<VecDeque<Sample>>>);

impl History {
    /// Looks until `stop`.
    pub async fn run(self, pipeline: Pipeline, log: Arc<dyn Log>, stop: CancellationToken) {
        let mut pause = Duration::ZERO;
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            self.add(look(&pipeline, &*log).await);
            pause = STEP;
        }
    }

    fn add(&self, sample: Sample) {
        let mut kept = self.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(sample);
    }

    /// What was seen last.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<PipelineView>> {
        self.lock().back().map(|sample| Arc::clone(&sample.view))
    }

    /// `count` as a rate per second from look to look, NaN where it was unknown.
    #[must_use]
    pub fn rates(&self, count: impl Fn(&Sample) -> Option<u64>) -> Vec<f64> {
        let kept = self.lock();
        let pairs = kept.iter().zip(kept.iter().skip(1));
        pairs.map(|(one, next)| rate(one, next, &count).unwrap_or(f64::NAN)).collect()
    }

    /// By how much `count` has grown in the last hour, or since the process started.
    #[must_use]
    pub fn grown(&self, count: impl Fn(&Sample) -> Option<u64>) -> Option<u64> {
        let kept = self.lock();
        count(kept.back()?)?.checked_sub(count(kept.front()?)?)
    }

    /// The rate of `count` in the last minute.
    #[must_use]
    pub fn rate(&self, count: impl Fn(&Sample) -> Option<u64>) -> Option<f64> {
        let kept = self.lock();
        let first = kept.get(kept.len().saturating_sub(NOW + 1))?;
        rate(first, kept.back()?, &count)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate is a double; counts stay below 2^53")]
fn rate(one: &Sample, next: &Sample, count: impl Fn(&Sample) -> Option<u64>) -> Option<f64> {
    let seconds = next.at.seconds_since(one.at);
    // A counter that shrinks was recreated.
    let grown = count(next)?.checked_sub(count(one)?)?;
    (seconds > 0.0).then(|| grown as f64 / seconds)
}

async fn look(pipeline: &Pipeline, log: &dyn Log) -> Sample {
    let end = async |topic: Topic| {
        let bounds = tokio::time::timeout(PATIENCE, log.bounds(topic)).await.ok()?.ok()?;
        Some(bounds.iter().map(|bounds| bounds.end).sum::<u64>())
    };
    let (view, found) = tokio::join!(pipeline.sample(), join_all(Topic::ALL.map(end)));
    let mut ends = [None; Topic::ALL.len()];
    ends.copy_from_slice(&found);
    Sample { at: view.at, ends, view }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: i64, orders: Option<u64>) -> Sample {
        let at = Timestamp::from_micros(second * 1_000_000);
        let view = Arc::new(PipelineView { at, services: Vec::new() });
        let mut ends = [Some(0); Topic::ALL.len()];
        ends[0] = orders;
        Sample { at, ends, view }
    }

    #[test]
    fn what_is_unknown_is_a_gap_and_an_hour_is_all_that_is_kept() {
        let history = History::default();
        for (second, orders) in [(0, Some(10)), (5, Some(20)), (10, None), (15, Some(5))] {
            history.add(sample(second, orders));
        }
        let orders = |sample: &Sample| sample.end(&[Topic::Orders]);
        let rates = history.rates(orders);
        assert!(rates[0] > 1.9 && rates[0] < 2.1 && rates[1].is_nan() && rates[2].is_nan());
        assert_eq!(history.rate(orders), None, "it shrank");
        for second in 20..2000 {
            history.add(sample(second, Some(5)));
        }
        assert_eq!(history.rates(orders).len(), KEPT - 1);
        assert_eq!(history.rate(orders), Some(0.0));
    }
}
