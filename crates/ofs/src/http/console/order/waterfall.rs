//! What happened to an order as rows in time: events with what they hold, parked events in their place,
//! the wait before each, and the step that has to come.

use crate::http::App;
use crate::http::explain::{Known, open};
use crate::http::obstacles::publisher_of;
use crate::http::raw::Raw;
use futures::future::join_all;
use ofs_console::order::{Change, Content, Kind, Step};
use ofs_console::words::{Age, Moment, age, counted, time};
use ofs_events::{EventId, Timestamp};
use ofs_runtime::log::{Position, Received};
use ofs_runtime::store::{Parked, ParkedState};
use search_indexer_worker::timeline::Entry;
use std::collections::HashMap;
use std::time::Duration;

/// Events whose records are read; an order has a handful.
const MOST: usize = 100;
/// Bytes of a record that are shown.
const SHOWN_BYTES: usize = 4_000;
/// How long the log may take; the page does without then.
const PATIENCE: Duration = Duration::from_secs(2);
/// A wait below this is told by its bar alone.
const WORTH_TELLING: f64 = 1.0;

/// The records of `events`, as far as the log has them.
pub(super) async fn records(app: &App, events: &[Entry]) -> HashMap<EventId, Received> {
    let read = |event: &Entry| {
        let (id, at) = (event.event_id, event.position);
        async move { Some((id, record(app, at?).await?)) }
    };
    let found = join_all(events.iter().take(MOST).map(read)).await;
    found.into_iter().flatten().collect()
}

async fn record(app: &App, at: Position) -> Option<Received> {
    let read = app.log.read(at.topic, at.partition, at.offset, 1);
    let read = tokio::time::timeout(PATIENCE, read).await.ok()?.ok()?;
    read.into_iter().find(|record| record.at == at)
}

/// Every row, oldest first.
pub(super) fn steps(
    known: &Known,
    records: &HashMap<EventId, Received>,
    changes: &HashMap<EventId, Vec<Change>>,
    now: Timestamp,
) -> Vec<Step> {
    let events = &known.timeline.events;
    let Some(begin) = events.first().map(|event| event.occurred_at) else { return Vec::new() };
    let end = events.iter().map(|event| event.occurred_at).max().unwrap_or(begin);
    let is_open = known.explanation.next_service.is_some();
    let span = Span { begin, end: if is_open { now.max(end) } else { end } };
    let mut steps: Vec<(Timestamp, Step)> = Vec::new();
    for event in events {
        let cause = events.iter().find(|one| Some(one.event_id) == event.causation_id);
        let step = happened(event, cause, records.get(&event.event_id), &span);
        let changes = changes.get(&event.event_id).cloned();
        steps.push((event.occurred_at, Step { changes, ..step }));
    }
    for parked in &known.parked {
        steps.push((parked.parked_at.max(begin), set_aside(parked, &span, now)));
    }
    // Causes stay before effects: equal times keep their order.
    steps.sort_by_key(|(at, _)| *at);
    let mut steps: Vec<Step> = steps.into_iter().map(|(_, step)| step).collect();
    steps.extend(expected(known, &span));
    steps
}

/// From the first event to the last, or to now.
struct Span {
    begin: Timestamp,
    end: Timestamp,
}

impl Span {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    fn bar(&self, from: Timestamp, to: Timestamp) -> (u64, u64) {
        let whole = self.end.seconds_since(self.begin).max(0.000_001);
        let at = |time: Timestamp| time.seconds_since(self.begin) / whole * 1000.0;
        let start = at(from).clamp(0.0, 996.0);
        let length = (at(to) - start).clamp(4.0, 1000.0 - start);
        (start as u64, length as u64)
    }

    fn since(&self, at: Timestamp) -> Option<Age> {
        Some(Age(at.seconds_since(self.begin)))
    }

    /// What share of the whole the time between the two is.
    fn share(&self, from: Timestamp, to: Timestamp) -> String {
        let whole = self.end.seconds_since(self.begin).max(0.000_001);
        format!("{:.0} %", to.seconds_since(from) / whole * 100.0)
    }
}

fn happened(event: &Entry, cause: Option<&Entry>, record: Option<&Received>, span: &Span) -> Step {
    let service = publisher_of(&event.event_type);
    let waited = cause.and_then(|cause| {
        let waited = event.occurred_at.seconds_since(cause.occurred_at);
        let share = span.share(cause.occurred_at, event.occurred_at);
        let cause = &cause.event_type;
        let text = format!("{} from {cause} to this, {share} of the whole", age(waited));
        (waited >= WORTH_TELLING).then_some(text)
    });
    let content = record.map(|record| {
        let content = Content::of(&Raw::from(&record.value).value, SHOWN_BYTES);
        let appended = Some(Moment(record.appended_at));
        Content { headers: record.headers.clone(), appended, ..content }
    });
    Step {
        kind: Kind::Event,
        at: Some(Moment(event.occurred_at)),
        service: service.to_owned(),
        title: event.event_type.clone(),
        detail: None,
        link: None,
        since: span.since(event.occurred_at),
        waited,
        bar: cause.map(|cause| span.bar(cause.occurred_at, event.occurred_at)),
        position: event.position.map(|at| at.to_string()),
        event_id: Some(event.event_id.to_string()),
        content,
        changes: None,
    }
}

fn set_aside(parked: &Parked, span: &Span, now: Timestamp) -> Step {
    let event = parked.event.event_type.as_deref().unwrap_or("a record that is not an event");
    let tried = counted(u64::from(parked.attempts), "retry", "retries");
    let what = match (parked.state, parked.next_at) {
        (ParkedState::Parked, Some(at)) => format!("{tried}, next at {}", time(at)),
        (ParkedState::Parked, None) => format!("{tried}, waits for an operator"),
        (ParkedState::Resolved, _) => format!("{tried}, handled since"),
        (ParkedState::Discarded, _) => format!("{tried}, discarded since"),
    };
    let until = parked.closed_at.unwrap_or(now);
    Step {
        kind: if open(parked) { Kind::Parked } else { Kind::Closed },
        at: Some(Moment(parked.parked_at)),
        service: parked.owner.clone(),
        title: format!("{event} parked"),
        detail: Some(format!("{} ({what})", parked.event.reason)),
        link: Some(format!("parked/{}", parked.id)),
        since: span.since(parked.parked_at),
        waited: None,
        bar: Some(span.bar(parked.parked_at, until.min(span.end))),
        position: Some(parked.event.at.to_string()),
        event_id: None,
        content: None,
        changes: None,
    }
}

fn expected(known: &Known, span: &Span) -> Option<Step> {
    let explanation = &known.explanation;
    let (service, since) = (explanation.next_service?, explanation.since?);
    let title = match explanation.waits_for.as_slice() {
        [] => "status follows".to_owned(),
        events => events.join(" or "),
    };
    let waited = age(span.end.seconds_since(since));
    let share = span.share(since, span.end);
    // What is parked stands in its own row.
    let first = explanation.blocked_by.first().filter(|_| !known.parked.iter().any(open));
    let reason = first.map(|one| format!(": {}", one.detail));
    let waiting =
        format!("{waited} waiting so far, {share} of the whole{}", reason.unwrap_or_default());
    Some(Step {
        kind: Kind::Expected,
        at: None,
        service: service.to_owned(),
        title,
        detail: None,
        link: None,
        since: None,
        waited: Some(waiting),
        bar: Some(span.bar(since, span.end)),
        position: None,
        event_id: None,
        content: None,
        changes: None,
    })
}
