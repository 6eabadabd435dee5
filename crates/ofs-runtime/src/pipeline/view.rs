//! What the pipeline shows: of every service what it has to read, to send and to index, what it could
//! not handle, and what is overdue. What is not known is null, never zero.

use super::Station;
use crate::log::Lag;
use crate::store::{Depth, Depths, Overdue};
use ofs_events::{Key, Timestamp, Topic};
use serde::Serialize;

/// How far a service is behind on one topic.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopicView {
    /// The topic.
    pub topic: Topic,
    /// Partitions it has; null while the log is unreachable.
    #[schema(required)]
    pub partitions: Option<u64>,
    /// Those of them that this process reads, in order; null while the log is unreachable.
    #[schema(required, example = json!([0, 1, 2]))]
    pub assigned: Option<Vec<u32>>,
    /// Partitions that no broker leads, in order; absent if there is none. Nothing can be read there, nor
    /// written, and what is still to be read there is not counted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub leaderless: Vec<u32>,
    /// Records still to be read; null while the log is unreachable.
    #[schema(required, example = 0)]
    pub lag_events: Option<u64>,
    /// Seconds the oldest of them has waited, 0 if there is none; null if that is unknown.
    #[schema(required, example = 0.0)]
    pub lag_seconds: Option<f64>,
    /// When the oldest of them was appended; null if there is none, or it is unknown.
    #[schema(required)]
    pub oldest: Option<Timestamp>,
    /// Since when the log has not answered; absent while it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub unreachable_since: Option<Timestamp>,
}

/// The backlog in the store.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// How many; null while the store is unreachable.
    #[schema(required, example = 0)]
    pub rows: Option<u64>,
    /// Since when the oldest waits; for the index, when the first event happened that is not there yet.
    /// Null if nothing waits, or the store is unreachable.
    #[schema(required)]
    pub oldest: Option<Timestamp>,
    /// Seconds since then, 0 if nothing waits; null while the store is unreachable.
    #[schema(required, example = 0.0)]
    pub age_seconds: Option<f64>,
    /// Since when the store has not answered; absent while it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub unreachable_since: Option<Timestamp>,
}

/// One service: what it has still to read, to send, to index, and what it could not handle.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    /// Its name.
    #[schema(example = "payment-worker")]
    pub service: &'static str,
    /// The topics it reads.
    pub topics: Vec<TopicView>,
    /// Events it decided on that are not in the log yet.
    pub outbox: Waiting,
    /// Its records that the search index does not have yet.
    pub index: Waiting,
    /// Its records that the search index refuses; `GET /index/refused` lists them.
    pub refused: Waiting,
    /// Events it could not handle, still open.
    pub parked: Waiting,
    /// What is overdue, by deadline; null while the store is unreachable.
    #[schema(required)]
    pub stuck: Option<Vec<Stuck>>,
}

/// Orders for which something should have happened by now.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stuck {
    /// The deadline that has passed.
    #[schema(example = "payment")]
    pub deadline: String,
    /// How many; not all are counted where there are more than 10,000.
    #[schema(example = 1)]
    pub rows: u64,
    /// When the first of them became overdue.
    pub oldest: Timestamp,
    /// The first of them.
    #[schema(value_type = Uuid)]
    pub example: Key,
    /// What is in its way, as far as that is known.
    pub reasons: Vec<String>,
}

/// The backlog of all services.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineView {
    /// When this was measured.
    pub at: Timestamp,
    /// Every service, running here or elsewhere.
    pub services: Vec<ServiceView>,
}

pub(super) fn of(
    station: &Station,
    lags: Result<&[Lag], &Timestamp>,
    depths: Result<&Depths, &Timestamp>,
    now: Timestamp,
) -> ServiceView {
    let at = depths.map_or(now, |depths| depths.at);
    let waiting = |pick: fn(&Depths) -> &[Depth]| waiting(depths.map(pick), station.service, at);
    ServiceView {
        service: station.service,
        topics: station.topics.iter().map(|topic| topic_view(*topic, lags, now)).collect(),
        outbox: waiting(|depths| &depths.outbox),
        index: waiting(|depths| &depths.index),
        refused: waiting(|depths| &depths.refused),
        parked: waiting(|depths| &depths.parked),
        stuck: None,
    }
}

pub(super) fn stuck(overdue: &[Overdue], owner: &str) -> Vec<Stuck> {
    let own = overdue.iter().filter(|overdue| overdue.owner == owner);
    let stuck = |overdue: &Overdue| Stuck {
        deadline: overdue.name.clone(),
        rows: overdue.rows,
        oldest: overdue.oldest,
        example: overdue.key,
        reasons: Vec::new(),
    };
    own.map(stuck).collect()
}

fn topic_view(topic: Topic, lags: Result<&[Lag], &Timestamp>, now: Timestamp) -> TopicView {
    let lags = match lags {
        Ok(lags) => lags.iter().filter(|lag| lag.topic == topic),
        Err(since) => {
            return TopicView {
                topic,
                partitions: None,
                assigned: None,
                leaderless: Vec::new(),
                lag_events: None,
                lag_seconds: None,
                oldest: None,
                unreachable_since: Some(*since),
            };
        }
    };
    let oldest = lags.clone().filter_map(|lag| lag.oldest).min();
    let events = lags.clone().map(|lag| lag.events).sum();
    let lag_seconds = match oldest {
        Some(oldest) => Some(now.seconds_since(oldest)),
        None if events == 0 => Some(0.0),
        None => None,
    };
    let those = |is: fn(&&Lag) -> bool| lags.clone().filter(is).map(|lag| lag.partition).collect();
    let (assigned, leaderless) = (those(|lag| lag.assigned), those(|lag| lag.leaderless));
    TopicView {
        topic,
        partitions: Some(lags.count() as u64),
        assigned: Some(assigned),
        leaderless,
        lag_events: Some(events),
        lag_seconds,
        oldest,
        unreachable_since: None,
    }
}

fn waiting(depths: Result<&[Depth], &Timestamp>, owner: &str, now: Timestamp) -> Waiting {
    let depth = match depths {
        Ok(depths) => depths.iter().find(|depth| depth.owner == owner),
        Err(since) => {
            let unreachable_since = Some(*since);
            return Waiting { rows: None, oldest: None, age_seconds: None, unreachable_since };
        }
    };
    let oldest = depth.and_then(|depth| depth.oldest);
    Waiting {
        rows: Some(depth.map_or(0, |depth| depth.rows)),
        oldest,
        age_seconds: Some(oldest.map_or(0.0, |oldest| now.seconds_since(oldest))),
        unreachable_since: None,
    }
}
