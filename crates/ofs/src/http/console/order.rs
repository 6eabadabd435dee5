//! The page of one order: its events and parked events in time, and what its three copies say.

mod changes;
mod copies;
mod waterfall;

use super::{Page, frame};
use crate::http::App;
use crate::http::explain::{self, Explanation, Known};
use crate::http::obstacles::publisher_of;
use axum::extract::State;
use ofs_console::frame::{Copyable, Depth, Here};
use ofs_console::order::{Cause, Graph, OrderPage, Why};
use ofs_console::words::{Age, Badge, Moment, Tone};
use ofs_events::{OrderId, OrderStatus, Timestamp};
use ofs_runtime::access::Caller;
use ofs_runtime::extract::Id;
use ofs_runtime::problem::Problem;
use order_service::api::OrderView;

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<OrderId>,
) -> Result<Page<OrderPage>, Problem> {
    let frame = frame(&app, caller.scopes(), Here::Orders, Depth::Below);
    let known = explain::known(&app, id).await?;
    let (records, copies) =
        tokio::join!(waterfall::records(&app, &known.timeline.events), copies::read(&app, id));
    let changes = changes::changes(&known.timeline.events, &records).await;
    let order = &known.order;
    let open = !order.status.is_final();
    let end = if open { frame.at } else { order.updated_at };
    let (sides, agreement) = copies.compare(order, &known.timeline.events, open);
    Ok(Page(OrderPage {
        id: id.to_string(),
        status: Badge::of(order.status),
        email: order.customer_email.clone(),
        product: order.product_type.clone(),
        country: order.country.clone(),
        correlation: order.correlation_id.to_string(),
        created: Moment(order.created_at),
        took: Age(end.seconds_since(order.created_at)),
        outcome: outcome(&known),
        open: open || known.parked.iter().any(explain::open),
        why: why(order.status, &known.explanation),
        steps: waterfall::steps(&known, &records, &changes, frame.at),
        graph: graph(&known, frame.at),
        sides,
        agreement,
        copy: vec![
            Copyable::ofs(format!("order explain {id}")),
            Copyable::ofs(format!("order timeline {id}")),
            Copyable::curl(&app.about.url, &format!("/orders/{id}/explain")),
        ],
        frame,
    }))
}

fn outcome(known: &Known) -> Option<String> {
    let order = &known.order;
    let arrival = order.eta_utc.map(|eta| format!("arrives by {}", eta.date()));
    order.failure_reason.clone().or(arrival)
}

fn why(status: OrderStatus, explanation: &Explanation) -> Why {
    let tone = match status {
        _ if !explanation.blocked_by.is_empty() => Tone::Warning,
        OrderStatus::FulfillmentScheduled => Tone::Good,
        OrderStatus::PaymentFailed => Tone::Bad,
        OrderStatus::Created | OrderStatus::PaymentAuthorized => Tone::Waiting,
    };
    let blockers = explanation.blocked_by.iter();
    let blockers = blockers.map(|one| (one.detail.clone(), one.command.clone())).collect();
    let command = explanation.command.clone();
    Why { summary: explanation.summary.clone(), tone, blockers, command }
}

/// Stands for the request that an order began with.
const COMMAND: &str = "command";

/// When the request for `order` came in: its id was made then.
fn asked_at(order: &OrderView) -> Timestamp {
    let id = order.id.0;
    let made = id.get_timestamp().filter(|_| id.get_version_num() == 7).map(|at| at.to_unix());
    let micros = made.and_then(|(seconds, nanos)| {
        i64::try_from(seconds).ok()?.checked_mul(1_000_000)?.checked_add(i64::from(nanos / 1000))
    });
    micros.map_or(order.created_at, Timestamp::from_micros)
}

fn graph(known: &Known, now: Timestamp) -> Graph {
    let events = &known.timeline.events;
    let asked = asked_at(&known.order);
    let cause = |event: &search_indexer_worker::timeline::Entry| {
        let before = events.iter().find(|one| Some(one.event_id) == event.causation_id);
        Cause {
            id: event.event_id.to_string(),
            cause: match event.causation_id {
                Some(id) => Some(id.to_string()),
                None => Some(COMMAND.to_owned()),
            },
            title: event.event_type.clone(),
            service: publisher_of(&event.event_type).to_owned(),
            delay: match (event.causation_id, before) {
                (None, _) => Some(Age(event.occurred_at.seconds_since(asked).max(0.0))),
                (Some(_), Some(one)) => Some(Age(event.occurred_at.seconds_since(one.occurred_at))),
                (Some(_), None) => None,
            },
            expected: false,
        }
    };
    let command = Cause {
        id: COMMAND.to_owned(),
        cause: None,
        title: "POST /orders".to_owned(),
        service: "a client".to_owned(),
        delay: None,
        expected: false,
    };
    let mut all: Vec<Cause> = std::iter::once(command).chain(events.iter().map(cause)).collect();
    let last = events.last().map(|event| event.event_id.to_string());
    let explanation = &known.explanation;
    if let Some(service) = explanation.next_service
        && !explanation.waits_for.is_empty()
    {
        let waited = explanation.since.map(|since| Age(now.seconds_since(since)));
        all.push(Cause {
            id: "expected".to_owned(),
            cause: last,
            title: "To come".to_owned(),
            service: service.to_owned(),
            delay: waited,
            expected: true,
        });
    }
    Graph::of(all)
}
