//! `GET /events`: the log as it is, one line (or server-sent event) per record, readable or not.
//!
//! Reads without a consumer group, so it never moves a service.

use super::App;
use super::place::{self, NoStart, Start};
use super::raw::Raw;
use super::tail::{Next, Tail};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, stream};
use ofs_events::{Event, OrderId, Timestamp, Topic};
use ofs_runtime::extract::Params;
use ofs_runtime::log::{self, Position, Received};
use ofs_runtime::problem::{Invalid, Problem};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const HEARTBEAT: Duration = Duration::from_secs(15);
/// When a browser asks again for what was refused.
const ASK_AGAIN: Duration = Duration::from_secs(300);
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read))
}

/// What to read.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Only this topic.
    topic: Option<Topic>,
    /// Only this order's records.
    order: Option<OrderId>,
    /// `earliest` (the default), `latest`, or a position such as `orders.events.v1/0@17`, which
    /// narrows the response to its partition. With the time at which the record there was appended,
    /// `orders.events.v1/0@17~2026-01-31T09:30:00.000000Z`, it is refused if another record
    /// is in its place: in a log that was restored or recreated.
    #[param(example = "earliest")]
    from: Option<String>,
    /// Continue with new records instead of ending where the log ends now. Default: `true` for
    /// server-sent events, else `false`.
    follow: Option<bool>,
}

/// A record of the log.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    /// Where it stands.
    #[schema(value_type = String, example = "orders.events.v1/0@17")]
    position: Position,
    /// When it was appended to the log.
    appended_at: Timestamp,
    /// Its key, an order id; null if it has none, or one that is not UTF-8 (then see `rawKey`).
    #[schema(required)]
    key: Option<String>,
    /// Its key, if that is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    raw_key: Option<Raw>,
    /// Its headers.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    headers: Map<String, Value>,
    /// The event's envelope, with all its members; absent if the record is not an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Object)]
    pub(super) event: Option<Value>,
    /// The record's value, if it is not an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    raw: Option<Raw>,
    /// Why it is not an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) error: Option<String>,
}

impl From<Received> for Line {
    fn from(record: Received) -> Self {
        let decoded = Event::decode(record.at.topic, record.key.as_deref(), &record.value)
            .map_err(|error| error.to_string())
            .and_then(|_| serde_json::from_slice(&record.value).map_err(|error| error.to_string()));
        let (event, error) = match decoded {
            Ok(event) => (Some(event), None),
            Err(error) => (None, Some(error)),
        };
        let key = record.key.map(|key| Raw::from(&key));
        let (key, raw_key) = match key {
            Some(key) if key.is_text() => (Some(key.value), None),
            other => (None, other),
        };
        let headers = record.headers.into_iter().map(|(name, value)| (name, value.into()));
        Line {
            position: record.at,
            appended_at: record.appended_at,
            key,
            raw_key,
            headers: headers.collect(),
            raw: error.is_some().then(|| Raw::from(&record.value)),
            event,
            error,
        }
    }
}

/// The partitions that cannot be read now, because no broker leads them; their records are missing.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Leaderless {
    /// Each as `topic/partition`; none once all can be read again.
    #[schema(example = json!(["orders.events.v1/3"]))]
    leaderless: Vec<String>,
}

/// A line of the response.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(super) enum Told {
    /// A record.
    Record(Box<Line>),
    /// What is missing has changed.
    Leaderless(Leaderless),
}

impl Told {
    fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Records of the log, oldest first; records that are not events are shown with the reason.
///
/// Returns one JSON object per line, from `from` to where the log ends now, or server-sent events if
/// requested with `Accept: text/event-stream`. An event's `id` is its position and time, followed by
/// those of the other partitions if several are read, so that a reader that reconnects with
/// `Last-Event-ID` misses nothing. A position that reading cannot resume from is refused: with a
/// problem, or, in server-sent events, with a single event `refused` whose data is the problem. If
/// reading fails halfway, the connection is aborted.
///
/// While a partition has no leader, the others are read: a line, or an event `leaderless` without an
/// `id`, names those that are missing, and again when they change. A reader that follows receives
/// their records once they have a leader again.
///
/// `curl 'localhost:8080/events?topic=orders.events.v1'`,
/// `curl -N -H 'Accept: text/event-stream' 'localhost:8080/events?from=latest'`
#[utoipa::path(get, path = "/events", tag = "events", operation_id = "readEvents",
    security(("key" = ["events:read"])),
    params(Asked, ("Last-Event-ID" = Option<String>, Header,
        description = "The `id` of the last server-sent event received; reading resumes after it")),
    responses((status = 200, description = "Records", content(
            (Told = "application/x-ndjson"), (String = "text/event-stream"))),
        (status = 400, description = "A parameter or Last-Event-ID is unknown or invalid, or the \
            position is no longer kept"),
        (status = 503, description = "The log cannot be reached, or too many clients follow it here already")))]
async fn read(
    State(app): State<App>,
    Params(asked): Params<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let live = accept.flat_map(|value| value.split(',')).any(|media| {
        media.split(';').next().is_some_and(|media| media.trim() == "text/event-stream")
    });
    let resumed = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty());
    let start = start(&asked, resumed.map(|value| value.to_str().unwrap_or_default()))?;
    let follow = asked.follow.unwrap_or(live);
    let seat = follow.then(|| app.listeners.sit()).transpose()?;
    let stop = app.draining.clone();
    let tail = match Tail::open(app.log, &start, asked.order.map(Into::into), follow, stop).await {
        Ok(tail) => tail,
        Err(NoStart::Log(error)) => {
            tracing::warn!(%error, "reading the log for a client failed");
            return Err(Problem::unavailable("the log"));
        }
        Err(NoStart::Place(place)) => {
            let problem = match resumed {
                Some(_) => Problem::invalid_header("Last-Event-ID", &place),
                None => wrong("from", &place),
            };
            return if live { Ok(refusal(&problem)) } else { Err(problem) };
        }
    };
    Ok(if live { server_sent(tail, seat) } else { lines(tail, seat) })
}

fn start(asked: &Asked, resumed: Option<&str>) -> Result<Start, Problem> {
    let from = match asked.from.as_deref() {
        None | Some("earliest") => place::From::Earliest,
        Some("latest") => place::From::Latest,
        Some(place) => place::From::Place(place.parse().map_err(|error| {
            wrong("from", &format!("must be earliest, latest or a position: {error}"))
        })?),
    };
    let reached = match resumed {
        None => Vec::new(),
        Some(id) => place::resume(id).ok_or_else(|| {
            Problem::invalid_header("Last-Event-ID", "must be the id of an event received before")
        })?,
    };
    let topics = match (asked.topic, from) {
        (Some(topic), place::From::Place(place)) if topic != place.at.topic => {
            return Err(wrong("from", "must be a position on the topic asked for"));
        }
        (Some(topic), _) => vec![topic],
        (None, place::From::Place(place)) => vec![place.at.topic],
        (None, _) => Topic::ALL.to_vec(),
    };
    Ok(Start { topics, from, reached })
}

fn wrong(parameter: &str, rule: &str) -> Problem {
    Problem::invalid_query(vec![Invalid::new(parameter, rule)])
}

/// Where somebody who follows the log sits until the answer ends.
type Seat = Option<OwnedSemaphorePermit>;

/// The lines of `tail`, records with their cursors; an error is the last item.
fn told(tail: Tail, seat: Seat) -> impl Stream<Item = Result<(Told, Option<String>), log::Error>> {
    stream::unfold(Some((tail, seat)), |reader| async move {
        let (mut tail, seat) = reader?;
        match tail.next().await {
            Ok(Some(Next::Record(record))) => {
                let cursor = tail.cursor(record.at);
                let line = Told::Record(Box::new(Line::from(record)));
                Some((Ok((line, Some(cursor))), Some((tail, seat))))
            }
            Ok(Some(Next::Leaderless(places))) => {
                let places = places.iter().map(|(topic, partition)| format!("{topic}/{partition}"));
                let line = Told::Leaderless(Leaderless { leaderless: places.collect() });
                Some((Ok((line, None)), Some((tail, seat))))
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "reading the log for a client broke off");
                Some((Err(error), None))
            }
        }
    })
}

fn lines(tail: Tail, seat: Seat) -> Response {
    use futures::StreamExt;
    let lines = told(tail, seat).map(|told| told.map(|(line, _)| Bytes::from(line.json() + "\n")));
    let content_type = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (content_type, Body::from_stream(lines)).into_response()
}

fn server_sent(tail: Tail, seat: Seat) -> Response {
    use futures::StreamExt;
    let events = told(tail, seat).map(|told| {
        told.map(|(line, cursor)| {
            let event = SseEvent::default().data(line.json());
            match cursor {
                Some(cursor) => event.id(cursor),
                None => event.event("leaderless"),
            }
        })
    });
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    Sse::new(events).keep_alive(heartbeat).into_response()
}

/// The only event of an answer that cannot go on where its reader was. A browser shows its page no
/// body of another status, and would ask again at once.
fn refusal(problem: &Problem) -> Response {
    let data = serde_json::to_string(problem).unwrap_or_default();
    let event = SseEvent::default().event("refused").retry(ASK_AGAIN).data(data);
    Sse::new(stream::iter([Ok::<_, Infallible>(event)])).into_response()
}
