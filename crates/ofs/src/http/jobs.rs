//! `/parked/job`: many parked events retried or discarded, one after the other. The routes and their types;
//! the work is in `jobs/work`.

mod work;

pub use work::Jobs;

use super::App;
use super::parked::checked;
use super::parked_view::Chosen;
use crate::services::ServiceName;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ofs_events::Timestamp;
use ofs_runtime::access::{Caller, Entry};
use ofs_runtime::context::Context;
use ofs_runtime::extract::Body;
use ofs_runtime::problem::Problem;
use ofs_runtime::store::{Error, ParkedFilter};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Events of one job, at most.
const MOST: usize = 2_000;
/// Parked events read at once.
const PAGE: usize = 200;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(begin)).routes(routes!(cancel))
}

/// What is done with each event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Retried, if it is first in its queue; those behind it follow automatically.
    Retry,
    /// Discarded.
    Discard,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It goes on.
    Running,
    /// Every event had its turn.
    Done,
    /// It was cancelled, or the process shuts down; the events that had no turn stay parked.
    Cancelled,
    /// It could not go on, as `error` says; the events that had no turn stay parked.
    Failed,
}

/// What came of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Came {
    /// A retry handled it.
    Resolved,
    /// A retry failed; it stays parked.
    Failed,
    /// It was discarded.
    Discarded,
    /// It was left alone, as `reason` says.
    Skipped,
}

/// One event's turn.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Turn {
    /// The event's number.
    #[schema(example = 1)]
    pub id: u64,
    /// What came of it.
    pub outcome: Came,
    /// Why it failed or was left alone; null otherwise.
    #[schema(required)]
    pub reason: Option<String>,
}

/// A job.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// What it does.
    pub action: Action,
    /// Which events it was begun for, in words.
    #[schema(example = "service payment-worker")]
    pub chosen: String,
    /// Why, as whoever began it says.
    pub because: String,
    /// Who began it.
    pub by: String,
    /// Where it is.
    pub state: JobState,
    /// Why it could not go on; null unless it failed.
    #[schema(required)]
    pub error: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; null while it goes on.
    #[schema(required)]
    pub ended_at: Option<Timestamp>,
    /// Events that it was begun for.
    pub total: usize,
    /// Whether more match than a job takes.
    pub more: bool,
    /// Those that had their turn, in order.
    pub turns: Vec<Turn>,
}

/// The job that goes on in this process, or the last one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Latest {
    /// Null if there was none since the process started.
    #[schema(required)]
    job: Option<JobView>,
}

/// A job to be begun.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"action": "retry", "because": "the carrier is back",
    "service": "fulfillment-worker"}))]
pub(super) struct NewJob {
    /// What to do with each event.
    pub(super) action: Action,
    /// An explanation for later readers; not blank, at most 1000 characters.
    #[schema(pattern = "^[\\t-\\r ]*[^\\s\\u0000]([^\\u0000]{0,998}[^\\s\\u0000])?[\\t-\\r ]*$")]
    pub(super) because: String,
    /// Only this service's events; those of all if absent or null.
    #[serde(default)]
    #[schema(inline)]
    pub(super) service: Option<ServiceName>,
    /// Only those whose reason holds this text, in any case.
    #[serde(default)]
    #[schema(pattern = "^[^\\u0000\\uFFFD]*$")]
    pub(super) reason: Option<String>,
    /// How many events have to match, as a check; any number if absent or null.
    #[serde(default, deserialize_with = "whole")]
    #[schema(maximum = 9223372036854775807i64)]
    pub(super) count: Option<u64>,
}

/// A whole number, which in JSON may be written as `3.0`, too.
fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(from)? else { return Ok(None) };
    let written = || number.as_f64().filter(|number| number.fract() == 0.0);
    let whole = number.as_u64().or_else(|| format!("{:.0}", written()?).parse().ok());
    whole.map(Some).ok_or_else(|| D::Error::custom("must be a whole number, 0 or more"))
}

/// The job that goes on in this process, or the last one since it started.
#[utoipa::path(get, path = "/parked/job", tag = "parked", operation_id = "getParkedJob",
    security(("key" = ["operate"])),
    responses((status = 200, description = "The job, if there was one", body = Latest)))]
async fn show(State(app): State<App>) -> Json<Latest> {
    Json(Latest { job: app.jobs.latest() })
}

/// Begins a job: every open parked event that matches now is retried or discarded, one after the other.
///
/// A process does one job at a time and forgets it when it ends; what had its turn by then is done. At
/// most 2000 events are taken; for a retry, the oldest that are first in their queues.
#[utoipa::path(post, path = "/parked/job", tag = "parked", operation_id = "beginParkedJob",
    security(("key" = ["operate"])), request_body = NewJob,
    responses((status = 202, description = "It is begun; GET /parked/job shows its progress",
            body = JobView),
        (status = 400, description = "The body breaks a rule; `because` has 1 to 1000 characters"),
        (status = 409, description = "Another job goes on, the number of events that match is not \
            `count`, or too many match to be discarded at once"),
        (status = 413, description = "The body is larger than 64 KiB"),
        (status = 415, description = "The body is not declared as JSON")))]
async fn begin(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewJob>,
) -> Result<(StatusCode, Json<JobView>), Problem> {
    let job = start(&app, &caller, new).await?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// Cancels the job that goes on: the events that had no turn yet stay parked. Again, it changes nothing.
#[utoipa::path(post, path = "/parked/job/cancel", tag = "parked", operation_id = "cancelParkedJob",
    security(("key" = ["operate"])),
    responses((status = 200, description = "The job, if there was one", body = Latest)))]
async fn cancel(State(app): State<App>, caller: Caller) -> Result<Json<Latest>, Problem> {
    stop(&app, &caller).await?;
    Ok(Json(Latest { job: app.jobs.latest() }))
}

/// Begins the job `new`.
pub(super) async fn start(app: &App, caller: &Caller, new: NewJob) -> Result<JobView, Problem> {
    let filter = Chosen { service: new.service, reason: new.reason }.filter();
    let because = checked("/because", &new.because)?;
    app.jobs.is_free()?;
    let (ids, more) = matching(app, &filter, new.action).await?;
    if more && new.action == Action::Discard {
        let detail = format!("over {MOST} events match; choose fewer by service or reason");
        return Err(Problem::conflict(detail));
    }
    if let Some(count) = new.count.filter(|count| *count != ids.len() as u64) {
        let detail = format!("{} events match, not {count}; nothing was done", ids.len());
        return Err(Problem::conflict(detail));
    }
    let (action, chosen) = match new.action {
        Action::Retry => ("parked.retry", subject(&filter)),
        Action::Discard => ("parked.discard", subject(&filter)),
    };
    app.audit.note(&Entry::by(caller, action).with(&chosen).because(&because)).await?;
    app.jobs.begin(
        app,
        ids,
        JobView {
            action: new.action,
            chosen,
            because,
            by: caller.to_string(),
            state: JobState::Running,
            error: None,
            started_at: Context::new("jobs").now(),
            ended_at: None,
            total: 0,
            more,
            turns: Vec::new(),
        },
    )
}

/// Cancels the job that goes on, if one does.
pub(super) async fn stop(app: &App, caller: &Caller) -> Result<(), Problem> {
    app.audit.note(&Entry::by(caller, "parked.cancel")).await?;
    app.jobs.cancel();
    Ok(())
}

/// The numbers of the events that `filter` chooses, and whether there are more than a job takes.
async fn matching(
    app: &App,
    filter: &ParkedFilter,
    action: Action,
) -> Result<(Vec<u64>, bool), Error> {
    let (mut filter, mut ids) = (filter.clone(), Vec::new());
    loop {
        let page = app.store.parked(&filter, PAGE).await?;
        let turn = |one: &&_| action == Action::Discard || is_first(one);
        ids.extend(page.events.iter().filter(turn).map(|one| one.id));
        if ids.len() > MOST || page.next.is_none() {
            let more = ids.len() > MOST;
            ids.truncate(MOST);
            return Ok((ids, more));
        }
        filter.after = page.next;
    }
}

/// Whether it is first in its queue.
fn is_first(parked: &ofs_runtime::store::Parked) -> bool {
    parked.behind.is_none()
}

/// A filter in words.
pub(super) fn subject(filter: &ParkedFilter) -> String {
    let part = |name, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
    let parts = [part("service", &filter.owner), part("reason", &filter.reason)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "all".to_owned() } else { parts.join(", ") }
}
