//! Context: the only source of time, of new ids and of secrets, and the maker of events.

mod clock;

pub use clock::Clock;

use ofs_events::{CorrelationId, Event, EventId, Key, Payload, Timestamp};
use std::collections::HashMap;
use uuid::Uuid;

/// What a decision may know of the world: who decides, and what time it is.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    service: &'static str,
    clock: Clock,
}

impl Context {
    /// The context of `service`.
    #[must_use]
    pub const fn new(service: &'static str) -> Self {
        Self::by(service, Clock::real())
    }

    /// The context of `service`, by another clock.
    #[must_use]
    pub const fn by(service: &'static str, clock: Clock) -> Self {
        Self { service, clock }
    }

    /// The service that decides.
    #[must_use]
    pub const fn service(&self) -> &'static str {
        self.service
    }

    /// Now, in whole microseconds.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A new UUIDv7; everything that needs a fresh id draws it here.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that draws ids")]
    pub fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }

    /// 256 bits that cannot be guessed.
    ///
    /// # Errors
    /// If the system has none to give.
    pub fn new_bits(&self) -> Result<[u8; 32], getrandom::Error> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits)?;
        Ok(bits)
    }

    /// The first event of a new chain.
    #[must_use]
    pub fn first(&self, correlation_id: CorrelationId, payload: Payload) -> Event {
        Event {
            id: EventId(self.new_id()),
            occurred_at: self.now(),
            correlation_id,
            causation_id: None,
            payload,
        }
    }

    /// All events that follow from `cause`: same chain, ids that depend on the cause and on what was
    /// given for it, so deciding again makes the same events. Those of one key and type are numbered
    /// in the given order; a cause is therefore followed once, with everything that comes of it.
    pub fn follow(&self, cause: &Event, payloads: impl IntoIterator<Item = Payload>) -> Vec<Event> {
        let occurred_at = self.now();
        let mut numbers: HashMap<(Key, &'static str), usize> = HashMap::new();
        let effect = |payload: Payload| {
            let (key, event_type) = (payload.key(), payload.event_type());
            let nth = numbers.entry((key, event_type)).or_default();
            let id = cause.id.caused(self.service, key, event_type, *nth);
            *nth += 1;
            Event {
                id,
                occurred_at,
                correlation_id: cause.correlation_id,
                causation_id: Some(cause.id),
                payload,
            }
        };
        payloads.into_iter().map(effect).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ofs_events::{PaymentAuthorizedV1, PaymentFailedV1};

    const ORDER: Key = Key(Uuid::from_u128(9));

    fn declined(reason: &str) -> Payload {
        PaymentFailedV1 { order_id: ORDER.into(), reason: reason.to_owned() }.into()
    }

    #[test]
    fn effects_of_one_type_have_ids_of_their_own_and_the_first_keeps_its_id() {
        let context = Context::new("payment-worker");
        let cause = context.first(CorrelationId(Uuid::from_u128(5)), declined("cause"));
        let authorized = PaymentAuthorizedV1 { order_id: ORDER.into() }.into();
        let payloads = [declined("one"), authorized, declined("two")];
        let ids = |events: Vec<Event>| events.iter().map(|event| event.id).collect::<Vec<_>>();
        let effects = ids(context.follow(&cause, payloads.clone()));
        let nth = |event_type, nth| cause.id.caused("payment-worker", ORDER, event_type, nth);
        assert_eq!(
            effects,
            [nth("PaymentFailedV1", 0), nth("PaymentAuthorizedV1", 0), nth("PaymentFailedV1", 1)]
        );
        assert_eq!(effects, ids(context.follow(&cause, payloads)), "decided again");
    }
}
