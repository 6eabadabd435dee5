//! Parked events: list, show, retry, discard. The routes; wire types are in `parked_view`.
//!
//! Trying is done by `ofs_runtime::parked`, in tasks that a disconnecting client cannot cancel.

use super::App;
use super::parked_view::{Detail, Discard, Done, Listing, ParkedPage, ParkedView, Tried};
use axum::Json;
use axum::extract::State;
use ofs_runtime::access::{Caller, Entry};
use ofs_runtime::extract::{Body, Id, Params};
use ofs_runtime::parked::{Discarded, Retried};
use ofs_runtime::problem::{Invalid, Problem};
use ofs_runtime::store::{self, ParkedState};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The longest reason, in characters.
const MAX_REASON: usize = 1000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(retry))
        .routes(routes!(discard))
}

/// Parked events of all services, oldest first; those that are closed stay visible for 30 days.
///
/// At most 10,000 are examined for one page: a page may be short or, with filters, empty, and still have
/// a next one.
#[utoipa::path(get, path = "/parked", tag = "parked", operation_id = "listParked",
    security(("key" = ["operate"])),
    params(Listing),
    responses((status = 200, description = "One page", body = ParkedPage, links(
            ("event" = (operation_id = "getParked",
                parameters(("id" = "$response.body#/parked/0/id")))),
            ("retry" = (operation_id = "retryParked",
                parameters(("id" = "$response.body#/parked/0/id")))),
            ("discard" = (operation_id = "discardParked",
                parameters(("id" = "$response.body#/parked/0/id")))),
            ("next" = (operation_id = "listParked",
                parameters(("cursor" = "$response.body#/nextCursor")))),
        )),
        (status = 400, description = "A parameter is unknown or invalid")))]
async fn list(
    State(app): State<App>,
    Params(asked): Params<Listing>,
) -> Result<Json<ParkedPage>, Problem> {
    let (found, next_cursor) = page(&app, asked).await?;
    Ok(Json(ParkedPage { parked: found.iter().map(ParkedView::from).collect(), next_cursor }))
}

/// The page of parked events that is asked for, and the cursor of the next.
pub(super) async fn page(
    app: &App,
    asked: Listing,
) -> Result<(Vec<store::Parked>, Option<String>), Problem> {
    let (filter, limit) = asked.check()?;
    let page = app.store.parked(&filter, limit).await?;
    Ok((page.events, page.next.map(|next| next.to_string())))
}

/// One parked event, with every byte of its record.
#[utoipa::path(get, path = "/parked/{id}", tag = "parked", operation_id = "getParked",
    security(("key" = ["operate"])),
    params(("id" = u64, Path, description = "Its number", example = 1,
        maximum = 9223372036854775807i64)),
    responses((status = 200, description = "The parked event", body = Detail),
        (status = 400, description = "The path holds no number"),
        (status = 404, description = "No such parked event")))]
async fn show(State(app): State<App>, Id(id): Id<u64>) -> Result<Json<Detail>, Problem> {
    Ok(Json(Detail::from(&event(&app, id).await?)))
}

/// The parked event `id`, in any state.
pub(super) async fn event(app: &App, id: u64) -> Result<store::Parked, Problem> {
    app.store.parked_event(id).await?.ok_or_else(|| unknown(id))
}

/// Retries one parked event now, due or not, and returns the outcome.
#[utoipa::path(post, path = "/parked/{id}/retry", tag = "parked", operation_id = "retryParked",
    security(("key" = ["operate"])),
    params(("id" = u64, Path, description = "Its number", example = 1,
        maximum = 9223372036854775807i64)),
    responses((status = 200, description = "It was retried: resolved, or failed again", body = Tried),
        (status = 400, description = "The path holds no number"),
        (status = 404, description = "No such parked event"),
        (status = 409, description = "Another one has to go first (the problem names it), it is \
            closed, it is being tried right now, or its service runs in another process")))]
async fn retry(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<u64>,
) -> Result<Json<Tried>, Problem> {
    retry_one(&app, &caller, id).await.map(Json)
}

/// Tries the parked event `id` now, whatever becomes of the request.
pub(super) async fn retry_one(app: &App, caller: &Caller, id: u64) -> Result<Tried, Problem> {
    app.audit.note(&Entry::by(caller, "parked.retry").with(id)).await?;
    let retrier = app.retrier.clone();
    let retried = detached(async move { retrier.retry(id).await }).await??;
    match retried {
        Retried::Resolved => Ok(Tried::resolved(id)),
        Retried::Failed { reason } => Ok(Tried::failed(id, reason)),
        Retried::Unknown => Err(unknown(id)),
        Retried::Closed(state) => Err(closed(id, state)),
        Retried::Busy => Err(busy(id)),
        Retried::Behind(head) => Err(behind(head)),
        Retried::Elsewhere { owner } => Err(elsewhere(id, &owner)),
    }
}

/// Discards one parked event; events that wait behind it go on.
#[utoipa::path(post, path = "/parked/{id}/discard", tag = "parked", operation_id = "discardParked",
    security(("key" = ["operate"])),
    params(("id" = u64, Path, description = "Its number", example = 1,
        maximum = 9223372036854775807i64)),
    request_body(content = Discard, description = "Why", content_type = "application/json"),
    responses((status = 200, description = "It is discarded", body = Done),
        (status = 400, description = "The reason is missing, blank or longer than 1000 characters, \
            or the path holds no number"),
        (status = 404, description = "No such parked event"),
        (status = 409, description = "It is closed, or being retried right now"),
        (status = 413, description = "The body is larger than 64 KiB"),
        (status = 415, description = "The body is not declared as JSON")))]
async fn discard(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<u64>,
    Body(asked): Body<Discard>,
) -> Result<Json<Done>, Problem> {
    discard_one(&app, &caller, id, &asked.reason).await.map(Json)
}

/// Gives up the parked event `id` for `reason`, whatever becomes of the request.
pub(super) async fn discard_one(
    app: &App,
    caller: &Caller,
    id: u64,
    reason: &str,
) -> Result<Done, Problem> {
    let reason = checked("/reason", reason)?;
    app.audit.note(&Entry::by(caller, "parked.discard").with(id).because(&reason)).await?;
    let retrier = app.retrier.clone();
    match detached(async move { retrier.discard(id, reason).await }).await?? {
        Discarded::Done => Ok(Done::discarded(id)),
        Discarded::Busy => Err(busy(id)),
        Discarded::Closed(state) => Err(closed(id, state)),
        Discarded::Unknown => Err(unknown(id)),
    }
}

/// The reason in `member`, if it is one.
pub(super) fn checked(member: &str, reason: &str) -> Result<String, Problem> {
    let reason = reason.trim().to_owned();
    if reason.is_empty() || reason.chars().count() > MAX_REASON {
        let rule = format!("must say in 1 to {MAX_REASON} characters why this is done");
        return Err(Problem::invalid_request(vec![Invalid::new(member, rule)]));
    }
    Ok(reason)
}

/// Runs `work` to its end, whatever becomes of the request.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(work).await.map_err(|error| {
        tracing::error!(%error, "a retry ended before its time");
        Problem::internal()
    })
}

pub(super) fn behind(head: u64) -> Problem {
    Problem::conflict(format!(
        "parked event {head} of the same order has to go first; retry or discard {head}"
    ))
}

pub(super) fn elsewhere(id: u64, owner: &str) -> Problem {
    Problem::conflict(format!(
        "parked event {id} belongs to {owner}, which does not run in this process; \
         send this request to the process that runs {owner}"
    ))
}

pub(super) fn unknown(id: u64) -> Problem {
    Problem::not_found(format!("there is no parked event {id}; GET /parked lists them"))
}

fn busy(id: u64) -> Problem {
    Problem::conflict(format!("parked event {id} is being tried right now; ask again"))
        .retry_after(1)
}

pub(super) fn closed(id: u64, state: ParkedState) -> Problem {
    let state = match state {
        ParkedState::Parked => "not open",
        ParkedState::Resolved => "already resolved",
        ParkedState::Discarded => "already discarded",
    };
    Problem::conflict(format!("parked event {id} is {state}; GET /parked/{id} shows it"))
}
