//! Events on their way to the log.

use crate::log::Message;
use bytes::Bytes;
use ofs_events::{EventId, Key};

/// An outbox row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number; within a key, number order is version order.
    pub id: u64,
    /// The key.
    pub key: Key,
    /// What to append, or why this build cannot read it: a newer one has written it.
    pub message: Result<Message, String>,
}

impl Outgoing {
    /// The message of an event as an engine keeps it: `headers` are JSON, pairs of name and value.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn message(
        key: Key,
        topic: &str,
        event_id: Option<EventId>,
        headers: &str,
        value: Bytes,
    ) -> Result<Message, String> {
        let topic = topic.parse().map_err(|error| format!("this build cannot send it: {error}"))?;
        let headers = serde_json::from_str(headers).map_err(|error| format!("headers: {error}"))?;
        Ok(Message { topic, key: Some(Bytes::from(key.to_string())), event_id, headers, value })
    }
}
