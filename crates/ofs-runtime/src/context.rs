//! Context: the only source of time and of new ids, and the maker of events.

use ofs_events::{CorrelationId, Event, EventId, OrderId, Payload, Timestamp};
use uuid::Uuid;

/// What a decision may know of the world: who decides, and what time it is.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    service: &'static str,
}

impl Context {
    /// The context of `service`.
    #[must_use]
    pub const fn new(service: &'static str) -> Self {
        Self { service }
    }

    /// The service that decides.
    #[must_use]
    pub const fn service(&self) -> &'static str {
        self.service
    }

    /// Now, in whole microseconds.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_jiff(jiff::Timestamp::now())
    }

    /// A new UUIDv7; everything that needs a fresh id draws it here.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that draws ids")]
    pub fn new_id(&self) -> Uuid {
        Uuid::now_v7()
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

    /// The event that follows from `cause`: same chain, an id that depends on the cause alone.
    #[must_use]
    pub fn follow(&self, cause: &Event, payload: Payload) -> Event {
        let order: OrderId = payload.order_id();
        Event {
            id: cause.id.caused(self.service, order, payload.event_type(), 0),
            occurred_at: self.now(),
            correlation_id: cause.correlation_id,
            causation_id: Some(cause.id),
            payload,
        }
    }
}
