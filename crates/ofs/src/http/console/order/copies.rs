//! What store, log and index say of one order, side by side, and whether they agree.

use crate::http::App;
use ofs_console::order::Side;
use ofs_console::words::{Tone, counted};
use ofs_events::{OrderId, OrderStatus};
use ofs_runtime::problem::Problem;
use order_service::api::OrderView;
use search_indexer_worker::document::OrderDocument;
use search_indexer_worker::http::search;
use search_indexer_worker::query::SearchParams;
use search_indexer_worker::timeline::Entry;
use serde_json::Value;

/// What the search index has, if it answers.
pub(super) struct Copies {
    index: Result<Option<OrderDocument>, Problem>,
}

/// Looks order `id` up in the index, as a search does.
pub(super) async fn read(app: &App, id: OrderId) -> Copies {
    Copies { index: found(app, id).await }
}

async fn found(app: &App, id: OrderId) -> Result<Option<OrderDocument>, Problem> {
    let params = SearchParams { q: Some(id.to_string()), ..SearchParams::default() };
    let query = params.parse().map_err(Problem::invalid_query)?;
    let page = search(&app.desk(search_indexer_worker::NAME), &query).await?;
    let own = |order: &Value| order["id"] == id.to_string();
    let document = page.orders.into_iter().find(own);
    Ok(document.and_then(|document| serde_json::from_value(document).ok()))
}

impl Copies {
    /// The three copies, and in words whether they agree; while an order is `open` they may not yet.
    pub(super) fn compare(
        self,
        order: &OrderView,
        events: &[Entry],
        open: bool,
    ) -> (Vec<Side>, (Tone, String)) {
        let logged: Vec<&Entry> = events.iter().filter(|one| one.position.is_some()).collect();
        let document = match self.index {
            Ok(document) => document,
            Err(problem) => {
                let sides = sides(order, events, &logged, None);
                let text = format!("The index does not say: {}", problem.detail);
                return (sides, (Tone::Warning, text));
            }
        };
        let sides = sides(order, events, &logged, document.as_ref());
        let agree = sides.iter().all(|side| side.agree);
        let verdict = match (agree, open) {
            (true, _) => (Tone::Good, "All three say the same.".to_owned()),
            (false, true) => {
                (Tone::Waiting, "They differ while the order is in progress.".to_owned())
            }
            (false, false) => {
                let text = "They differ. If they still do in a few seconds, `ofs index verify` \
                            names every difference.";
                (Tone::Warning, text.to_owned())
            }
        };
        (sides, verdict)
    }
}

/// What the events in the log say the status is.
fn status_of(logged: &[&Entry]) -> OrderStatus {
    let says = |name: &str| logged.iter().any(|entry| entry.event_type == name);
    let facts = ofs_events::Facts {
        authorized: says("PaymentAuthorizedV1"),
        failed: says("PaymentFailedV1"),
        scheduled: says("FulfillmentScheduledV1"),
    };
    OrderStatus::from_facts(facts)
}

fn sides(
    order: &OrderView,
    events: &[Entry],
    logged: &[&Entry],
    document: Option<&OrderDocument>,
) -> Vec<Side> {
    let none = || "not there".to_owned();
    let count = |number: usize| counted(number as u64, "event", "events");
    let log_status = if logged.is_empty() { none() } else { status_of(logged).to_string() };
    let log_created = logged.iter().find(|one| one.event_type == "OrderCreatedV1");
    let log_created = log_created.map_or_else(none, |one| one.occurred_at.to_string());
    let in_index = |say: &dyn Fn(&OrderDocument) -> String| document.map_or_else(none, say);
    let index_created = |document: &OrderDocument| {
        document.created_at.map_or_else(none, |created| created.to_string())
    };
    let same = |name: &'static str, store: String, log: String, index: String| Side {
        agree: store == log && log == index,
        name,
        store,
        log,
        index,
    };
    vec![
        same(
            "Status",
            order.status.to_string(),
            log_status,
            in_index(&|document| document.status.to_string()),
        ),
        same(
            "Events",
            count(events.len()),
            count(logged.len()),
            in_index(&|document| count(document.timeline.len())),
        ),
        same("Created", order.created_at.to_string(), log_created, in_index(&index_created)),
    ]
}
