//! What each event changed about its order: the order's states, made again from the events by the
//! order-service's own reactions.

use ofs_console::order::Change;
use ofs_events::{Event, EventId};
use ofs_runtime::context::Context;
use ofs_runtime::log::Received;
use ofs_runtime::service::{Delivery, Handler, Reaction};
use ofs_runtime::store::Record;
use order_service::api::OrderView;
use order_service::order::{Order, Orders, restored};
use search_indexer_worker::timeline::Entry;
use serde_json::Value;
use std::collections::HashMap;

/// What each of `events` changed, as far as their records are known.
pub(super) async fn changes(
    events: &[Entry],
    records: &HashMap<EventId, Received>,
) -> HashMap<EventId, Vec<Change>> {
    let (mut all, mut state) = (HashMap::new(), None);
    for entry in events {
        // After an event that is not in the log yet, or cannot be read, no state is known.
        let record = records.get(&entry.event_id);
        let Some((record, event)) = record.and_then(decoded) else { break };
        let next = after(state.as_ref(), record, &event).await;
        all.insert(entry.event_id, Change::between(&view(state.as_ref()), &view(next.as_ref())));
        state = next;
    }
    all
}

fn decoded(record: &Received) -> Option<(&Received, Event)> {
    let event = Event::decode(record.at.topic, record.key.as_deref(), &record.value).ok()?;
    Some((record, event))
}

async fn after(state: Option<&Record>, record: &Received, event: &Event) -> Option<Record> {
    let Some(known) = state else { return restored(event) };
    let context = Context::new(order_service::NAME);
    match Orders.handle(&context, state, Delivery { at: record.at, event }).await {
        Ok(Reaction::Decide(new)) => {
            let at = event.occurred_at;
            Some(Record::next(state, known.key, &new.status, &new.body, at))
        }
        Ok(Reaction::Ignore | Reaction::Known) | Err(_) => Some(known.clone()),
    }
}

/// The order as the API shows it.
fn view(state: Option<&Record>) -> Value {
    let order = state.and_then(|record| record.read::<Order>().ok()).map(OrderView::from);
    serde_json::to_value(order).unwrap_or_default()
}
