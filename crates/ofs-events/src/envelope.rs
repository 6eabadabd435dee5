//! The envelope: what every event carries, and how it is written.

use crate::{CorrelationId, EventId, Key, Payload, Timestamp};
use serde::{Deserialize, Serialize};

/// Record header that repeats the event type, UTF-8.
pub const HEADER_EVENT_TYPE: &str = "eventType";
/// Record header that repeats the correlation id, UTF-8.
pub const HEADER_CORRELATION_ID: &str = "correlationId";

/// One event: something that happened to one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// This event, however often it is delivered.
    pub id: EventId,
    /// When it happened, at its source.
    pub occurred_at: Timestamp,
    /// The chain it belongs to.
    pub correlation_id: CorrelationId,
    /// The event that caused it; none for the first of a chain.
    pub causation_id: Option<EventId>,
    /// What happened.
    pub payload: Payload,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    event_id: EventId,
    event_type: &'static str,
    event_version: u32,
    occurred_at: Timestamp,
    correlation_id: CorrelationId,
    causation_id: Option<EventId>,
    payload: &'a Payload,
}

/// When the event in a record's value happened, as the event says; none if it does not.
#[must_use]
pub fn occurred_at(value: &[u8]) -> Option<Timestamp> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct When {
        occurred_at: Timestamp,
    }
    serde_json::from_slice(value).ok().map(|When { occurred_at }| occurred_at)
}

impl Event {
    /// The thing it happened to; as text, the key of its record.
    #[must_use]
    pub fn key(&self) -> Key {
        self.payload.key()
    }

    /// The record's value: UTF-8 JSON with exactly the members of the wire contract.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire {
            event_id: self.id,
            event_type: self.payload.event_type(),
            event_version: self.payload.version(),
            occurred_at: self.occurred_at,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            payload: &self.payload,
        };
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// The headers that every record carries, as `(name, value)`.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, String)> {
        vec![
            (HEADER_EVENT_TYPE.to_owned(), self.payload.event_type().to_owned()),
            (HEADER_CORRELATION_ID.to_owned(), self.correlation_id.to_string()),
        ]
    }
}
