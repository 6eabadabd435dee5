//! The document: what search knows of one order, folded from the events of all topics.
//!
//! Folding is idempotent by event id and gives the same document in any order across topics.

use crate::timeline::{self, Entry};
use async_trait::async_trait;
use ofs_events::{
    Contradiction, CorrelationId, Event, Facts, OrderCreatedV1, OrderEvent, OrderId, OrderStatus,
    Timestamp, Topic, TopicEvents,
};
use ofs_runtime::context::Context;
use ofs_runtime::decision::Decision;
use ofs_runtime::log::Position;
use ofs_runtime::service::{Delivery, Fault, Handler, Reaction};
use ofs_runtime::store::Record;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// One order as search sees it; the body of this service's records and of the index's documents.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderDocument {
    /// The order.
    pub id: OrderId,
    /// The customer's address; missing until the order's first event is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "user@example.com")]
    pub customer_email: Option<String>,
    /// What was ordered; missing like `customerEmail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Phone")]
    pub product_type: Option<String>,
    /// Two upper-case letters; missing like `customerEmail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "US")]
    pub country: Option<String>,
    /// Follows from the events in the timeline.
    pub status: OrderStatus,
    /// When the order was taken; missing like `customerEmail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When the last event in the timeline happened.
    pub updated_at: Timestamp,
    /// The chain of the order's first event.
    pub correlation_id: CorrelationId,
    /// Every event once, causes before effects.
    pub timeline: Vec<Entry>,
}

impl fmt::Debug for OrderDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut document = f.debug_struct("OrderDocument");
        document.field("id", &self.id).field("status", &self.status);
        document.field("timeline", &self.timeline).finish_non_exhaustive()
    }
}

/// What a status says about facts: enough to find every contradiction and every later status.
const fn facts_of(status: OrderStatus) -> Facts {
    let nothing = Facts { authorized: false, failed: false, scheduled: false };
    match status {
        OrderStatus::Created => nothing,
        OrderStatus::PaymentAuthorized => Facts { authorized: true, ..nothing },
        OrderStatus::PaymentFailed => Facts { failed: true, ..nothing },
        OrderStatus::FulfillmentScheduled => Facts { scheduled: true, ..nothing },
    }
}

impl OrderDocument {
    fn empty(event: &Event) -> Self {
        Self {
            id: event.key().into(),
            customer_email: None,
            product_type: None,
            country: None,
            status: OrderStatus::Created,
            created_at: None,
            updated_at: event.occurred_at,
            correlation_id: event.correlation_id,
            timeline: Vec::new(),
        }
    }

    /// The document after `event`, which was read at `position`; none if it is in there already.
    ///
    /// # Errors
    /// If the event contradicts what is known.
    pub fn after(
        previous: Option<Self>,
        event: &Event,
        position: Position,
    ) -> Result<Option<Self>, Contradiction> {
        let mut document = previous.unwrap_or_else(|| Self::empty(event));
        if document.timeline.iter().any(|entry| entry.event_id == event.id) {
            return Ok(None);
        }
        if let Some(fact) = event.payload.fact() {
            let facts = facts_of(document.status).with(fact)?;
            document.status = OrderStatus::from_facts(facts);
        }
        document.updated_at = document.updated_at.max(event.occurred_at);
        if let Some(OrderEvent::OrderCreatedV1(order)) = OrderEvent::of(&event.payload) {
            document.describe(event, order);
        }
        document.timeline.push(Entry::new(event, Some(position)));
        document.timeline = timeline::in_causal_order(document.timeline);
        if let Some(first) = document.timeline.first() {
            document.correlation_id = first.correlation_id;
        }
        Ok(Some(document))
    }

    /// Should an order ever be created twice, the earliest creation describes it, in any order.
    fn describe(&mut self, event: &Event, order: &OrderCreatedV1) {
        let is_creation = |entry: &&Entry| entry.event_type == event.payload.event_type();
        let mut creations = self.timeline.iter().filter(is_creation);
        let rank = (event.occurred_at, event.id);
        if creations.any(|entry| (entry.occurred_at, entry.event_id) < rank) {
            return;
        }
        self.customer_email = Some(order.customer_email.clone());
        self.product_type = Some(order.product_type.clone());
        self.country = Some(order.country.clone());
        self.created_at = Some(event.occurred_at);
    }
}

/// Reads everything that happens to orders.
#[derive(Clone, Copy, Debug)]
pub struct Documents;

#[async_trait]
impl Handler for Documents {
    fn topics(&self) -> &'static [Topic] {
        &Topic::ALL
    }

    fn indexed(&self) -> bool {
        true
    }

    async fn handle(
        &self,
        _: &Context,
        record: Option<&Record>,
        delivery: Delivery<'_>,
    ) -> Result<Reaction, Fault> {
        let previous = record.map(Record::read).transpose().map_err(|_| {
            Fault::Later("this build cannot read the stored document; a newer one wrote it".into())
        })?;
        match OrderDocument::after(previous, delivery.event, delivery.at) {
            Ok(Some(document)) => Ok(Decision::new(document.status.name(), &document).into()),
            Ok(None) => Ok(Reaction::Known),
            Err(contradiction) => Err(Fault::Event(contradiction.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ofs_events::{FulfillmentScheduledV1, Payload, PaymentAuthorizedV1, PaymentFailedV1};
    use uuid::Uuid;

    const CONTEXT: Context = Context::new(crate::NAME);
    const ORDER: OrderId = OrderId(Uuid::from_u128(7));

    fn created(email: &str) -> Event {
        let order = OrderCreatedV1 {
            order_id: ORDER,
            customer_email: email.to_owned(),
            product_type: "Phone".to_owned(),
            country: "US".to_owned(),
            payment_scenario: None,
        };
        CONTEXT.first(CorrelationId(CONTEXT.new_id()), order.into())
    }

    fn effect(cause: &Event, payload: impl Into<Payload>) -> Event {
        CONTEXT.follow(cause, [payload.into()]).remove(0)
    }

    fn paid(cause: &Event) -> Event {
        let payment = PaymentAuthorizedV1 { order_id: ORDER };
        effect(cause, payment)
    }

    fn failed(cause: &Event) -> Event {
        let reason = "Card declined (demo)".to_owned();
        effect(cause, PaymentFailedV1 { order_id: ORDER, reason })
    }

    fn scheduled(cause: &Event) -> Event {
        let eta_utc = cause.occurred_at.plus_seconds(9);
        let shipment = FulfillmentScheduledV1 { order_id: ORDER, eta_utc };
        effect(cause, shipment)
    }

    fn at(event: &Event) -> Position {
        Position { topic: event.payload.topic(), partition: 0, offset: 3 }
    }

    fn fold<'a>(
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Result<Option<OrderDocument>, Contradiction> {
        let mut document = None;
        for event in events {
            let next = OrderDocument::after(document.clone(), event, at(event))?;
            document = next.or(document);
        }
        Ok(document)
    }

    fn permutations(items: &[Event]) -> Vec<Vec<Event>> {
        if items.is_empty() {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let mut rest = items.to_vec();
            rest.remove(at);
            for mut tail in permutations(&rest) {
                tail.push(item.clone());
                all.push(tail);
            }
        }
        all
    }

    #[test]
    fn events_fold_to_the_same_document_in_any_order() {
        let created_first = created("user@example.com");
        let mut created_again = created("other@example.com");
        created_again.occurred_at = created_first.occurred_at.plus_seconds(1);
        let paid = paid(&created_first);
        let scheduled = scheduled(&paid);
        for set in [
            vec![created_first.clone(), paid.clone(), scheduled.clone()],
            vec![created_first.clone(), created_again, paid, scheduled],
            vec![created_first.clone(), failed(&created_first)],
        ] {
            let expected = fold(&set).expect("no contradiction");
            for permutation in permutations(&set) {
                assert_eq!(fold(&permutation).expect("no contradiction"), expected);
                let twice = permutation.iter().chain(&permutation);
                assert_eq!(fold(twice).expect("no contradiction"), expected);
            }
        }
    }

    #[test]
    fn a_document_holds_the_orders_fields_status_and_timeline() {
        let created = created("user@example.com");
        let paid = paid(&created);
        let document = fold([&paid, &created]).expect("no contradiction").expect("a document");
        let json = serde_json::to_value(&document).expect("json");
        let members: Vec<_> = json.as_object().expect("object").keys().collect();
        assert_eq!(
            members,
            [
                "id",
                "customerEmail",
                "productType",
                "country",
                "status",
                "createdAt",
                "updatedAt",
                "correlationId",
                "timeline"
            ]
        );
        assert_eq!(json["status"], "PaymentAuthorized");
        assert_eq!(json["createdAt"], created.occurred_at.to_string());
        assert_eq!(json["updatedAt"], paid.occurred_at.to_string());
        assert_eq!(json["correlationId"], created.correlation_id.to_string());
        assert_eq!(json["timeline"][0]["eventType"], "OrderCreatedV1");
        assert_eq!(json["timeline"][0]["causationId"], serde_json::Value::Null);
        assert_eq!(json["timeline"][0]["position"], "orders.events.v1/0@3");
        assert_eq!(json["timeline"][1]["causationId"], created.id.to_string());
        assert!(!format!("{document:?}").contains("user@"));
    }

    #[test]
    fn a_document_begins_with_whatever_event_comes_first() {
        let created = created("user@example.com");
        let document = fold([&paid(&created)]).expect("no contradiction").expect("a document");
        assert_eq!(document.status, OrderStatus::PaymentAuthorized);
        assert_eq!((document.customer_email, document.created_at), (None, None));
    }

    #[tokio::test]
    async fn duplicates_are_known_and_contradictions_are_the_events_fault() {
        let created = created("user@example.com");
        let (paid, failed) = (paid(&created), failed(&created));
        let scheduled = scheduled(&paid);
        for (first, second) in [(&paid, &failed), (&scheduled, &failed), (&failed, &paid)] {
            let document = fold([&created, first]).expect("no contradiction");
            let record = Record::next(None, ORDER, "any", &document, CONTEXT.now());
            let handle = |event| {
                let delivery = Delivery { at: at(event), event };
                Documents.handle(&CONTEXT, Some(&record), delivery)
            };
            assert_eq!(handle(first).await, Ok(Reaction::Known));
            assert!(matches!(handle(second).await, Err(Fault::Event(_))));
        }
    }
}
