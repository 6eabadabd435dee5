//! The timeline: the events of one order, each once, causes before effects.
//!
//! A function of the set of events: neither arrival order nor skewed clocks change it.

use ofs_events::{CorrelationId, Event, EventId, Timestamp};
use ofs_runtime::log::Position;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::HashSet;
use utoipa::ToSchema;

/// One event in an order's timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The event.
    pub event_id: EventId,
    /// Its type, version included.
    #[schema(example = "OrderCreatedV1")]
    pub event_type: String,
    /// When it happened, at its source.
    pub occurred_at: Timestamp,
    /// The chain it belongs to.
    pub correlation_id: CorrelationId,
    /// The event that caused it; null for the first.
    pub causation_id: Option<EventId>,
    /// Where it was first read: `topic/partition@offset`; null while it was not, or if that was on a
    /// topic that this build does not know.
    #[serde(default, deserialize_with = "known")]
    #[schema(value_type = Option<String>, required, example = "orders.events.v1/0@17")]
    pub position: Option<Position>,
}

/// A newer build reads topics that this one does not know.
fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Position>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

impl Entry {
    /// The entry of `event`, which was read at `position` if it was.
    #[must_use]
    pub fn new(event: &Event, position: Option<Position>) -> Self {
        Self {
            event_id: event.id,
            event_type: event.payload.event_type().to_owned(),
            occurred_at: event.occurred_at,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            position,
        }
    }

    /// Orders what causes leave open: beginnings first, then by time, then by id.
    fn rank(&self) -> (bool, Timestamp, EventId) {
        (self.causation_id.is_some(), self.occurred_at, self.event_id)
    }
}

/// `entries` with every cause before its effects.
#[must_use]
pub fn in_causal_order(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by_key(Entry::rank);
    let mut waiting: HashSet<EventId> = entries.iter().map(|entry| entry.event_id).collect();
    let mut ordered = Vec::with_capacity(entries.len());
    while !entries.is_empty() {
        let is_next =
            |entry: &Entry| entry.causation_id.is_none_or(|cause| !waiting.contains(&cause));
        // Events that cause each other cannot be ordered; then the ranks have to do.
        let at = entries.iter().position(is_next).unwrap_or(0);
        let entry = entries.remove(at);
        waiting.remove(&entry.event_id);
        ordered.push(entry);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn entry(id: u128, cause: Option<u128>, second: i64) -> Entry {
        Entry {
            event_id: EventId(Uuid::from_u128(id)),
            event_type: "OrderCreatedV1".to_owned(),
            occurred_at: Timestamp::from_micros(second * 1_000_000),
            correlation_id: CorrelationId(Uuid::from_u128(9)),
            causation_id: cause.map(|cause| EventId(Uuid::from_u128(cause))),
            position: None,
        }
    }

    fn ordered(entries: &[Entry]) -> Vec<u128> {
        let ordered = in_causal_order(entries.to_vec());
        ordered.iter().map(|entry| entry.event_id.0.as_u128()).collect()
    }

    #[test]
    fn causes_stand_before_effects_whatever_the_clocks_say() {
        let chain = [entry(3, Some(2), 1), entry(1, None, 30), entry(2, Some(1), 20)];
        assert_eq!(ordered(&chain), [1, 2, 3]);
        let gap = [entry(3, Some(2), 1), entry(1, None, 30)];
        assert_eq!(ordered(&gap), [1, 3]);
        let siblings = [entry(5, Some(1), 8), entry(4, Some(1), 9), entry(1, None, 1)];
        assert_eq!(ordered(&siblings), [1, 5, 4]);
    }

    #[test]
    fn an_event_of_a_topic_that_only_a_newer_build_knows_is_still_an_entry() {
        let mut json = serde_json::to_value(entry(1, None, 1)).expect("JSON");
        json["position"] = "returns.events.v1/0@7".into();
        let read: Entry = serde_json::from_value(json).expect("an entry");
        assert_eq!(read, entry(1, None, 1));
    }

    #[test]
    fn events_that_cause_each_other_still_stand_in_one_order() {
        let circle = [entry(1, Some(2), 5), entry(2, Some(1), 4), entry(3, Some(3), 6)];
        assert_eq!(ordered(&circle), [2, 1, 3]);
    }
}
