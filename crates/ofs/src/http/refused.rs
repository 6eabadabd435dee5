//! Orders whose document the search index refuses: list them, have them pushed again.
//!
//! The work is done by `ofs_runtime::rebuild`.

use super::App;
use super::index::problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ofs_events::{OrderId, Timestamp};
use ofs_runtime::access::{Caller, Entry};
use ofs_runtime::extract::Params;
use ofs_runtime::problem::{Invalid, Problem};
use ofs_runtime::store;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(retry))
}

/// An order whose document the index refuses.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RefusedDocument {
    /// The order.
    order: OrderId,
    /// The version of its record that was refused last.
    version: u64,
    /// Why, in the index's words.
    #[schema(example = "`createdAt` is not an RFC 3339 time")]
    reason: String,
    /// Since when the index refuses it.
    since: Timestamp,
}

impl From<store::Refused> for RefusedDocument {
    fn from(refused: store::Refused) -> Self {
        let store::Refused { key, version, reason, since } = refused;
        Self { order: key.into(), version, reason, since }
    }
}

/// One page of orders that the index refuses.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct RefusedPage {
    /// The page, by ascending order.
    refused: Vec<RefusedDocument>,
    /// Send it as `cursor` for the next page; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Which page to list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RefusedListing {
    /// How many, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
    /// `nextCursor` of the page before.
    #[param(value_type = Option<OrderId>)]
    cursor: Option<String>,
}

impl RefusedListing {
    fn check(self) -> Result<(Option<OrderId>, usize), Problem> {
        let mut errors = Vec::new();
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            errors.push(Invalid::new("limit", format!("must be from 1 to {MAX_LIMIT}")));
        }
        let after = self.cursor.map(|cursor| cursor.parse::<OrderId>().ok());
        if after == Some(None) {
            errors.push(Invalid::new("cursor", "must be the nextCursor of an earlier page"));
        }
        let checked = (after.flatten(), limit);
        if errors.is_empty() { Ok(checked) } else { Err(Problem::invalid_query(errors)) }
    }
}

/// What is pushed again.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Again {
    /// How many orders.
    pushed: u64,
}

/// Orders whose document the search index refuses, with the reason. Search does not find them, or
/// finds them as they were before.
#[utoipa::path(get, path = "/index/refused", tag = "index", operation_id = "listRefused",
    security(("key" = ["operate"])),
    params(RefusedListing),
    responses((status = 200, description = "One page", body = RefusedPage, links(
            ("next" = (operation_id = "listRefused",
                parameters(("cursor" = "$response.body#/nextCursor")))))),
        (status = 400, description = "A parameter is unknown or invalid"),
        (status = 503, description = "The store cannot be reached")))]
async fn list(
    State(app): State<App>,
    Params(asked): Params<RefusedListing>,
) -> Result<Json<RefusedPage>, Problem> {
    let (after, limit) = asked.check()?;
    // One more than asked for tells whether there is a next page.
    let mut found = app.rebuild.refused(after.map(Into::into), limit + 1).await.map_err(problem)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next_cursor = found.last().filter(|_| more).map(|last| last.key.to_string());
    Ok(Json(RefusedPage { refused: found.into_iter().map(Into::into).collect(), next_cursor }))
}

/// Has every refused document pushed again, by the process that feeds the index.
///
/// A changed order is pushed again automatically.
#[utoipa::path(post, path = "/index/refused/retry", tag = "index", operation_id = "retryRefused",
    security(("key" = ["operate"])),
    responses((status = 202, description = "They are being pushed; GET /index/refused lists those \
            that are refused again", body = Again),
        (status = 503, description = "The store cannot be reached")))]
async fn retry(
    State(app): State<App>,
    caller: Caller,
) -> Result<(StatusCode, Json<Again>), Problem> {
    let pushed = push_again(&app, &caller).await?;
    Ok((StatusCode::ACCEPTED, Json(Again { pushed })))
}

/// Has every refused document pushed again, whatever becomes of the request.
pub(super) async fn push_again(app: &App, caller: &Caller) -> Result<u64, Problem> {
    app.audit.note(&Entry::by(caller, "index.retry")).await?;
    let rebuild = app.rebuild.clone();
    let retried = tokio::spawn(async move { rebuild.retry_refused().await }).await;
    retried.map_err(|_| Problem::internal())?.map_err(problem)
}
