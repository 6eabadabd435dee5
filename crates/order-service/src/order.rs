//! The order: how it begins, and how facts from payment and fulfillment change it.
//!
//! Pure decisions; its status is a function of the facts, never of the order of their arrival.

use crate::api::Accepted;
use async_trait::async_trait;
use ofs_events::{
    Contradiction, CorrelationId, Event, EventId, Facts, OrderCreatedV1, OrderId, OrderStatus,
    Payload, Timestamp, Topic,
};
use ofs_runtime::context::Context;
use ofs_runtime::service::{Decision, Delivery, Fault, Handler};
use ofs_runtime::store::Record;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What is known of one order; the body of this service's records.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The order.
    pub id: OrderId,
    /// The event that told of it; none on records that were written before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<EventId>,
    /// Personal data: never logged.
    pub customer_email: String,
    /// What was ordered.
    pub product_type: String,
    /// Two upper-case letters.
    pub country: String,
    /// Steers the simulated payment.
    #[serde(default)]
    pub payment_scenario: Option<String>,
    /// On every event of the order's chain.
    pub correlation_id: CorrelationId,
    /// When it was taken.
    pub created_at: Timestamp,
    /// When the last event known here happened.
    pub updated_at: Timestamp,
    /// What is known of its progress.
    #[serde(default)]
    pub facts: Facts,
    /// Why the payment failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// When it is expected to arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_utc: Option<Timestamp>,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut order = f.debug_struct("Order");
        order.field("id", &self.id).field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// A new order: its first record and the event that says so.
#[must_use]
pub fn place(context: &Context, new: Accepted) -> (Record, Event) {
    let created = OrderCreatedV1 {
        order_id: OrderId(context.new_id()),
        customer_email: new.customer_email,
        product_type: new.product_type,
        country: new.country,
        payment_scenario: new.payment_scenario,
    };
    let correlation_id = CorrelationId(context.new_id());
    let event = context.first(correlation_id, Payload::OrderCreatedV1(created.clone()));
    (first_record(&event, created), event)
}

/// The first record of an order that only its `OrderCreatedV1` still tells of; none for other events.
#[must_use]
pub fn restored(event: &Event) -> Option<Record> {
    match &event.payload {
        Payload::OrderCreatedV1(created) => Some(first_record(event, created.clone())),
        Payload::PaymentAuthorizedV1(_)
        | Payload::PaymentFailedV1(_)
        | Payload::FulfillmentScheduledV1(_) => None,
    }
}

/// The event that told of the order on `record`; none if the record cannot be read or does not say
/// which event it was.
#[must_use]
pub fn published(record: &Record) -> Option<Event> {
    let order: Order = record.read().ok()?;
    let created = OrderCreatedV1 {
        order_id: order.id,
        customer_email: order.customer_email,
        product_type: order.product_type,
        country: order.country,
        payment_scenario: order.payment_scenario,
    };
    Some(Event {
        id: order.created_by?,
        occurred_at: order.created_at,
        correlation_id: order.correlation_id,
        causation_id: None,
        payload: Payload::OrderCreatedV1(created),
    })
}

fn first_record(event: &Event, created: OrderCreatedV1) -> Record {
    let order = Order {
        id: created.order_id,
        created_by: Some(event.id),
        customer_email: created.customer_email,
        product_type: created.product_type,
        country: created.country,
        payment_scenario: created.payment_scenario,
        correlation_id: event.correlation_id,
        created_at: event.occurred_at,
        updated_at: event.occurred_at,
        facts: Facts::default(),
        failure_reason: None,
        eta_utc: None,
    };
    Record::next(None, order.id, order.status().name(), &order, event.occurred_at)
}

impl Order {
    /// Where it stands.
    #[must_use]
    pub const fn status(&self) -> OrderStatus {
        OrderStatus::from_facts(self.facts)
    }

    /// The order after `event`; none if it knew the fact already.
    ///
    /// # Errors
    /// If the event contradicts what is known.
    pub fn after(mut self, event: &Event) -> Result<Option<Order>, Contradiction> {
        let facts = self.facts.with(&event.payload)?;
        if facts == self.facts {
            return Ok(None);
        }
        self.facts = facts;
        self.updated_at = self.updated_at.max(event.occurred_at);
        match &event.payload {
            Payload::PaymentFailedV1(payment) => {
                self.failure_reason = Some(payment.reason.clone());
            }
            Payload::FulfillmentScheduledV1(shipment) => self.eta_utc = Some(shipment.eta_utc),
            Payload::OrderCreatedV1(_) | Payload::PaymentAuthorizedV1(_) => {}
        }
        Ok(Some(self))
    }
}

/// Follows payments and fulfillment.
#[derive(Clone, Copy, Debug)]
pub struct Orders;

#[async_trait]
impl Handler for Orders {
    fn topics(&self) -> &'static [Topic] {
        &[Topic::Payments, Topic::Fulfillment]
    }

    async fn handle(
        &self,
        _: &Context,
        record: Option<&Record>,
        delivery: Delivery<'_>,
    ) -> Result<Decision, Fault> {
        let Some(record) = record else { return Ok(Decision::Ignore) };
        let order: Order = record.read().map_err(|_| {
            Fault::Later("this build cannot read the stored order; a newer one wrote it".to_owned())
        })?;
        match order.after(delivery.event) {
            Ok(Some(order)) => Ok(Decision::become_with(order.status().name(), &order, Vec::new())),
            Ok(None) => Ok(Decision::Known),
            Err(contradiction) => Err(Fault::Event(contradiction.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NAME;
    use ofs_events::{FulfillmentScheduledV1, PaymentAuthorizedV1, PaymentFailedV1};
    use ofs_runtime::log::Position;

    const CONTEXT: Context = Context::new(NAME);

    fn placed() -> (Record, Event) {
        let new = Accepted {
            customer_email: "user@example.com".to_owned(),
            product_type: "Phone".to_owned(),
            country: "US".to_owned(),
            payment_scenario: None,
        };
        place(&CONTEXT, new)
    }

    fn effects(created: &Event) -> [Event; 3] {
        let order_id = created.key().into();
        let eta_utc = created.occurred_at.plus_seconds(9);
        let reason = "Card declined (demo)".to_owned();
        let payloads = [
            Payload::PaymentAuthorizedV1(PaymentAuthorizedV1 { order_id }),
            Payload::PaymentFailedV1(PaymentFailedV1 { order_id, reason }),
            Payload::FulfillmentScheduledV1(FulfillmentScheduledV1 { order_id, eta_utc }),
        ];
        CONTEXT.follow(created, payloads).try_into().expect("one for each")
    }

    #[test]
    fn record_and_event_of_a_new_order_can_be_made_from_each_other() {
        let (record, event) = placed();
        assert_eq!(published(&record).as_ref(), Some(&event));
        assert_eq!(restored(&event), Some(record));
    }

    async fn decide(record: Option<&Record>, event: &Event) -> Result<Decision, Fault> {
        let at = Position { topic: event.payload.topic(), partition: 0, offset: 0 };
        Orders.handle(&CONTEXT, record, Delivery { at, event }).await
    }

    fn replaced(record: &Record, decision: Decision) -> Record {
        let Decision::Become(new) = decision else { panic!("nothing changed: {decision:?}") };
        assert!(new.events.is_empty());
        Record::next(Some(record), record.key, &new.status, &new.body, CONTEXT.now())
    }

    #[test]
    fn a_new_order_and_its_event_say_the_same() {
        let (record, event) = placed();
        let order: Order = record.read().expect("an order");
        assert_eq!((record.loaded, record.version, record.status.as_str()), (0, 1, "Created"));
        assert_eq!(record.key, event.key());
        assert_eq!(order.created_at, event.occurred_at);
        assert_eq!(order.correlation_id, event.correlation_id);
        assert_eq!(event.causation_id, None);
        let body: serde_json::Value = record.read().expect("json");
        assert_eq!(body["customerEmail"], "user@example.com");
        assert!(!format!("{order:?}").contains("user@"));
    }

    #[tokio::test]
    async fn status_follows_the_events_in_any_order() {
        let (record, created) = placed();
        let [paid, failed, scheduled] = effects(&created);
        for (events, status) in [
            (vec![&paid], "PaymentAuthorized"),
            (vec![&failed], "PaymentFailed"),
            (vec![&scheduled], "FulfillmentScheduled"),
            (vec![&paid, &scheduled], "FulfillmentScheduled"),
            (vec![&scheduled, &paid], "FulfillmentScheduled"),
        ] {
            let mut now = record.clone();
            for event in &events {
                let decision = decide(Some(&now), event).await.expect("handled");
                now = replaced(&now, decision);
            }
            assert_eq!(now.status, status);
            for event in events {
                assert_eq!(decide(Some(&now), event).await, Ok(Decision::Known), "{status}");
            }
        }
    }

    #[tokio::test]
    async fn an_event_that_contradicts_a_known_fact_is_the_events_fault() {
        let (record, created) = placed();
        let [paid, failed, scheduled] = effects(&created);
        for (first, second) in [(&paid, &failed), (&failed, &paid), (&failed, &scheduled)] {
            let decision = decide(Some(&record), first).await.expect("handled");
            let now = replaced(&record, decision);
            assert!(matches!(decide(Some(&now), second).await, Err(Fault::Event(_))));
        }
    }

    #[tokio::test]
    async fn an_event_about_an_order_of_somebody_else_is_ignored() {
        let (_, created) = placed();
        for event in effects(&created) {
            assert_eq!(decide(None, &event).await, Ok(Decision::Ignore));
        }
    }
}
