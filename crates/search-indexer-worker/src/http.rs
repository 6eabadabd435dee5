//! The routes of the read model: search, and the timeline of one order.
//!
//! Searches say how far behind they are; what is exact is `GET /orders/{id}`.

use crate::document::OrderDocument;
use crate::query::{self, SearchParams};
use crate::timeline::Entry;
use axum::Json;
use axum::extract::State;
use ofs_events::{OrderId, Timestamp};
use ofs_runtime::desk::Desk;
use ofs_runtime::extract::{Id, Params};
use ofs_runtime::index::FacetCount;
use ofs_runtime::problem::Problem;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Search and timelines.
#[must_use]
pub fn reads() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(search_orders)).routes(routes!(get_timeline))
}

/// One page of a search.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SearchPage {
    /// The orders of this page.
    #[schema(value_type = Vec<OrderDocument>)]
    pub orders: Vec<Value>,
    /// How many orders match, on all pages.
    pub total: u64,
    /// Counts of all matches.
    pub facets: Facets,
    /// Send it as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
    /// Since when the oldest event not found yet waits for it; if none does, when that was seen, and
    /// everything that happened before is found. Null if it cannot be told.
    pub as_of: Option<Timestamp>,
    /// Seconds between that and now, 0 if nothing waits; null if that cannot be told.
    pub lag_seconds: Option<f64>,
}

/// Counts of all matches by value, largest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Facets {
    /// By status.
    pub status: Vec<FacetCount>,
    /// By country, at most 50.
    pub country: Vec<FacetCount>,
}

/// The events of one order.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// The order.
    pub order_id: OrderId,
    /// Every event once, causes before effects.
    pub events: Vec<Entry>,
}

/// Search orders.
///
/// Reads the search index, which follows the events: `asOf` and `lagSeconds` say how closely.
#[utoipa::path(
    get, path = "/orders/search", tag = "orders", operation_id = "searchOrders", params(SearchParams),
    responses(
        (status = 200, body = SearchPage, description = "one page"),
        (status = 400, body = Problem, content_type = "application/problem+json",
            description = "a parameter is unknown, repeated or invalid"),
        (status = 503, body = Problem, content_type = "application/problem+json",
            description = "the index cannot be reached"),
    )
)]
async fn search_orders(
    State(desk): State<Desk>,
    Params(params): Params<SearchParams>,
) -> Result<Json<SearchPage>, Problem> {
    let query = params.parse().map_err(Problem::invalid_query)?;
    // Before the search: what is found can then only be newer than what is promised.
    let freshness = desk.freshness().await;
    let found = desk.search(&query).await?;
    Ok(Json(SearchPage {
        orders: found.orders,
        total: found.total,
        facets: Facets { status: found.status, country: found.country },
        next_cursor: found.next.map(|cursor| query::encode(&query, cursor)),
        as_of: freshness.map(|freshness| freshness.as_of),
        lag_seconds: freshness.map(|freshness| freshness.lag_seconds),
    }))
}

/// Show what happened to an order.
///
/// Every event once, causes before effects; a moment behind the log.
#[utoipa::path(
    get, path = "/orders/{id}/timeline", tag = "orders", operation_id = "getTimeline",
    params(("id" = OrderId, Path, description = "the order")),
    responses(
        (status = 200, body = Timeline, description = "its events"),
        (status = 400, body = Problem, content_type = "application/problem+json",
            description = "not a UUID"),
        (status = 404, body = Problem, content_type = "application/problem+json",
            description = "no event of this order has been read"),
        (status = 503, body = Problem, content_type = "application/problem+json",
            description = "the store cannot be reached"),
    )
)]
async fn get_timeline(
    State(desk): State<Desk>,
    Id(id): Id<OrderId>,
) -> Result<Json<Timeline>, Problem> {
    let record = desk.record(id).await?.ok_or_else(|| Problem::unknown_order(id))?;
    let document: OrderDocument = record.read().map_err(|_| Problem::internal())?;
    Ok(Json(Timeline { order_id: id, events: document.timeline }))
}
