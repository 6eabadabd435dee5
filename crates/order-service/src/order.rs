//! The order: how it begins, and how facts from payment and fulfillment change it.
//!
//! Pure decisions; its status is a function of the facts, never of the order of their arrival.

use crate::api::{Accepted, Placed};
use ofs_events::{
    Contradiction, CorrelationId, Event, EventId, Facts, FulfillmentEvent, OrderCreatedV1,
    OrderEvent, OrderId, OrderStatus, PaymentEvent, Timestamp, TopicEvents,
};
use ofs_runtime::context::Context;
use ofs_runtime::decision::Decision;
use ofs_runtime::service::{Cause, Fault, Reaction, Reacts, Watches};
use ofs_runtime::store::Record;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What is known of one order; the body of this service's records.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The order.
    pub id: OrderId,
    /// The event that announced it; none on records that were written before this was kept.
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

/// Passes when the payment of an order is not decided in time.
const PAYMENT: &str = "payment";

/// A new order called `id`: its first state with the event that says so, and the answer to its client.
/// Its payment should be decided within `payment_deadline`.
#[must_use]
pub fn place(
    context: &Context,
    id: OrderId,
    new: Accepted,
    payment_deadline: Duration,
) -> (Decision, Placed) {
    let created = OrderCreatedV1 {
        order_id: id,
        customer_email: new.customer_email,
        product_type: new.product_type,
        country: new.country,
        payment_scenario: new.payment_scenario,
    };
    let correlation_id = CorrelationId(context.new_id());
    let event = context.first(correlation_id, created.clone().into());
    let order = Order::first(&event, created);
    let decision = Decision::new(order.status().name(), &order)
        .telling([event])
        .within(PAYMENT, payment_deadline);
    (decision, Placed { id, correlation_id })
}

/// The first record of an order that only its `OrderCreatedV1` still tells of; none for other events.
#[must_use]
pub fn restored(event: &Event) -> Option<Record> {
    let OrderEvent::OrderCreatedV1(created) = OrderEvent::of(&event.payload)?;
    let order = Order::first(event, created.clone());
    Some(Record::next(None, order.id, order.status().name(), &order, event.occurred_at))
}

/// The event that announced the order on `record`; none if the record cannot be read or does not say
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
        payload: created.into(),
    })
}

impl Order {
    /// The order as `event` tells of it.
    fn first(event: &Event, created: OrderCreatedV1) -> Self {
        Self {
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
        }
    }

    /// Where it stands.
    #[must_use]
    pub const fn status(&self) -> OrderStatus {
        OrderStatus::from_facts(self.facts)
    }

    /// Takes in what `payload` says, which happened at `at`; `false` if it was known.
    ///
    /// # Errors
    /// If it contradicts what is known.
    fn learn(&mut self, payload: &impl TopicEvents, at: Timestamp) -> Result<bool, Contradiction> {
        let Some(fact) = payload.fact() else { return Ok(false) };
        let facts = self.facts.with(fact)?;
        let is_new = facts != self.facts;
        if is_new {
            self.facts = facts;
            self.updated_at = self.updated_at.max(at);
        }
        Ok(is_new)
    }
}

/// Follows payments and fulfillment.
#[derive(Clone, Copy, Debug)]
pub struct Orders;

ofs_runtime::subscribe!(Orders: PaymentEvent, FulfillmentEvent; Watches);

fn read(record: &Record) -> Result<Order, Fault> {
    let newer = "this build cannot read the stored order; a newer one wrote it";
    record.read().map_err(|_| Fault::Later(newer.to_owned()))
}

impl Watches for Orders {
    async fn passed(
        &self,
        _: &Context,
        record: Option<&Record>,
        deadline: &str,
    ) -> Result<Reaction, Fault> {
        let waits = match record {
            Some(record) => read(record)?.status() == OrderStatus::Created,
            None => false,
        };
        Ok(if waits && deadline == PAYMENT { Reaction::Known } else { Reaction::Ignore })
    }
}

/// What `cause` means for the order on `record`; with `learn`, the order takes in what is new.
fn follow<E: TopicEvents>(
    record: Option<&Record>,
    cause: Cause<'_, E>,
    learn: impl FnOnce(&mut Order, &E),
) -> Result<Reaction, Fault> {
    let Some(record) = record else { return Ok(Reaction::Ignore) };
    let mut order = read(record)?;
    match order.learn(cause.event, cause.envelope.occurred_at) {
        Ok(true) => {
            learn(&mut order, cause.event);
            Ok(Decision::new(order.status().name(), &order).met(PAYMENT).into())
        }
        Ok(false) => Ok(Reaction::Known),
        Err(contradiction) => Err(Fault::Event(contradiction.to_string())),
    }
}

impl Reacts<PaymentEvent> for Orders {
    async fn react(
        &self,
        _: &Context,
        record: Option<&Record>,
        cause: Cause<'_, PaymentEvent>,
    ) -> Result<Reaction, Fault> {
        follow(record, cause, |order, event| match event {
            PaymentEvent::PaymentFailedV1(payment) => {
                order.failure_reason = Some(payment.reason.clone());
            }
            PaymentEvent::PaymentAuthorizedV1(_) => {}
        })
    }
}

impl Reacts<FulfillmentEvent> for Orders {
    async fn react(
        &self,
        _: &Context,
        record: Option<&Record>,
        cause: Cause<'_, FulfillmentEvent>,
    ) -> Result<Reaction, Fault> {
        follow(record, cause, |order, event| match event {
            FulfillmentEvent::FulfillmentScheduledV1(shipment) => {
                order.eta_utc = Some(shipment.eta_utc);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NAME;
    use ofs_events::{FulfillmentScheduledV1, PaymentAuthorizedV1, PaymentFailedV1};
    use ofs_runtime::log::Position;
    use ofs_runtime::service::{Delivery, Handler};
    use uuid::Uuid;

    const CONTEXT: Context = Context::new(NAME);

    fn placed() -> (Record, Event) {
        let new = Accepted {
            customer_email: "user@example.com".to_owned(),
            product_type: "Phone".to_owned(),
            country: "US".to_owned(),
            payment_scenario: None,
        };
        let id = OrderId(Uuid::from_u128(7));
        let (decision, answer) = place(&CONTEXT, id, new, Duration::from_mins(2));
        let [event] = decision.events.try_into().expect("one event");
        assert_eq!((answer.id, answer.correlation_id), (id, event.correlation_id));
        let at = event.occurred_at;
        (Record::next(None, id, &decision.status, &decision.body, at), event)
    }

    fn effects(created: &Event) -> [Event; 3] {
        let order_id = created.key().into();
        let eta_utc = created.occurred_at.plus_seconds(9);
        let reason = "Card declined (demo)".to_owned();
        let payloads = [
            PaymentAuthorizedV1 { order_id }.into(),
            PaymentFailedV1 { order_id, reason }.into(),
            FulfillmentScheduledV1 { order_id, eta_utc }.into(),
        ];
        CONTEXT.follow(created, payloads).try_into().expect("one for each")
    }

    #[test]
    fn record_and_event_of_a_new_order_can_be_made_from_each_other() {
        let (record, event) = placed();
        assert_eq!(published(&record).as_ref(), Some(&event));
        assert_eq!(restored(&event), Some(record));
    }

    async fn decide(record: Option<&Record>, event: &Event) -> Result<Reaction, Fault> {
        let at = Position { topic: event.payload.topic(), partition: 0, offset: 0 };
        Orders.handle(&CONTEXT, record, Delivery { at, event }).await
    }

    fn replaced(record: &Record, reaction: Reaction) -> Record {
        let Reaction::Decide(new) = reaction else { panic!("nothing changed: {reaction:?}") };
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
                let reaction = decide(Some(&now), event).await.expect("handled");
                now = replaced(&now, reaction);
            }
            assert_eq!(now.status, status);
            for event in events {
                assert_eq!(decide(Some(&now), event).await, Ok(Reaction::Known), "{status}");
            }
        }
    }

    #[tokio::test]
    async fn a_payment_is_overdue_until_it_is_decided() {
        let (record, created) = placed();
        async fn passed(record: Option<&Record>) -> Result<Reaction, Fault> {
            Watches::passed(&Orders, &CONTEXT, record, PAYMENT).await
        }
        assert_eq!(passed(Some(&record)).await, Ok(Reaction::Known));
        assert_eq!(passed(None).await, Ok(Reaction::Ignore));
        for event in effects(&created) {
            let reaction = decide(Some(&record), &event).await.expect("handled");
            let Reaction::Decide(new) = &reaction else { panic!("nothing changed") };
            assert_eq!(new.deadlines, [(PAYMENT, None)]);
            let now = replaced(&record, reaction);
            assert_eq!(passed(Some(&now)).await, Ok(Reaction::Ignore), "{}", now.status);
        }
    }

    #[tokio::test]
    async fn an_event_that_contradicts_a_known_fact_is_the_events_fault() {
        let (record, created) = placed();
        let [paid, failed, scheduled] = effects(&created);
        for (first, second) in [(&paid, &failed), (&failed, &paid), (&failed, &scheduled)] {
            let reaction = decide(Some(&record), first).await.expect("handled");
            let now = replaced(&record, reaction);
            assert!(matches!(decide(Some(&now), second).await, Err(Fault::Event(_))));
        }
    }

    #[tokio::test]
    async fn an_event_about_an_order_of_somebody_else_is_ignored() {
        let (_, created) = placed();
        for event in effects(&created) {
            assert_eq!(decide(None, &event).await, Ok(Reaction::Ignore));
        }
    }
}
