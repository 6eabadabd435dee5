//! The backlog: the lag of every service, what is owed and how old it is, what is parked.
//!
//! What cannot be reached is unknown since a time, never zero. Also says how fresh the index is.

mod view;

pub use view::{PipelineView, ServiceView, Stuck, TopicView, Waiting};

use crate::context::Context;
use crate::log::{Lag, Log, Reader};
use crate::metrics as names;
use crate::store::{Depths, Overdue, Store};
use metrics::gauge;
use ofs_events::{Timestamp, Topic};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long one look at the store or the log may take before it counts as unreachable.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer is reused for the next caller.
const FRESH: Duration = Duration::from_millis(200);

/// A service as the pipeline sees it, running here or elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// Its name.
    pub service: &'static str,
    /// The topics it reads.
    pub topics: &'static [Topic],
    /// Whether its records are what the search index holds.
    pub indexed: bool,
}

impl Station {
    /// The service as a reader of the log.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { group: group_of(self.service), topics: self.topics }
    }
}

/// The consumer group of `service`.
#[must_use]
pub fn group_of(service: &str) -> String {
    format!("{service}-v1")
}

/// How far behind the truth the search index is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Freshness {
    /// Every event before this time is searchable, except what the index refuses: when the oldest
    /// event that is not searchable yet began to wait where it is (in an outbox, in the log, for the
    /// index); now if none waits.
    pub as_of: Timestamp,
    /// Seconds between that and now; 0 if nothing waits.
    pub lag_seconds: f64,
}

#[derive(Default)]
struct Outages {
    /// Since when a part does not answer, by part: `store`, or a service whose lag is unknown.
    down: HashMap<&'static str, Timestamp>,
}

struct Inner {
    store: Arc<dyn Store>,
    log: Arc<dyn Log>,
    stations: Vec<Station>,
    context: Context,
    seen: Mutex<Outages>,
    /// Held while looking, so that many who ask at once cost one look.
    view: tokio::sync::Mutex<Option<(Instant, Arc<PipelineView>)>>,
    fresh: tokio::sync::Mutex<Option<(Instant, Option<Freshness>)>>,
}

/// Looks at the store and the log; cheap to clone, one per process.
#[derive(Clone)]
pub struct Pipeline {
    inner: Arc<Inner>,
}

impl Pipeline {
    /// A pipeline over `stations`: every service of the house, not only those in this process.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, log: Arc<dyn Log>, stations: Vec<Station>) -> Self {
        let inner = Inner {
            store,
            log,
            stations,
            context: Context::new("pipeline"),
            seen: Mutex::default(),
            view: tokio::sync::Mutex::default(),
            fresh: tokio::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Every service of the house.
    #[must_use]
    pub fn stations(&self) -> &[Station] {
        &self.inner.stations
    }

    /// What waits where, at most 200 ms old; also sets the gauges. Never fails: what cannot be
    /// reached within two seconds is unknown in the view and NaN in the gauges.
    pub async fn sample(&self) -> Arc<PipelineView> {
        let mut kept = self.inner.view.lock().await;
        if let Some((at, view)) = kept.as_ref()
            && at.elapsed() < FRESH
        {
            return Arc::clone(view);
        }
        let view = Arc::new(self.look().await);
        *kept = Some((Instant::now(), Arc::clone(&view)));
        view
    }

    /// How fresh the search index is, at most 200 ms old; none if no service feeds an index, or
    /// the store or a part of the log does not answer.
    pub async fn freshness(&self) -> Option<Freshness> {
        let mut kept = self.inner.fresh.lock().await;
        if let Some((at, fresh)) = kept.as_ref()
            && at.elapsed() < FRESH
        {
            return *fresh;
        }
        let fresh = self.look_at_index().await;
        *kept = Some((Instant::now(), fresh));
        fresh
    }

    async fn look(&self) -> PipelineView {
        let lags = futures::future::join_all(self.inner.stations.iter().map(|s| self.lag(s)));
        let (lags, depths, overdue) = tokio::join!(lags, self.depths(), self.overdue());
        let at = self.inner.context.now();
        let depths = depths.ok_or_else(|| self.down("store", at));
        let mut services = Vec::with_capacity(lags.len());
        for (station, lags) in self.inner.stations.iter().zip(lags) {
            let lags = lags.ok_or_else(|| self.down(station.service, at));
            let mut view = view::of(station, lags.as_deref(), depths.as_ref(), at);
            view.stuck = overdue.as_deref().map(|overdue| view::stuck(overdue, station.service));
            set_gauges(&view);
            services.push(view);
        }
        PipelineView { at, services }
    }

    /// Looks along an event's way, outboxes before log before index: what has left one place by then
    /// is in the next. The other way round it could be missed in between.
    async fn look_at_index(&self) -> Option<Freshness> {
        let feeding = self.inner.stations.iter().find(|station| station.indexed)?;
        let began = self.inner.context.now();
        let sending = self.depths().await?;
        let lags = self.lag(feeding).await?;
        if lags.iter().any(|lag| lag.leaderless) {
            return None;
        }
        let depths = self.depths().await?;
        let indexing = depths.index.iter().filter(|owed| owed.owner == feeding.service);
        let waiting = sending.outbox.iter().map(|depth| (sending.at, depth));
        let waiting = waiting.chain(indexing.map(|depth| (depths.at, depth)));
        let mut as_of = began;
        for lag in lags.iter().filter(|lag| lag.events > 0) {
            as_of = as_of.min(lag.happened?);
        }
        for (at, depth) in waiting.filter(|(_, depth)| depth.rows > 0) {
            // The store's clock need not be ours: only ages can be compared.
            let age = at.as_micros() - depth.oldest?.as_micros();
            as_of = as_of.min(Timestamp::from_micros(began.as_micros() - age));
        }
        Some(Freshness { as_of, lag_seconds: began.seconds_since(as_of) })
    }

    async fn lag(&self, station: &Station) -> Option<Vec<Lag>> {
        if station.topics.is_empty() {
            return Some(Vec::new());
        }
        let group = group_of(station.service);
        let lag = self.inner.log.lag(&group, station.topics);
        let lag = tokio::time::timeout(PATIENCE, lag).await.ok().and_then(Result::ok);
        self.mark(station.service, lag.is_some());
        lag
    }

    async fn depths(&self) -> Option<Depths> {
        let depths = self.inner.store.depths();
        let depths = tokio::time::timeout(PATIENCE, depths).await.ok().and_then(Result::ok);
        self.mark("store", depths.is_some());
        depths
    }

    async fn overdue(&self) -> Option<Vec<Overdue>> {
        let overdue = self.inner.store.overdue();
        tokio::time::timeout(PATIENCE, overdue).await.ok().and_then(Result::ok)
    }

    fn mark(&self, part: &'static str, answers: bool) {
        let mut seen = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if answers {
            seen.down.remove(part);
        } else {
            seen.down.entry(part).or_insert_with(|| self.inner.context.now());
        }
    }

    fn down(&self, part: &'static str, now: Timestamp) -> Timestamp {
        let seen = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.down.get(part).copied().unwrap_or(now)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a double; counts stay below 2^53")]
fn set_gauges(view: &ServiceView) {
    let service = view.service;
    let rows = |waiting: &Waiting| waiting.rows.map_or(f64::NAN, |rows| rows as f64);
    let age = |waiting: &Waiting| waiting.age_seconds.unwrap_or(f64::NAN);
    for (lane, waiting) in [("outbox", &view.outbox), ("index", &view.index)] {
        gauge!(names::OWED, "service" => service, "lane" => lane).set(rows(waiting));
        gauge!(names::OWED_OLDEST_SECONDS, "service" => service, "lane" => lane).set(age(waiting));
    }
    gauge!(names::REFUSED, "service" => service).set(rows(&view.refused));
    gauge!(names::PARKED, "service" => service).set(rows(&view.parked));
    let stuck = view.stuck.as_ref().map(|stuck| stuck.iter().map(|stuck| stuck.rows).sum::<u64>());
    gauge!(names::STUCK, "service" => service).set(stuck.map_or(f64::NAN, |rows| rows as f64));
    gauge!(names::PARKED_OLDEST_SECONDS, "service" => service).set(age(&view.parked));
    for topic in &view.topics {
        let name = topic.topic.name();
        let events = topic.lag_events.map_or(f64::NAN, |events| events as f64);
        let seconds = topic.lag_seconds.unwrap_or(f64::NAN);
        let assigned = topic.assigned.as_ref().map_or(f64::NAN, |assigned| assigned.len() as f64);
        gauge!(names::ASSIGNED_PARTITIONS, "service" => service, "topic" => name).set(assigned);
        gauge!(names::LAG_EVENTS, "service" => service, "topic" => name).set(events);
        gauge!(names::LAG_SECONDS, "service" => service, "topic" => name).set(seconds);
    }
}
