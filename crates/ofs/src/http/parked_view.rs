//! Wire types of parked events, and the rules of their query parameters.

use super::raw::Raw;
use crate::services::ServiceName;
use ofs_events::{EventId, OrderId, Timestamp, Topic};
use ofs_runtime::log::Position;
use ofs_runtime::problem::{Invalid, Problem};
use ofs_runtime::store::{self, ParkedFilter};
use serde::{Deserialize, Serialize};

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

/// What became of a parked event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ParkedState {
    /// Still to be handled.
    Parked,
    /// Handled by a retry.
    Resolved,
    /// Discarded by an operator.
    Discarded,
}

impl From<store::ParkedState> for ParkedState {
    fn from(state: store::ParkedState) -> Self {
        match state {
            store::ParkedState::Parked => Self::Parked,
            store::ParkedState::Resolved => Self::Resolved,
            store::ParkedState::Discarded => Self::Discarded,
        }
    }
}

impl From<ParkedState> for store::ParkedState {
    fn from(state: ParkedState) -> Self {
        match state {
            ParkedState::Parked => Self::Parked,
            ParkedState::Resolved => Self::Resolved,
            ParkedState::Discarded => Self::Discarded,
        }
    }
}

/// An event that a service could not handle.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ParkedView {
    /// Its number.
    #[schema(example = 1)]
    id: u64,
    /// The service that could not handle it.
    #[schema(example = "payment-worker")]
    service: String,
    /// Whether it is still open.
    state: ParkedState,
    /// The topic it was read from.
    topic: Topic,
    /// Its position in the log.
    #[schema(value_type = String, example = "orders.events.v1/0@17")]
    position: Position,
    /// The order it belongs to; null if its key names none.
    #[schema(required)]
    order: Option<OrderId>,
    /// The event; null if it could not be read.
    #[schema(required)]
    event_id: Option<EventId>,
    /// Its type; null if it could not be read.
    #[schema(required, example = "OrderCreatedV1")]
    event_type: Option<String>,
    /// Why it could not be handled, the last time.
    #[schema(example = "the record is not an event envelope: it is not a JSON object")]
    reason: String,
    /// A newer build may know its type or version.
    unknown_type: bool,
    /// How often it was retried since it was parked.
    attempts: u32,
    /// When it was parked.
    parked_at: Timestamp,
    /// When it is retried automatically; null if it waits for an operator.
    #[schema(required)]
    next_at: Option<Timestamp>,
    /// The number of the event of the same order that has to go first; null if it is the first.
    #[schema(required)]
    behind: Option<u64>,
    /// When it was resolved or discarded; null while it is open.
    #[schema(required)]
    closed_at: Option<Timestamp>,
}

impl From<&store::Parked> for ParkedView {
    fn from(parked: &store::Parked) -> Self {
        ParkedView {
            id: parked.id,
            service: parked.owner.clone(),
            state: parked.state.into(),
            topic: parked.event.at.topic,
            position: parked.event.at,
            order: parked.event.key.map(Into::into),
            event_id: parked.event.event_id,
            event_type: parked.event.event_type.clone(),
            reason: parked.event.reason.clone(),
            unknown_type: parked.event.unknown_type,
            attempts: parked.attempts,
            parked_at: parked.parked_at,
            next_at: parked.next_at,
            behind: parked.behind,
            closed_at: parked.closed_at,
        }
    }
}

/// A parked event and its record, byte for byte.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail {
    #[serde(flatten)]
    parked: ParkedView,
    /// The record key; null if it has none.
    #[schema(required)]
    key: Option<Raw>,
    /// The record value.
    value: Raw,
}

impl From<&store::Parked> for Detail {
    fn from(parked: &store::Parked) -> Self {
        Detail {
            parked: parked.into(),
            key: parked.event.raw_key.as_ref().map(Raw::from),
            value: Raw::from(&parked.event.raw),
        }
    }
}

/// One page of parked events.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ParkedPage {
    /// The page, by ascending number.
    pub(super) parked: Vec<ParkedView>,
    /// Send it as `cursor` for the next page; null on the last.
    #[schema(required)]
    pub(super) next_cursor: Option<String>,
}

/// Which parked events to list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Listing {
    /// Only this service's.
    #[param(inline, example = "payment-worker")]
    service: Option<ServiceName>,
    /// Only this order's.
    order: Option<OrderId>,
    /// Only those in this state; all if absent.
    #[param(inline)]
    state: Option<ParkedState>,
    /// Only those whose reason holds this text, in any case.
    #[param(pattern = "^[^\\u0000\\uFFFD]*$")]
    reason: Option<String>,
    /// How many, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
    /// `nextCursor` of the page before.
    #[param(pattern = "^[0-9]{1,18}$")]
    cursor: Option<String>,
}

impl Listing {
    /// The filter and the page size it asks for.
    pub(super) fn check(self) -> Result<(ParkedFilter, usize), Problem> {
        let mut errors = Vec::new();
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            errors.push(Invalid::new("limit", format!("must be from 1 to {MAX_LIMIT}")));
        }
        // No store gives out larger numbers.
        let number = |cursor: String| {
            let digits = cursor.len() <= 18 && cursor.bytes().all(|byte| byte.is_ascii_digit());
            cursor.parse::<u64>().ok().filter(|_| digits)
        };
        let after = self.cursor.map(number);
        if after == Some(None) {
            errors.push(Invalid::new("cursor", "must be the nextCursor of an earlier page"));
        }
        if !errors.is_empty() {
            return Err(Problem::invalid_query(errors));
        }
        let state = self.state.map(Into::into);
        let filter = ParkedFilter {
            owner: self.service.map(owner),
            key: self.order.map(Into::into),
            reason: self.reason,
            state,
            after: after.flatten(),
        };
        Ok((filter, limit))
    }
}

/// Which parked events a job is for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chosen {
    /// Only this service's.
    pub(super) service: Option<ServiceName>,
    /// Only those whose reason holds this text, in any case.
    pub(super) reason: Option<String>,
}

impl Chosen {
    /// The open parked events it chooses.
    pub(super) fn filter(self) -> ParkedFilter {
        ParkedFilter {
            owner: self.service.map(owner),
            reason: self.reason,
            state: Some(store::ParkedState::Parked),
            ..ParkedFilter::default()
        }
    }
}

fn owner(service: ServiceName) -> String {
    service.name().to_owned()
}

/// How a retry ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Attempt {
    /// It was handled.
    Resolved,
    /// It failed again and stays parked.
    Failed,
}

/// The outcome of a retry.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Tried {
    /// The event's number.
    #[schema(example = 1)]
    id: u64,
    /// Resolved, or failed again.
    outcome: Attempt,
    /// Why it failed again; absent if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
}

impl Tried {
    pub(super) const fn resolved(id: u64) -> Self {
        Tried { id, outcome: Attempt::Resolved, reason: None }
    }

    /// Whether it was handled.
    pub(super) fn is_resolved(&self) -> bool {
        self.outcome == Attempt::Resolved
    }

    pub(super) const fn failed(id: u64, reason: String) -> Self {
        Tried { id, outcome: Attempt::Failed, reason: Some(reason) }
    }
}

/// Why a parked event is discarded.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Discard {
    /// An explanation for later readers; not blank, at most 1000 characters.
    #[schema(
        pattern = "^[\\t-\\r ]*[^\\s\\u0000]([^\\u0000]{0,998}[^\\s\\u0000])?[\\t-\\r ]*$",
        example = "test order, never to be shipped"
    )]
    pub(super) reason: String,
}

/// A parked event that was discarded.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Done {
    /// The event's number.
    #[schema(example = 1)]
    id: u64,
    /// `discarded`.
    state: ParkedState,
}

impl Done {
    pub(super) const fn discarded(id: u64) -> Self {
        Done { id, state: ParkedState::Discarded }
    }
}
