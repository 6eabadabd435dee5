//! Decoding a record: bytes and key to an [`Event`], or a reason that an operator understands.
//!
//! Reasons are logged, so they never repeat the content of a string: it may be personal data.

use crate::{CorrelationId, Event, EventId, Key, Payload, Timestamp, Topic};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The largest record value that is read as an event. Ours are under a kilobyte.
pub const MAX_RECORD_BYTES: usize = 256 * 1024;

/// Why a record is not an event that this build can handle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No value at all.
    #[error("the record has no value")]
    Empty,
    /// More bytes than any event has.
    #[error("the record is {0} bytes long; an event has at most {MAX_RECORD_BYTES}")]
    TooLarge(usize),
    /// Not JSON, or JSON of another shape than the envelope's.
    #[error("the record is not an event envelope: {0}")]
    Envelope(String),
    /// The payload lacks a member, or one has the wrong type.
    #[error("the payload is not a {event_type}: {reason}")]
    Payload {
        /// The type the envelope names.
        event_type: String,
        /// What the parser says, with line and column inside the payload.
        reason: String,
    },
    /// A type or version that this build does not know; a newer one may.
    #[error("event type {event_type} version {version} is unknown to this build")]
    Unknown {
        /// The type the envelope names.
        event_type: String,
        /// The version the envelope names.
        version: u32,
    },
    /// A known type on a topic that is not its own.
    #[error("{event_type} does not belong on {topic}")]
    WrongTopic {
        /// The type the envelope names.
        event_type: &'static str,
        /// Where the record was found.
        topic: Topic,
    },
    /// The record has no key.
    #[error("the record has no key; it must be the order id")]
    NoKey,
    /// The record's key is not a UUID.
    #[error("the record key is not an order id, which is a UUID")]
    Key,
    /// Key and payload name different things.
    #[error("the record key is {key}, but the payload is about {about}")]
    OtherKey {
        /// What the key names.
        key: Key,
        /// What the payload names.
        about: Key,
    },
    /// A string holds the character U+0000, which no store can keep.
    #[error("a string in the event holds the character U+0000")]
    Nul,
}

impl DecodeError {
    /// Whether a newer build may be able to read the record.
    #[must_use]
    pub const fn is_unknown_type(&self) -> bool {
        matches!(self, DecodeError::Unknown { .. })
    }

    /// The member that is wrong, such as `occurredAt` or `payload.country`; none where it is not one.
    #[must_use]
    pub fn member(&self) -> Option<String> {
        match self {
            DecodeError::Envelope(reason) => named(reason),
            DecodeError::Payload { reason, .. } => {
                Some(named(reason).map_or("payload".to_owned(), |name| format!("payload.{name}")))
            }
            DecodeError::Unknown { .. } | DecodeError::WrongTopic { .. } => {
                Some("eventType".to_owned())
            }
            DecodeError::Empty
            | DecodeError::TooLarge(_)
            | DecodeError::NoKey
            | DecodeError::Key
            | DecodeError::OtherKey { .. }
            | DecodeError::Nul => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    event_id: EventId,
    #[serde(borrow)]
    event_type: std::borrow::Cow<'a, str>,
    event_version: u32,
    occurred_at: Timestamp,
    correlation_id: CorrelationId,
    causation_id: Option<EventId>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// What a record's key names, if it is a UUID.
fn key_of(key: Option<&[u8]>) -> Result<Key, DecodeError> {
    let text = std::str::from_utf8(key.ok_or(DecodeError::NoKey)?);
    text.ok().and_then(|text| text.parse().ok()).ok_or(DecodeError::Key)
}

/// Why `json`, which failed with `error`, is not a `T`: the member, and what is wrong with it.
pub(crate) fn reason<'a, T: Deserialize<'a>>(json: &'a [u8], error: &serde_json::Error) -> String {
    let words = without_texts(&error.to_string());
    if !error.is_data() {
        return words;
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    let located = serde_path_to_error::deserialize::<_, T>(&mut reader).err();
    match located.map(|error| error.path().to_string()) {
        Some(member) if member != "." => format!("{member}: {words}"),
        _ => words,
    }
}

/// The member that a [`reason`] is about, if it is about one.
fn named(reason: &str) -> Option<String> {
    if let Some((_, rest)) = reason.split_once("missing field `") {
        return rest.split_once('`').map(|(name, _)| name.to_owned());
    }
    let (name, _) = reason.split_once(": ")?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._[]-".contains(&byte));
    (is_name && !name.is_empty()).then(|| name.to_owned())
}

/// Serde quotes a string where another type was expected; that type is enough.
fn without_texts(words: &str) -> String {
    let quoted = words.split_once("string \"").and_then(|(before, rest)| {
        let (_, after) = rest.rsplit_once("\", expected")?;
        Some(format!("{before}a string, expected{after}"))
    });
    quoted.unwrap_or_else(|| words.to_owned())
}

/// A type's name as the envelope gives it, if it can be one; it may be any text.
fn type_name(text: &str) -> String {
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits { text.to_owned() } else { "(not a name)".to_owned() }
}

impl Key {
    /// What a record is about even when its value cannot be read: the thing its key names.
    #[must_use]
    pub fn from_record_key(key: Option<&[u8]>) -> Option<Key> {
        key_of(key).ok()
    }
}

impl Event {
    /// Reads the record `value` with `key`, found on `topic`.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong, in words for people; such a record is parked, never skipped.
    pub fn decode(topic: Topic, key: Option<&[u8]>, value: &[u8]) -> Result<Event, DecodeError> {
        if value.is_empty() {
            return Err(DecodeError::Empty);
        }
        if value.len() > MAX_RECORD_BYTES {
            return Err(DecodeError::TooLarge(value.len()));
        }
        if !is_object(value) {
            return Err(DecodeError::Envelope("it is not a JSON object".to_owned()));
        }
        let wire: Wire<'_> = serde_json::from_slice(value)
            .map_err(|error| DecodeError::Envelope(reason::<Wire<'_>>(value, &error)))?;
        let payload = payload_of(topic, &wire)?;
        let (key, about) = (key_of(key)?, payload.key());
        if key != about {
            return Err(DecodeError::OtherKey { key, about });
        }
        Ok(Event {
            id: wire.event_id,
            occurred_at: wire.occurred_at,
            correlation_id: wire.correlation_id,
            causation_id: wire.causation_id,
            payload,
        })
    }
}

/// Serde reads a struct from an array, too; the contract does not.
fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{')
}

fn payload_of(topic: Topic, wire: &Wire<'_>) -> Result<Payload, DecodeError> {
    let unknown = || DecodeError::Unknown {
        event_type: type_name(&wire.event_type),
        version: wire.event_version,
    };
    let payload = match Payload::parse(&wire.event_type, wire.payload.get()) {
        None => return Err(unknown()),
        Some(_) if !is_object(wire.payload.get().as_bytes()) => {
            let reason = "it is not a JSON object".to_owned();
            return Err(DecodeError::Payload { event_type: wire.event_type.to_string(), reason });
        }
        Some(Ok(payload)) => payload,
        Some(Err(reason)) if wire.event_version == 1 => {
            let event_type = wire.event_type.to_string();
            return Err(DecodeError::Payload { event_type, reason });
        }
        Some(Err(_)) => return Err(unknown()),
    };
    if payload.version() != wire.event_version {
        return Err(unknown());
    }
    if payload.topic() != topic {
        return Err(DecodeError::WrongTopic { event_type: payload.event_type(), topic });
    }
    if holds_nul(&payload, wire.payload.get()) {
        return Err(DecodeError::Nul);
    }
    Ok(payload)
}

/// Whether a string in `payload`, which was read from `json`, holds U+0000. In JSON it is always written
/// as an escape.
fn holds_nul(payload: &Payload, json: &str) -> bool {
    fn in_value(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(items) => items.iter().any(in_value),
            Value::Object(members) => members.values().any(in_value),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
    json.contains(r"\u0000") && serde_json::to_value(payload).is_ok_and(|value| in_value(&value))
}
