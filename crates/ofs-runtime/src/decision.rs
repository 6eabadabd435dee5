//! Decision: the new state of one key, wherever it was decided. The one place that turns it into rows.

use crate::log::Message;
use crate::store::{Commit, Deadline, Record};
use ofs_events::{Event, Key, Timestamp};
use serde::Serialize;
use std::time::Duration;

/// A new state of one key, and what follows from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// For people, filters and views.
    pub status: String,
    /// The new document.
    pub body: serde_json::Value,
    /// Events for the outbox, in order.
    pub events: Vec<Event>,
    /// Deadlines set, and those that are pointless now.
    pub deadlines: Vec<(&'static str, Option<Duration>)>,
}

impl Decision {
    /// The key's state becomes `body`, and nothing follows from it yet.
    #[must_use]
    pub fn new<T: Serialize>(status: &str, body: &T) -> Self {
        let body = serde_json::to_value(body).unwrap_or_default();
        Self { status: status.to_owned(), body, events: Vec::new(), deadlines: Vec::new() }
    }

    /// And these events are published.
    #[must_use]
    pub fn telling(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        self.events.extend(events);
        self
    }

    /// And the handler is asked again after `wait`, unless a later decision says that `deadline` is met.
    #[must_use]
    pub fn within(mut self, deadline: &'static str, wait: Duration) -> Self {
        self.deadlines.push((deadline, Some(wait)));
        self
    }

    /// And what `deadline` waits for has happened, or never will.
    #[must_use]
    pub fn met(mut self, deadline: &'static str) -> Self {
        self.deadlines.push((deadline, None));
        self
    }

    /// Adds what was decided about `key` to `commit`, over the record that was `loaded`, and answers
    /// with the new record. Several decisions about one key make one new version of its record. It is
    /// dated as the first event it tells, or `now`.
    pub(crate) fn write(
        self,
        commit: &mut Commit,
        (key, loaded): (Key, Option<&Record>),
        indexed: bool,
        now: Timestamp,
    ) -> Record {
        let at = self.events.first().map_or(now, |event| event.occurred_at);
        let record = Record::over(loaded, key, &self.status, self.body, at);
        commit.records.retain(|record| record.key != key);
        commit.records.push(record.clone());
        if indexed && !commit.index.contains(&(key, record.version)) {
            commit.index.push((key, record.version));
        }
        commit.outgoing.extend(self.events.iter().map(Message::from));
        for (name, due_in) in self.deadlines {
            commit.deadlines.retain(|set| (set.key, set.name) != (key, name));
            commit.deadlines.push(Deadline { key, name, due_in });
        }
        record
    }
}

impl From<&Event> for Message {
    fn from(event: &Event) -> Self {
        Message {
            topic: event.payload.topic(),
            key: Some(event.key().to_string().into()),
            event_id: Some(event.id),
            headers: event.headers(),
            value: event.encode().into(),
        }
    }
}
