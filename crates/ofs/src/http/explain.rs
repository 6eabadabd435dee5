//! `GET /orders/{id}/explain`: what an order waits for, since when, who acts next, and what is in the way.
//!
//! The page and the command line say the same, from the same function. Only looks.

use super::App;
use super::obstacles;
use super::timeline::{self, Timeline};
use axum::Json;
use axum::extract::State;
use ofs_console::words::age;
use ofs_events::{OrderId, OrderStatus, Timestamp};
use ofs_runtime::context::Context;
use ofs_runtime::extract::Id;
use ofs_runtime::problem::Problem;
use ofs_runtime::store::{self, ParkedFilter, ParkedState};
use order_service::api::OrderView;
use order_service::order::Order;
use search_indexer_worker::timeline::Entry;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A step that has taken less than this needs no reason.
const PATIENCE: f64 = 2.0;
/// Parked events of one order that are looked at.
const PARKED: usize = 50;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

/// What keeps an order from its next step.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub(super) struct Obstacle {
    /// What it is, in a sentence.
    #[schema(example = "payment-worker could not handle OrderCreatedV1: the gateway is down")]
    pub(super) detail: String,
    /// A command that shows more or helps; null if it resolves itself.
    #[schema(required)]
    pub(super) command: Option<String>,
}

/// What an order waits for.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    /// The order.
    pub(super) order_id: OrderId,
    /// Where it stands.
    pub(super) status: OrderStatus,
    /// All of this in one sentence.
    #[schema(example = "Waits for payment-worker to say PaymentAuthorizedV1 or PaymentFailedV1.")]
    pub(super) summary: String,
    /// Events, any of which ends the wait; empty once the order is final.
    pub(super) waits_for: Vec<&'static str>,
    /// Since when it waits; null once it is final.
    #[schema(required)]
    pub(super) since: Option<Timestamp>,
    /// How long it has waited, in seconds; null once it is final.
    #[schema(required)]
    pub(super) waited_seconds: Option<f64>,
    /// The service that acts next; null once it is final.
    #[schema(required)]
    pub(super) next_service: Option<&'static str>,
    /// What is in the way, nearest first; empty if nothing is known.
    pub(super) blocked_by: Vec<Obstacle>,
    /// The safe command to try first; null if there is nothing to do.
    #[schema(required)]
    pub(super) command: Option<String>,
}

/// Who acts next, on which event, and what comes of it.
pub(super) struct Next<'a> {
    pub(super) service: &'static str,
    pub(super) cause: &'a Entry,
    pub(super) effects: &'static [&'static str],
}

/// An order, its events, and what is parked of them: everything that is said about one order.
pub(super) struct Known {
    pub(super) order: OrderView,
    pub(super) timeline: Timeline,
    pub(super) parked: Vec<store::Parked>,
    pub(super) explanation: Explanation,
}

/// Explain what an order waits for.
///
/// What it waits for, since when, who acts next, what is in the way, and the safe command to try.
#[utoipa::path(get, path = "/orders/{id}/explain", tag = "orders", operation_id = "explainOrder",
    security(("key" = ["orders:read"])),
    params(("id" = OrderId, Path, description = "the order")),
    responses((status = 200, body = Explanation, description = "what it waits for"),
        (status = 400, description = "not a UUID"),
        (status = 404, description = "no such order"),
        (status = 503, description = "the store cannot be reached")))]
async fn show(State(app): State<App>, Id(id): Id<OrderId>) -> Result<Json<Explanation>, Problem> {
    Ok(Json(known(&app, id).await?.explanation))
}

/// Everything that is known about order `id`.
pub(super) async fn known(app: &App, id: OrderId) -> Result<Known, Problem> {
    let record = app.desk(order_service::NAME).record(id.into()).await?;
    let record = record.ok_or_else(|| order_service::http::unknown_order(id))?;
    let order: Order = record.read().map_err(|_| Problem::internal())?;
    let order = OrderView::from(order);
    let filter = ParkedFilter { key: Some(id.into()), ..ParkedFilter::default() };
    let (timeline, parked) =
        tokio::join!(timeline::timeline(app, id), app.store.parked(&filter, PARKED));
    let (timeline, parked) = (timeline?, parked?.events);
    let explanation = explain(app, &order, &timeline, &parked).await;
    Ok(Known { order, timeline, parked, explanation })
}

async fn explain(
    app: &App,
    order: &OrderView,
    timeline: &Timeline,
    parked: &[store::Parked],
) -> Explanation {
    let now = Context::new("explain").now();
    let next = next(order.status, &timeline.events);
    let mut blocked_by = obstacles::parked(parked, next.as_ref().map(|next| next.service));
    let since = next.as_ref().map(|next| next.cause.occurred_at);
    let waited_seconds = since.map(|since| now.seconds_since(since));
    let late = waited_seconds.is_some_and(|waited| waited > PATIENCE);
    if let Some(next) = next.as_ref().filter(|next| late && !obstacles::holds(parked, next.service))
    {
        blocked_by.extend(obstacles::on_the_way(app, next).await);
    }
    let look = || format!("ofs parked list --order {}", order.id);
    let command = match blocked_by.iter().find_map(|one| one.command.clone()) {
        None if obstacles::is_open(parked) => Some(look()),
        None if late => Some("ofs pipeline".to_owned()),
        command => command,
    };
    Explanation {
        order_id: order.id,
        status: order.status,
        summary: summary(order, next.as_ref(), waited_seconds, &blocked_by),
        waits_for: next.as_ref().map(|next| next.effects.to_vec()).unwrap_or_default(),
        since,
        waited_seconds,
        next_service: next.as_ref().map(|next| next.service),
        blocked_by,
        command,
    }
}

/// What has to happen next to an order in `status` with these events; none once it is final.
fn next(status: OrderStatus, events: &[Entry]) -> Option<Next<'_>> {
    let last = |name: &str| events.iter().rfind(|entry| entry.event_type == name);
    if status.is_final() {
        return None;
    }
    // The order-service follows what others have said already.
    let end = last("FulfillmentScheduledV1").or_else(|| last("PaymentFailedV1"));
    if let Some(cause) = end {
        return Some(Next { service: order_service::NAME, cause, effects: &[] });
    }
    if let Some(cause) = last("PaymentAuthorizedV1") {
        let effects = &["FulfillmentScheduledV1"];
        return Some(Next { service: fulfillment_worker::NAME, cause, effects });
    }
    let effects = &["PaymentAuthorizedV1", "PaymentFailedV1"];
    last("OrderCreatedV1").map(|cause| Next { service: payment_worker::NAME, cause, effects })
}

fn summary(
    order: &OrderView,
    next: Option<&Next<'_>>,
    waited: Option<f64>,
    blocked_by: &[Obstacle],
) -> String {
    let Some(next) = next else {
        let end = match (order.status, &order.failure_reason, order.eta_utc) {
            (OrderStatus::FulfillmentScheduled, _, Some(eta)) => {
                format!("Scheduled, to arrive by {}", eta.date())
            }
            (OrderStatus::PaymentFailed, Some(reason), _) => format!("Payment failed: {reason}"),
            (status, ..) => format!("Ended as {status}"),
        };
        return match blocked_by.len() {
            0 => format!("{end}. Nothing more is expected."),
            _ => format!("{end}, but not every service could handle its events."),
        };
    };
    let waited = age(waited.unwrap_or_default());
    let (service, cause) = (next.service, &next.cause.event_type);
    let action = match next.effects {
        [] => format!("to follow {cause}"),
        effects => format!("to answer {cause} with {}", effects.join(" or ")),
    };
    let way = if blocked_by.is_empty() { "" } else { ", and something is in the way" };
    format!("Waits for {service} {action}, for {waited}{way}.")
}

/// Whether `parked` is still open.
pub(super) fn open(parked: &store::Parked) -> bool {
    parked.state == ParkedState::Parked
}

#[cfg(test)]
mod tests {
    use super::*;
    use ofs_events::{CorrelationId, EventId};
    use uuid::Uuid;

    fn entry(event_type: &str) -> Entry {
        Entry {
            event_id: EventId(Uuid::from_u128(1)),
            event_type: event_type.to_owned(),
            occurred_at: Timestamp::from_micros(0),
            correlation_id: CorrelationId(Uuid::from_u128(9)),
            causation_id: None,
            position: None,
        }
    }

    #[test]
    fn who_acts_next_follows_from_what_has_happened() {
        let (created, paid) = (entry("OrderCreatedV1"), entry("PaymentAuthorizedV1"));
        let (failed, scheduled) = (entry("PaymentFailedV1"), entry("FulfillmentScheduledV1"));
        for (events, service) in [
            (vec![created.clone()], "payment-worker"),
            (vec![created.clone(), paid.clone()], "fulfillment-worker"),
            (vec![created.clone(), failed], "order-service"),
            (vec![created.clone(), paid, scheduled.clone()], "order-service"),
        ] {
            let next = next(OrderStatus::Created, &events).expect("not final");
            assert_eq!(next.service, service, "{events:?}");
        }
        assert!(next(OrderStatus::FulfillmentScheduled, &[created, scheduled]).is_none());
    }
}
