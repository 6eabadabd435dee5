//! `GET /orders/{id}/timeline`: what happened to an order. What search-indexer-worker has not read yet
//! is told by the records of the services that decided it.

use super::App;
use crate::told::told;
use axum::Json;
use axum::extract::State;
use ofs_events::{Key, OrderId};
use ofs_runtime::extract::Id;
use ofs_runtime::problem::Problem;
use ofs_runtime::store::{self, Record, Wanted};
use search_indexer_worker::document::OrderDocument;
use search_indexer_worker::timeline::{Entry, in_causal_order};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

/// The events of one order.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Timeline {
    /// The order.
    order_id: OrderId,
    /// Every event once, causes before effects.
    pub(super) events: Vec<Entry>,
}

/// Show what happened to an order.
///
/// Every event once, causes before effects. Whatever is durable is shown; the `position` of what has
/// not been read from the log yet is null.
#[utoipa::path(get, path = "/orders/{id}/timeline", tag = "orders", operation_id = "getTimeline",
    security(("key" = ["orders:read"])),
    params(("id" = OrderId, Path, description = "the order")),
    responses((status = 200, body = Timeline, description = "its events"),
        (status = 400, description = "not a UUID"),
        (status = 404, description = "no such order"),
        (status = 503, description = "the store cannot be reached")))]
async fn show(State(app): State<App>, Id(id): Id<OrderId>) -> Result<Json<Timeline>, Problem> {
    timeline(&app, id).await.map(Json)
}

/// What happened to order `id`.
pub(super) async fn timeline(app: &App, id: OrderId) -> Result<Timeline, Problem> {
    // First what is read, then what is told: between the two an event can only come twice.
    let mut events = match record(app, search_indexer_worker::NAME, id.into()).await? {
        Some(record) => {
            let document: OrderDocument = record.read().map_err(|_| Problem::internal())?;
            document.timeline
        }
        None => Vec::new(),
    };
    let (order, payment, shipment) = tokio::try_join!(
        record(app, order_service::NAME, id.into()),
        record(app, payment_worker::NAME, id.into()),
        record(app, fulfillment_worker::NAME, id.into()),
    )?;
    let told = order.map(|order| told(order, payment, shipment)).unwrap_or_default();
    for (_, _, event) in &told {
        if events.iter().all(|entry| entry.event_id != event.id) {
            events.push(Entry::new(event, None));
        }
    }
    if events.is_empty() {
        return Err(order_service::http::unknown_order(id));
    }
    Ok(Timeline { order_id: id, events: in_causal_order(events) })
}

async fn record(app: &App, owner: &str, key: Key) -> Result<Option<Record>, store::Error> {
    let wanted = Wanted { owner: owner.to_owned(), keys: vec![key], ..Wanted::default() };
    Ok(app.store.load(&wanted).await?.records.remove(&key))
}
