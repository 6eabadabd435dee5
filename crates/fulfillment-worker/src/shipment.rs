//! The shipment: one per paid order, scheduled once.
//!
//! Pure decision; declined payments are ignored.

use ofs_events::{Event, FulfillmentScheduledV1, OrderId, Payload, PaymentEvent, Timestamp};
use ofs_runtime::context::Context;
use ofs_runtime::decision::Decision;
use ofs_runtime::service::{Cause, Fault, Reaction, Reacts};
use ofs_runtime::store::Record;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The status of every shipment's record.
pub const SCHEDULED: &str = "Scheduled";

/// A scheduled shipment; the body of this service's records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shipment {
    /// The order that is shipped.
    pub order_id: OrderId,
    /// When it was scheduled.
    pub scheduled_at: Timestamp,
    /// When it is expected to arrive.
    pub eta_utc: Timestamp,
}

impl Shipment {
    /// The shipment of `order_id`, scheduled at `now`, that takes `transit`.
    #[must_use]
    pub fn schedule(order_id: OrderId, now: Timestamp, transit: Duration) -> Self {
        let seconds = i64::try_from(transit.as_secs()).unwrap_or(i64::MAX);
        Self { order_id, scheduled_at: now, eta_utc: now.plus_seconds(seconds) }
    }

    fn tells(&self) -> Payload {
        let Self { order_id, eta_utc, .. } = *self;
        FulfillmentScheduledV1 { order_id, eta_utc }.into()
    }
}

/// The event that announced the shipment on `record`, which followed from `paid`; none if the record
/// cannot be read.
#[must_use]
pub fn published(context: &Context, record: &Record, paid: &Event) -> Option<Event> {
    let shipment: Shipment = record.read().ok()?;
    let event = context.follow(paid, [shipment.tells()]).into_iter().next()?;
    Some(Event { occurred_at: shipment.scheduled_at, ..event })
}

/// Reacts to payments.
#[derive(Clone, Copy, Debug)]
pub struct Shipments {
    transit: Duration,
}

impl Shipments {
    /// Shipments that arrive `transit` after they are scheduled.
    #[must_use]
    pub const fn new(transit: Duration) -> Self {
        Self { transit }
    }

    /// What `event` means for the order whose shipment is (or is not yet) on record.
    #[must_use]
    pub fn decide(
        &self,
        context: &Context,
        record: Option<&Record>,
        cause: Cause<'_, PaymentEvent>,
    ) -> Reaction {
        let order_id = match (cause.event, record) {
            (PaymentEvent::PaymentAuthorizedV1(_), Some(_)) => return Reaction::Known,
            (PaymentEvent::PaymentAuthorizedV1(payment), None) => payment.order_id,
            (PaymentEvent::PaymentFailedV1(_), _) => return Reaction::Ignore,
        };
        let shipment = Shipment::schedule(order_id, context.now(), self.transit);
        let events = context.follow(cause.envelope, [shipment.tells()]);
        Decision::new(SCHEDULED, &shipment).telling(events).into()
    }
}

ofs_runtime::subscribe!(Shipments: PaymentEvent);

impl Reacts<PaymentEvent> for Shipments {
    async fn react(
        &self,
        context: &Context,
        record: Option<&Record>,
        cause: Cause<'_, PaymentEvent>,
    ) -> Result<Reaction, Fault> {
        Ok(self.decide(context, record, cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ofs_events::{
        CorrelationId, FulfillmentEvent, PaymentAuthorizedV1, PaymentFailedV1, TopicEvents,
    };
    use ofs_runtime::log::Position;
    use uuid::Uuid;

    const CONTEXT: Context = Context::new(crate::NAME);
    const SHIPMENTS: Shipments = Shipments::new(crate::DEFAULT_TRANSIT);
    const ORDER: OrderId = OrderId(Uuid::from_u128(7));

    fn event(payload: impl Into<Payload>) -> Event {
        CONTEXT.first(CorrelationId(Uuid::from_u128(8)), payload.into())
    }

    fn paid() -> Event {
        event(PaymentAuthorizedV1 { order_id: ORDER })
    }

    fn decide(record: Option<&Record>, envelope: &Event) -> Reaction {
        let at = Position { topic: PaymentEvent::TOPIC, partition: 0, offset: 0 };
        let event = PaymentEvent::of(&envelope.payload).expect("a payment");
        SHIPMENTS.decide(&CONTEXT, record, Cause { at, envelope, event })
    }

    #[test]
    fn a_paid_order_is_scheduled_three_days_ahead() {
        let paid = paid();
        let Reaction::Decide(new) = decide(None, &paid) else { panic!("not scheduled") };
        let shipment: Shipment = serde_json::from_value(new.body).expect("a shipment");
        assert_eq!(new.status, "Scheduled");
        assert_eq!(shipment.eta_utc.seconds_since(shipment.scheduled_at), 259_200.0);
        assert!(shipment.scheduled_at >= paid.occurred_at);
        let [scheduled] = new.events.as_slice() else { panic!("one event") };
        assert_eq!(scheduled.causation_id, Some(paid.id));
        assert_eq!(scheduled.correlation_id, paid.correlation_id);
        let Some(FulfillmentEvent::FulfillmentScheduledV1(payload)) =
            FulfillmentEvent::of(&scheduled.payload)
        else {
            panic!("type")
        };
        assert_eq!((payload.order_id, payload.eta_utc), (ORDER, shipment.eta_utc));
    }

    #[test]
    fn a_payment_is_shipped_once_however_often_it_is_told() {
        let shipment = Shipment::schedule(ORDER, CONTEXT.now(), crate::DEFAULT_TRANSIT);
        let record = Record::next(None, ORDER, SCHEDULED, &shipment, CONTEXT.now());
        assert_eq!(decide(Some(&record), &paid()), Reaction::Known);
    }

    #[test]
    fn a_declined_payment_ships_nothing() {
        let reason = "Card declined (demo)".to_owned();
        let failed = event(PaymentFailedV1 { order_id: ORDER, reason });
        assert_eq!(decide(None, &failed), Reaction::Ignore);
    }
}
