//! The search index: its state, rebuilding it, comparing it with the records.
//!
//! The work is done by `ofs_runtime::rebuild`.

use super::App;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ofs_events::OrderId;
use ofs_runtime::access::{Caller, Entry};
use ofs_runtime::index::Target;
use ofs_runtime::problem::Problem;
use ofs_runtime::rebuild::{self, RebuildState, Verified};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(build)).routes(routes!(compare))
}

/// The search index.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct IndexView {
    /// Every generation there is.
    targets: Vec<String>,
    /// The generation that search reads; null if there is none yet.
    #[schema(required)]
    active: Option<String>,
    /// The generation being built beside it; null if none is.
    #[schema(required)]
    building: Option<String>,
    /// Orders in the active generation.
    documents: u64,
    /// Records that are not yet in every generation they belong to.
    owed: u64,
    /// Records that the index refuses; `GET /index/refused` lists them.
    refused: u64,
}

impl From<RebuildState> for IndexView {
    fn from(state: RebuildState) -> Self {
        let name = |target: Target| target.0;
        IndexView {
            targets: state.targets.into_iter().map(name).collect(),
            active: state.active.map(name),
            building: state.building.map(name),
            documents: state.documents,
            owed: state.owed,
            refused: state.refused,
        }
    }
}

/// A rebuild in the background.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Building {
    /// The generation being built; searches read the old one until it is complete.
    #[schema(example = "orders-v1-1769860800000000")]
    building: String,
}

/// An order whose document is not what its record says.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct Difference {
    /// The order.
    id: OrderId,
    /// The record's version.
    record_version: u64,
    /// The document's version.
    index_version: u64,
    /// Members that differ.
    members: Vec<String>,
}

/// The index compared with the records. Lists hold the first 100 each, `differences` counts all.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Comparison {
    /// Records compared.
    checked: u64,
    /// Differences of all kinds.
    differences: u64,
    /// Orders that the index refuses, not counted as differences; `GET /index/refused` lists them.
    refused: u64,
    /// Orders that the index does not have.
    missing: Vec<OrderId>,
    /// Orders that only the index has.
    extra: Vec<OrderId>,
    /// Orders for which the index differs.
    different: Vec<Difference>,
}

impl From<Verified> for Comparison {
    fn from(verified: Verified) -> Self {
        let different = verified.different.into_iter().map(|difference| Difference {
            id: difference.id.into(),
            record_version: difference.record_version,
            index_version: difference.index_version,
            members: difference.members,
        });
        Comparison {
            checked: verified.checked,
            differences: verified.differences,
            refused: verified.refused,
            missing: verified.missing.into_iter().map(Into::into).collect(),
            extra: verified.extra.into_iter().map(Into::into).collect(),
            different: different.collect(),
        }
    }
}

pub(super) fn problem(error: rebuild::Error) -> Problem {
    match error {
        rebuild::Error::Store(error) => error.into(),
        rebuild::Error::Index(error) => error.into(),
    }
}

/// What the search index holds, and what is being built.
#[utoipa::path(get, path = "/index", tag = "index", operation_id = "getIndex",
    security(("key" = ["operate"])),
    responses((status = 200, description = "The index", body = IndexView),
        (status = 503, description = "The store or the index cannot be reached")))]
async fn show(State(app): State<App>) -> Result<Json<IndexView>, Problem> {
    app.rebuild.state().await.map(|state| Json(state.into())).map_err(problem)
}

/// Rebuilds the index from the records, beside the old one; searches keep working meanwhile.
///
/// If a rebuild is already running, returns that one.
#[utoipa::path(post, path = "/index/rebuild", tag = "index", operation_id = "rebuildIndex",
    security(("key" = ["operate"])),
    responses((status = 202, description = "It is being built; GET /index shows its progress",
            body = Building),
        (status = 503, description = "The store cannot be reached")))]
async fn build(
    State(app): State<App>,
    caller: Caller,
) -> Result<(StatusCode, Json<Building>), Problem> {
    let target = start(&app, &caller).await?;
    Ok((StatusCode::ACCEPTED, Json(Building { building: target.0 })))
}

/// Orders a rebuild, in its own task: it is written even if the client is gone by then.
pub(super) async fn start(app: &App, caller: &Caller) -> Result<Target, Problem> {
    app.audit.note(&Entry::by(caller, "index.rebuild")).await?;
    let rebuild = app.rebuild.clone();
    let started = tokio::spawn(async move { rebuild.start().await }).await;
    started.map_err(|_| Problem::internal())?.map_err(problem)
}

/// Compares every document with its record. Reads everything, so it takes a while.
#[utoipa::path(post, path = "/index/verify", tag = "index", operation_id = "verifyIndex",
    security(("key" = ["operate"])),
    responses((status = 200, description = "What was found; no differences means they agree",
            body = Comparison),
        (status = 503, description = "The store or the index cannot be reached, or there is no \
            index yet")))]
async fn compare(State(app): State<App>) -> Result<Json<Comparison>, Problem> {
    app.rebuild.verify().await.map(|verified| Json(verified.into())).map_err(problem)
}
