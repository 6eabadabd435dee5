//! What a service is: a name, a handler of events, routes. The list of services is the program.

#[doc(hidden)]
pub use async_trait::async_trait;

use crate::context::Context;
use crate::decision::Decision;
use crate::desk::Desk;
use crate::log::Position;
use crate::problem::Kind;
use crate::store::Record;
use ofs_events::{Event, Topic, TopicEvents};
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

/// An event of one topic, as its handler gets it.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a, E> {
    /// Its position in the log.
    pub at: Position,
    /// The whole event.
    pub envelope: &'a Event,
    /// What happened.
    pub event: &'a E,
}

/// What a handler makes of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Reaction {
    /// The event is none of this service's business.
    Ignore,
    /// The record already says so; nothing changes.
    Known,
    /// The record of the event's key becomes this.
    Decide(Decision),
}

impl From<Decision> for Reaction {
    fn from(decision: Decision) -> Self {
        Self::Decide(decision)
    }
}

/// Why an event could not be handled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It can be handled later (a gateway is slow or down): parked, and retried automatically.
    #[error("{0}")]
    Later(String),
    /// It can never be handled as it is: parked until an operator acts.
    #[error("{0}")]
    Event(String),
}

/// What a service makes of the events of one topic; [`subscribe!`](crate::subscribe) makes it a
/// [`Handler`]. A pure decision over one key at a time; it may await nothing but the payment gateway.
///
/// It must be idempotent by the record alone: the inbox is only the fast path.
pub trait Reacts<E: TopicEvents>: Send + Sync {
    /// Decides what `cause` means for the key whose current record is `record`.
    ///
    /// # Errors
    /// [`Fault`] parks the event; unreachable stores are not the handler's business.
    fn react(
        &self,
        context: &Context,
        record: Option<&Record>,
        cause: Cause<'_, E>,
    ) -> impl Future<Output = Result<Reaction, Fault>> + Send;
}

/// What a service makes of its own deadlines.
pub trait Watches: Send + Sync {
    /// Decides what follows from `deadline` having passed for the key whose current record is `record`.
    /// [`Reaction::Ignore`] drops it. [`Reaction::Known`] says that what it waits for is still missing:
    /// it stays, as overdue, until a decision says that it is met. A decision drops it, or sets it again.
    ///
    /// # Errors
    /// [`Fault`] leaves it for later.
    fn passed(
        &self,
        context: &Context,
        record: Option<&Record>,
        deadline: &str,
    ) -> impl Future<Output = Result<Reaction, Fault>> + Send;
}

/// Everything that a service reads, as the machine calls it.
#[async_trait]
pub trait Handler: Send + Sync {
    /// The topics it reads.
    fn topics(&self) -> &'static [Topic];

    /// Whether its records are what the search index holds.
    fn indexed(&self) -> bool {
        false
    }

    /// As [`Reacts::react`], for an event of any of its topics.
    ///
    /// # Errors
    /// As [`Reacts::react`].
    async fn handle(
        &self,
        context: &Context,
        record: Option<&Record>,
        delivery: Delivery<'_>,
    ) -> Result<Reaction, Fault>;

    /// As [`Watches::passed`].
    ///
    /// # Errors
    /// As [`Watches::passed`].
    async fn passed(&self, _: &Context, _: Option<&Record>, _: &str) -> Result<Reaction, Fault> {
        Ok(Reaction::Ignore)
    }
}

/// Makes a type a [`Handler`] of these topics' events, to each of which it [`Reacts`], and of its own
/// deadlines if it [`Watches`] them.
#[macro_export]
macro_rules! subscribe {
    ($handler:ty: $($events:ty),+ $(; $watches:ident)?) => {
        #[$crate::service::async_trait]
        impl $crate::service::Handler for $handler {
            fn topics(&self) -> &'static [::ofs_events::Topic] {
                &[$(<$events as ::ofs_events::TopicEvents>::TOPIC),+]
            }

            async fn handle(
                &self,
                context: &$crate::context::Context,
                record: Option<&$crate::store::Record>,
                delivery: $crate::service::Delivery<'_>,
            ) -> Result<$crate::service::Reaction, $crate::service::Fault> {
                let $crate::service::Delivery { at, event: envelope } = delivery;
                $(if let Some(event) = <$events as ::ofs_events::TopicEvents>::of(&envelope.payload) {
                    let cause = $crate::service::Cause { at, envelope, event };
                    return $crate::service::Reacts::react(self, context, record, cause).await;
                })+
                Ok($crate::service::Reaction::Ignore)
            }

            $(async fn passed(
                &self,
                context: &$crate::context::Context,
                record: Option<&$crate::store::Record>,
                deadline: &str,
            ) -> Result<$crate::service::Reaction, $crate::service::Fault> {
                $crate::service::$watches::passed(self, context, record, deadline).await
            })?
        }
    };
}

/// What is known of a service before it runs. Each service's crate declares its own.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    /// Its one name: owner of its records, label of its metrics, stem of its consumer group.
    pub name: &'static str,
    /// The port of a process that runs this service alone and is told none.
    pub port: u16,
    /// The kinds of problem that only its routes answer with.
    pub problems: &'static [Kind],
}

/// A service that can run.
#[derive(Clone)]
pub struct Service {
    /// What is known of it before.
    pub descriptor: &'static Descriptor,
    /// What it makes of events.
    pub handler: Arc<dyn Handler>,
    /// The same for a dry run: changes nothing in the world outside.
    pub rehearsal: Arc<dyn Handler>,
    /// Routes that are answered where it runs, with their documentation, over its own desk.
    pub routes: OpenApiRouter<Desk>,
    /// Routes that only read, answered by every process, whatever it runs.
    pub reads: OpenApiRouter<Desk>,
}

impl Service {
    /// A service without routes.
    #[must_use]
    pub fn new(descriptor: &'static Descriptor, handler: impl Handler + 'static) -> Self {
        let (routes, reads) = (OpenApiRouter::new(), OpenApiRouter::new());
        let handler: Arc<dyn Handler> = Arc::new(handler);
        Self { descriptor, rehearsal: Arc::clone(&handler), handler, routes, reads }
    }

    /// Its one name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.descriptor.name
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name()).finish_non_exhaustive()
    }
}
