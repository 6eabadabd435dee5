//! One key's turn: its records in the window, decided into a part of a commit. Writes nothing.

use crate::backoff;
use crate::context::Context;
use crate::decision::Decision;
use crate::metrics::Outcome;
use crate::service::{Delivery, Fault, Handler, Reaction};
use crate::store::{Commit, Loaded, Parking, Record, Seen, Wanted};
use crate::window::Item;
use futures::FutureExt;
use ofs_events::{Event, Key, Topic};
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// What one group adds to a commit, and what it counts as.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub commit: Commit,
    pub outcomes: Vec<(Topic, Outcome)>,
}

/// The inbox entry of `event`.
pub(crate) fn seen(event: &Event) -> Seen {
    Seen { day: event.occurred_at.day(), key: event.key(), event_id: event.id }
}

/// What has to be loaded to decide `groups`.
pub(crate) fn wanted<'a>(turns: impl IntoIterator<Item = (Option<Key>, &'a [Item])>) -> Wanted {
    let mut wanted = Wanted::default();
    for (key, items) in turns {
        wanted.keys.extend(key);
        for item in items {
            wanted.positions.push(item.received.at);
            wanted.events.extend(item.event.as_ref().ok().map(seen));
        }
    }
    wanted
}

/// Decides `items` of `key` one after the other on what was `loaded`. With `refused`, the store has
/// refused what the handler made of them, for this reason: they are parked instead of handled.
pub(crate) async fn decide(
    context: &Context,
    handler: &dyn Handler,
    (key, items): (Option<Key>, &[Item]),
    loaded: &Loaded,
    refused: Option<&str>,
) -> Part {
    let mut turn = Turn {
        context,
        handler,
        loaded,
        refused,
        queues: HashSet::new(),
        current: key.and_then(|key| loaded.records.get(&key)).cloned(),
        part: Part::default(),
    };
    for item in items {
        let outcome = turn.take(item, key).await;
        turn.part.outcomes.push((item.received.at.topic, outcome));
    }
    turn.part
}

struct Turn<'a> {
    context: &'a Context,
    handler: &'a dyn Handler,
    loaded: &'a Loaded,
    refused: Option<&'a str>,
    queues: HashSet<Topic>,
    current: Option<Record>,
    part: Part,
}

impl Turn<'_> {
    async fn take(&mut self, item: &Item, key: Option<Key>) -> Outcome {
        let at = item.received.at;
        if self.loaded.parked.contains(&at) {
            return Outcome::Duplicate;
        }
        let entry = item.event.as_ref().ok().map(seen);
        if entry.is_some_and(|seen| self.is_seen(seen)) {
            return Outcome::Duplicate;
        }
        let waits = key.is_some_and(|key| {
            self.queues.contains(&at.topic) || self.loaded.queues.contains(&(at.topic, key))
        });
        if waits {
            let reason = "waits behind an earlier event of this key on this topic";
            return self.park(item, key, reason.to_owned(), Some(Duration::ZERO));
        }
        let event = match (&item.event, self.refused) {
            (Err(error), _) => return self.park(item, key, error.to_string(), None),
            (Ok(_), Some(reason)) => return self.park(item, key, reason.to_owned(), None),
            (Ok(event), None) => event,
        };
        let delivery = Delivery { at, event };
        match handle(self.context, self.handler, self.current.as_ref(), delivery).await {
            Ok(Reaction::Ignore) => Outcome::Ignored,
            Ok(Reaction::Known) => Outcome::Duplicate,
            Ok(Reaction::Decide(decision)) => self.change(event, decision),
            Err(Fault::Later(reason)) => self.park(item, key, reason, Some(backoff::retry_in(0))),
            Err(Fault::Event(reason)) => self.park(item, key, reason, None),
        }
    }

    fn change(&mut self, event: &Event, decision: Decision) -> Outcome {
        let key = event.key();
        let subject = (key, self.loaded.records.get(&key));
        let (commit, now) = (&mut self.part.commit, self.context.now());
        self.current = Some(decision.write(commit, subject, self.handler.indexed(), now));
        commit.since = commit.since.into_iter().chain([event.occurred_at]).min();
        commit.seen.push(seen(event));
        Outcome::Processed
    }

    fn is_seen(&self, seen: Seen) -> bool {
        self.loaded.seen.contains(&seen) || self.part.commit.seen.contains(&seen)
    }

    fn park(
        &mut self,
        item: &Item,
        key: Option<Key>,
        reason: String,
        retry_in: Option<Duration>,
    ) -> Outcome {
        self.queues.insert(item.received.at.topic);
        self.part.commit.seen.extend(item.event.as_ref().ok().map(seen));
        self.part.commit.parked.push(parking(item, key, reason, retry_in));
        Outcome::Parked
    }
}

/// `item` as a parked event.
pub(crate) fn parking(
    item: &Item,
    key: Option<Key>,
    reason: String,
    retry_in: Option<Duration>,
) -> Parking {
    let event = item.event.as_ref().ok();
    Parking {
        at: item.received.at,
        key,
        event_id: event.map(|event| event.id),
        event_type: event.map(|event| event.payload.event_type().to_owned()),
        raw_key: item.received.key.clone(),
        raw: item.received.value.clone(),
        reason,
        unknown_type: item.event.as_ref().is_err_and(ofs_events::DecodeError::is_unknown_type),
        retry_in,
    }
}

/// Runs the handler; a panic in it is this event's fault and no other's.
pub(crate) async fn handle(
    context: &Context,
    handler: &dyn Handler,
    record: Option<&Record>,
    delivery: Delivery<'_>,
) -> Result<Reaction, Fault> {
    caught(handler.handle(context, record, delivery)).await
}

/// What a handler answers; a panic is a fault of what it was given.
pub(crate) async fn caught(
    handling: impl Future<Output = Result<Reaction, Fault>>,
) -> Result<Reaction, Fault> {
    AssertUnwindSafe(handling).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Fault::Event(format!(
            "the handler panicked: {}",
            text.as_deref().unwrap_or("no message")
        )))
    })
}
