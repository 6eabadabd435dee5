//! The route of the read model: search.
//!
//! Searches say how far behind they are; what is exact is `GET /orders/{id}`.

use crate::document::OrderDocument;
use crate::query::{self, SearchParams};
use crate::schema::{COUNTRY, STATUS};
use crate::search::Search;
use axum::Json;
use axum::extract::State;
use ofs_events::Timestamp;
use ofs_runtime::access::{Caller, Scope};
use ofs_runtime::desk::Desk;
use ofs_runtime::extract::Params;
use ofs_runtime::index::FacetCount;
use ofs_runtime::problem::Problem;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Search.
#[must_use]
pub fn reads() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(search_orders))
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
    /// Every event that happened before this time is searchable, except what is parked or refused by
    /// the index. An order of your own is found once this is later than the moment its 201 came. Null if
    /// it cannot be determined.
    pub as_of: Option<Timestamp>,
    /// Seconds between that and now, 0 if nothing waits; null if it cannot be determined.
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

/// Search orders.
///
/// Reads the search index, which follows the events: every event before `asOf` is searchable.
#[utoipa::path(
    get, path = "/orders/search", tag = "orders", operation_id = "searchOrders",
    security(("key" = ["orders:read"])), params(SearchParams),
    responses(
        (status = 200, body = SearchPage, description = "one page", links(
            ("order" = (operation_id = "getOrder",
                parameters(("id" = "$response.body#/orders/0/id")))),
            ("next" = (operation_id = "searchOrders", description = "with the same filters and sort",
                parameters(("cursor" = "$response.body#/nextCursor")))),
        )),
        (status = 400, description = "a parameter is unknown, repeated or invalid"),
        (status = 403,
            description = "the key lacks the scope; searching for words (`q`) needs `pii`, too, because \
                they are looked for in e-mail addresses"),
        (status = 503, description = "the index cannot be reached"),
    )
)]
async fn search_orders(
    State(desk): State<Desk>,
    caller: Caller,
    Params(params): Params<SearchParams>,
) -> Result<Json<SearchPage>, Problem> {
    let asked = params.parse().map_err(Problem::invalid_query)?;
    if asked.text.is_some() {
        // Words are also searched for in e-mail addresses.
        caller.needs(Scope::Pii)?;
    }
    search(&desk, &asked).await.map(Json)
}

/// The page that `asked` asks for.
///
/// # Errors
/// If the index cannot be reached.
pub async fn search(desk: &Desk, asked: &Search) -> Result<SearchPage, Problem> {
    // Before the search: what is found can then only be newer than what is promised.
    let freshness = desk.freshness().await;
    let mut found = desk.search(&asked.query()).await?;
    let mut facet = |name| found.facets.remove(name).unwrap_or_default();
    let facets = Facets { status: facet(STATUS), country: facet(COUNTRY) };
    Ok(SearchPage {
        orders: found.documents,
        total: found.total,
        facets,
        next_cursor: found.next.map(|cursor| query::encode(asked, cursor)),
        as_of: freshness.map(|freshness| freshness.as_of),
        lag_seconds: freshness.map(|freshness| freshness.lag_seconds),
    })
}
