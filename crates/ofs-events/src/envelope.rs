//! The envelope: what every event carries, and how it is written.

use crate::decode::reason;
use crate::{
    CorrelationId, EventId, FulfillmentScheduledV1, Key, OrderCreatedV1, PaymentAuthorizedV1,
    PaymentFailedV1, Timestamp, Topic,
};
use serde::Serialize;

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

macro_rules! payloads {
    ($($name:ident on $topic:ident version $version:literal),+ $(,)?) => {
        /// What happened. A new event, or a new version of one, is a new variant.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum Payload {
            $(#[doc = concat!("See [`", stringify!($name), "`].")] $name($name)),+
        }

        impl Payload {
            /// `(event type, version, topic)` of every event this build knows.
            pub const KNOWN: &'static [(&'static str, u32, Topic)] =
                &[$((stringify!($name), $version, Topic::$topic)),+];

            /// The type's name on the wire, version included.
            #[must_use]
            pub const fn event_type(&self) -> &'static str {
                match self { $(Payload::$name(_) => stringify!($name)),+ }
            }

            /// The version on the wire.
            #[must_use]
            pub const fn version(&self) -> u32 {
                match self { $(Payload::$name(_) => $version),+ }
            }

            /// Where events of this type are published.
            #[must_use]
            pub const fn topic(&self) -> Topic {
                match self { $(Payload::$name(_) => Topic::$topic),+ }
            }

            /// The thing it happened to.
            #[must_use]
            pub fn key(&self) -> Key {
                match self { $(Payload::$name(body) => body.order_id.into()),+ }
            }

            /// None for a type that is not known; an error says what is wrong with `json`.
            pub(crate) fn parse(event_type: &str, json: &str) -> Option<Result<Payload, String>> {
                match event_type {
                    $(stringify!($name) => Some(
                        serde_json::from_str(json)
                            .map(Payload::$name)
                            .map_err(|error| reason::<$name>(json.as_bytes(), &error)),
                    ),)+
                    _ => None,
                }
            }
        }
    };
}

payloads! {
    OrderCreatedV1 on Orders version 1,
    PaymentAuthorizedV1 on Payments version 1,
    PaymentFailedV1 on Payments version 1,
    FulfillmentScheduledV1 on Fulfillment version 1,
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
