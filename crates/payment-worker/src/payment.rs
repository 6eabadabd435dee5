//! The payment: one per order, decided once by the gateway.
//!
//! The one decision that awaits something; the gateway's key comes from the order alone.

use crate::gateway::{Charge, Gateway, IdempotencyKey, Verdict};
use ofs_events::{
    Event, OrderCreatedV1, OrderEvent, OrderId, PaymentAuthorizedV1, PaymentFailedV1, Timestamp,
};
use ofs_runtime::context::Context;
use ofs_runtime::decision::Decision;
use ofs_runtime::service::{Cause, Fault, Reaction, Reacts};
use ofs_runtime::store::Record;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Where a payment stands; also the status of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaymentStatus {
    /// The gateway authorized it.
    Authorized,
    /// The gateway declined it.
    Failed,
}

impl PaymentStatus {
    /// The name in the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            PaymentStatus::Authorized => "Authorized",
            PaymentStatus::Failed => "Failed",
        }
    }
}

/// A decided payment; the body of this service's records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// The order that is paid for.
    pub order_id: OrderId,
    /// What the gateway said.
    pub status: PaymentStatus,
    /// Why it declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Under which key the gateway knows the charge.
    pub gateway_key: IdempotencyKey,
    /// When its answer came.
    pub decided_at: Timestamp,
}

/// By how many seconds the clocks of two machines may differ when all is well.
const SKEW: f64 = 60.0;

/// Asks the gateway about new orders.
pub struct Payments {
    gateway: Arc<dyn Gateway>,
    timeout: Duration,
}

impl Payments {
    /// Payments by `gateway`; an order waits if an answer takes longer than `timeout`.
    #[must_use]
    pub fn new(gateway: Arc<dyn Gateway>, timeout: Duration) -> Self {
        Self { gateway, timeout }
    }

    async fn ask(
        &self,
        context: &Context,
        event: &Event,
        order: &OrderCreatedV1,
    ) -> Result<Verdict, Fault> {
        let key = IdempotencyKey::authorize(order.order_id);
        let charge = Charge { order: order.order_id, scenario: order.payment_scenario.clone() };
        let now = context.now();
        let (age, ahead) =
            (now.seconds_since(event.occurred_at), event.occurred_at.seconds_since(now));
        let answer = tokio::time::timeout(self.timeout, async {
            // A gateway that is about to forget the key would charge again instead of answering.
            let forgetting = age > self.gateway.key_retention().as_secs_f64() / 2.0;
            // Nor is the age of an event from the future known: a clock was set back.
            if (forgetting || ahead > SKEW)
                && let Some(verdict) = self.gateway.find(&key).await?
            {
                return Ok(verdict);
            }
            self.gateway.authorize(&key, &charge).await
        });
        match answer.await {
            Ok(Ok(verdict)) => Ok(verdict),
            Ok(Err(error)) => Err(Fault::Later(error.to_string())),
            Err(_) => {
                let timeout = self.timeout;
                Err(Fault::Later(format!("the payment gateway did not answer in {timeout:?}")))
            }
        }
    }
}

/// What follows from the gateway's `verdict` on the order that `event` is about.
#[must_use]
pub fn decide(context: &Context, event: &Event, verdict: Verdict) -> Decision {
    let order_id = event.key().into();
    let (status, reason, payload) = match verdict {
        Verdict::Authorized => {
            (PaymentStatus::Authorized, None, PaymentAuthorizedV1 { order_id }.into())
        }
        Verdict::Declined { reason } => {
            let failed = PaymentFailedV1 { order_id, reason: reason.clone() };
            (PaymentStatus::Failed, Some(reason), failed.into())
        }
    };
    let events = context.follow(event, [payload]);
    let gateway_key = IdempotencyKey::authorize(order_id);
    let decided_at = events.first().map_or_else(|| context.now(), |event| event.occurred_at);
    let payment = Payment { order_id, status, reason, gateway_key, decided_at };
    Decision::new(status.name(), &payment).telling(events)
}

/// The event that announced the payment on `record`, which followed from `created`; none if the record
/// cannot be read.
#[must_use]
pub fn published(context: &Context, record: &Record, created: &Event) -> Option<Event> {
    let payment: Payment = record.read().ok()?;
    let verdict = match payment.status {
        PaymentStatus::Authorized => Verdict::Authorized,
        PaymentStatus::Failed => Verdict::Declined { reason: payment.reason.unwrap_or_default() },
    };
    let event = decide(context, created, verdict).events.into_iter().next()?;
    Some(Event { occurred_at: payment.decided_at, ..event })
}

ofs_runtime::subscribe!(Payments: OrderEvent);

impl Reacts<OrderEvent> for Payments {
    async fn react(
        &self,
        context: &Context,
        record: Option<&Record>,
        cause: Cause<'_, OrderEvent>,
    ) -> Result<Reaction, Fault> {
        let OrderEvent::OrderCreatedV1(order) = cause.event;
        if record.is_some() {
            return Ok(Reaction::Known);
        }
        let verdict = self.ask(context, cause.envelope, order).await?;
        Ok(decide(context, cause.envelope, verdict).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::Simulated;
    use async_trait::async_trait;
    use ofs_events::CorrelationId;
    use ofs_runtime::log::Position;
    use ofs_runtime::service::{Delivery, Handler};
    use std::sync::atomic::{AtomicU32, Ordering};
    use uuid::Uuid;

    const CONTEXT: Context = Context::new(crate::NAME);

    fn created(digit: u128, scenario: Option<&str>) -> Event {
        let order = OrderCreatedV1 {
            order_id: OrderId(Uuid::from_u128(0x0100 + digit)),
            customer_email: "user@example.com".to_owned(),
            product_type: "Phone".to_owned(),
            country: "US".to_owned(),
            payment_scenario: scenario.map(str::to_owned),
        };
        CONTEXT.first(CorrelationId(Uuid::from_u128(2)), order.into())
    }

    fn payments() -> Payments {
        Payments::new(Arc::new(Simulated::default()), Duration::from_secs(1))
    }

    async fn handle(
        payments: &Payments,
        record: Option<&Record>,
        event: &Event,
    ) -> Result<Reaction, Fault> {
        let at = Position { topic: event.payload.topic(), partition: 0, offset: 0 };
        payments.handle(&CONTEXT, record, Delivery { at, event }).await
    }

    #[tokio::test]
    async fn the_gateways_verdict_becomes_one_event() {
        for (event, status, event_type, reason) in [
            (created(0, Some("success")), "Authorized", "PaymentAuthorizedV1", None),
            (created(8, None), "Authorized", "PaymentAuthorizedV1", None),
            (created(9, None), "Failed", "PaymentFailedV1", Some("Card declined (demo)")),
            (created(0, Some("no")), "Failed", "PaymentFailedV1", Some("Card declined (demo)")),
        ] {
            let decision = handle(&payments(), None, &event).await.expect("handled");
            let Reaction::Decide(new) = decision else { panic!("undecided") };
            assert_eq!(new.status, status);
            let payment: Payment = serde_json::from_value(new.body).expect("a payment");
            assert_eq!((payment.order_id, payment.reason.as_deref()), (event.key().into(), reason));
            let [effect] = new.events.as_slice() else { panic!("one event") };
            assert_eq!(effect.payload.event_type(), event_type);
            assert_eq!(effect.causation_id, Some(event.id));
            assert_eq!(effect.correlation_id, event.correlation_id);
        }
    }

    #[tokio::test]
    async fn a_decided_payment_never_reaches_the_gateway_again() {
        let payments = payments();
        let event = created(0, Some("sim:down:1"));
        let new = decide(&CONTEXT, &event, Verdict::Authorized);
        let record = Record::next(None, event.key(), &new.status, &new.body, CONTEXT.now());
        assert_eq!(handle(&payments, Some(&record), &event).await, Ok(Reaction::Known));
        // The first attempt at `sim:down:1` fails, so none was made before this one.
        assert!(matches!(handle(&payments, None, &event).await, Err(Fault::Later(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_waits_for_a_gateway_that_is_slow_or_down() {
        for scenario in ["sim:timeout:2", "sim:down:2", "sim:lost-answer", "sim:slow:2s"] {
            let payments = payments();
            let event = created(0, Some(scenario));
            let mut waits = 0;
            let decision = loop {
                match handle(&payments, None, &event).await {
                    Err(Fault::Later(_)) => waits += 1,
                    done => break done.expect("handled"),
                }
            };
            assert!((1..=2).contains(&waits), "{scenario} waited {waits} times");
            assert!(matches!(decision, Reaction::Decide(_)));
        }
    }

    #[tokio::test]
    async fn deciding_again_makes_the_same_event() {
        let event = created(0, None);
        let ids = || {
            let decided = decide(&CONTEXT, &event, Verdict::Authorized);
            decided.events.iter().map(|event| event.id).collect::<Vec<_>>()
        };
        assert_eq!(ids().len(), 1);
        assert_eq!(ids(), ids());
    }

    /// Loses its first answer, and charges again whenever it is asked to.
    #[derive(Default)]
    struct Forgetful {
        charges: AtomicU32,
    }

    #[async_trait]
    impl Gateway for Forgetful {
        fn key_retention(&self) -> Duration {
            Duration::from_hours(24)
        }

        async fn authorize(
            &self,
            _: &IdempotencyKey,
            _: &Charge,
        ) -> Result<Verdict, crate::gateway::Error> {
            match self.charges.fetch_add(1, Ordering::Relaxed) {
                0 => Err(crate::gateway::Error::Unavailable("no answer".to_owned())),
                _ => Ok(Verdict::Authorized),
            }
        }

        async fn find(&self, _: &IdempotencyKey) -> Result<Option<Verdict>, crate::gateway::Error> {
            let charged = self.charges.load(Ordering::Relaxed) > 0;
            Ok(charged.then_some(Verdict::Authorized))
        }
    }

    #[tokio::test]
    async fn an_old_charge_is_looked_up_before_it_is_asked_for_again() {
        const HOUR: i64 = 60 * 60;
        // From the future: a clock was set back, and the age of the event is unknown.
        for age in [13 * HOUR, -HOUR, -24 * HOUR] {
            let gateway = Arc::new(Forgetful::default());
            let payments = Payments::new(gateway.clone(), Duration::from_secs(1));
            let mut event = created(0, None);
            event.occurred_at = CONTEXT.now().plus_seconds(-age);
            assert!(matches!(handle(&payments, None, &event).await, Err(Fault::Later(_))));
            assert!(matches!(handle(&payments, None, &event).await, Ok(Reaction::Decide(_))));
            assert_eq!(gateway.charges.load(Ordering::Relaxed), 1, "{age} s old");
        }
    }
}
