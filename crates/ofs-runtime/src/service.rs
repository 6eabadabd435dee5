//! What a service is: a name, a handler of events, routes. The list of services is the program.

use crate::context::Context;
use crate::desk::Desk;
use crate::log::Position;
use crate::store::Record;
use async_trait::async_trait;
use ofs_events::{Event, Topic};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

/// A readable event and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Its position in the log.
    pub at: Position,
    /// The event.
    pub event: &'a Event,
}

/// What a handler makes of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The event is none of this service's business.
    Ignore,
    /// The record already says so; nothing changes.
    Known,
    /// The key's record becomes this, and these events follow from it.
    Become(Become),
}

/// A new state and what follows from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Become {
    /// For people, filters and views.
    pub status: String,
    /// The new document.
    pub body: serde_json::Value,
    /// Events for the outbox, in order.
    pub events: Vec<Event>,
}

impl Decision {
    /// The key's record becomes `body`, and `events` follow from it.
    #[must_use]
    pub fn become_with<T: Serialize>(status: &str, body: &T, events: Vec<Event>) -> Self {
        let body = serde_json::to_value(body).unwrap_or_default();
        Decision::Become(Become { status: status.to_owned(), body, events })
    }
}

/// Why an event could not be handled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It can be handled later (a gateway is slow or down): parked, tried again by itself.
    #[error("{0}")]
    Later(String),
    /// It can never be handled as it is: parked until a person comes.
    #[error("{0}")]
    Event(String),
}

/// A pure decision over one key at a time; it may await nothing but the payment gateway.
///
/// It must be idempotent by the record alone: the inbox is only the fast path.
#[async_trait]
pub trait Handler: Send + Sync {
    /// The topics it reads.
    fn topics(&self) -> &'static [Topic];

    /// Whether its records are what the search index holds.
    fn indexed(&self) -> bool {
        false
    }

    /// Decides what `delivery` means for the key whose current record is `record`.
    ///
    /// # Errors
    /// [`Fault`] parks the event; unreachable stores are not the handler's business.
    async fn handle(
        &self,
        context: &Context,
        record: Option<&Record>,
        delivery: Delivery<'_>,
    ) -> Result<Decision, Fault>;
}

/// A service: what the program needs to run it.
#[derive(Clone)]
pub struct Service {
    /// Its one name: owner of its records, label of its metrics, stem of its consumer group.
    pub name: &'static str,
    /// What it makes of events.
    pub handler: Arc<dyn Handler>,
    /// Routes that are answered where it runs, with their documentation, over its own desk.
    pub routes: fn() -> OpenApiRouter<Desk>,
    /// Routes that only read, answered by every process, whatever it runs.
    pub reads: fn() -> OpenApiRouter<Desk>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}
