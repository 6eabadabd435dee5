//! What can be in the way of an event: it is parked, not sent yet, or not read yet, and why.

use super::App;
use super::explain::{Next, Obstacle, open};
use crate::about::About;
use ofs_console::words::{age, counted, time};
use ofs_events::{Payload, Topic};
use ofs_runtime::log::{Lag, Position};
use ofs_runtime::pipeline::{PipelineView, group_of};
use ofs_runtime::store;
use std::time::Duration;

/// How long the log may take to say where a service stands.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether `service` has parked something of this order.
pub(super) fn holds(parked: &[store::Parked], service: &str) -> bool {
    parked.iter().any(|one| open(one) && one.owner == service)
}

/// Whether anything is parked.
pub(super) fn is_open(parked: &[store::Parked]) -> bool {
    parked.iter().any(open)
}

/// What is parked of an order, that of `first` before all others.
pub(super) fn parked(parked: &[store::Parked], first: Option<&str>) -> Vec<Obstacle> {
    let mut all: Vec<_> = parked.iter().filter(|one| open(one)).collect();
    all.sort_by_key(|one| (Some(one.owner.as_str()) != first, one.behind.is_some(), one.id));
    all.into_iter().map(obstacle).collect()
}

fn obstacle(parked: &store::Parked) -> Obstacle {
    let event = parked.event.event_type.as_deref().unwrap_or("a record that is not an event");
    let (owner, id, reason) = (&parked.owner, parked.id, &parked.event.reason);
    let tried = counted(u64::from(parked.attempts), "retry", "retries");
    if let Some(head) = parked.behind {
        let detail = format!("{owner} keeps {event} (parked as {id}) behind parked event {head}.");
        return Obstacle { detail, command: None };
    }
    match parked.next_at {
        Some(at) => Obstacle {
            detail: format!(
                "{owner} could not handle {event} (parked as {id}): {reason}. It is retried \
                 automatically at {}, after {tried} so far.",
                time(at)
            ),
            command: Some(format!("ofs parked show {id}")),
        },
        None => Obstacle {
            detail: format!(
                "{owner} could not handle {event} (parked as {id}): {reason}. It waits for \
                 an operator, after {tried} so far."
            ),
            command: Some(format!("ofs parked retry {id}")),
        },
    }
}

/// The topic of events of this type.
pub(super) fn topic_of(event_type: &str) -> Option<Topic> {
    let known = Payload::known().find(|(name, ..)| *name == event_type);
    known.map(|(.., topic)| topic)
}

/// The service that publishes events of this type.
pub(super) fn publisher_of(event_type: &str) -> &'static str {
    topic_of(event_type).map_or("unknown", Topic::publisher)
}

/// What keeps the event that is next from where it has to go.
pub(super) async fn on_the_way(app: &App, next: &Next<'_>) -> Vec<Obstacle> {
    let Some(topic) = topic_of(&next.cause.event_type) else { return Vec::new() };
    let view = app.pipeline.sample().await;
    if let Some(unsent) = unsent(&view, next, topic) {
        return vec![unsent];
    }
    let group = group_of(next.service);
    let lags = tokio::time::timeout(PATIENCE, app.log.lag(&group, &[topic])).await;
    let lags = match lags {
        Ok(Ok(lags)) => lags,
        Ok(Err(_)) | Err(_) => {
            let detail = "The log cannot be reached; orders are still accepted, and their \
                          events are sent when it is back."
                .to_owned();
            return vec![Obstacle { detail, command: Some("ofs health".to_owned()) }];
        }
    };
    unread(app, next, &lags).into_iter().collect()
}

/// The event may still be in the outbox, if no service has read it and its publisher owes some.
fn unsent(view: &PipelineView, next: &Next<'_>, topic: Topic) -> Option<Obstacle> {
    if next.cause.position.is_some() {
        return None;
    }
    let publisher = topic.publisher();
    let service = view.services.iter().find(|service| service.service == publisher)?;
    let rows = service.outbox.rows.filter(|rows| *rows > 0)?;
    let waited = age(service.outbox.age_seconds.unwrap_or_default());
    let events = counted(rows, "event", "events");
    let since = service.topics.iter().chain(view.services.iter().flat_map(|one| &one.topics));
    let down = since.filter_map(|topic| topic.unreachable_since).min();
    let why = match down {
        Some(since) => format!(" The log has not answered since {}.", time(since)),
        None => String::new(),
    };
    let event = &next.cause.event_type;
    let detail = format!(
        "{event} is not in the log yet: {publisher} has {events} to send, the oldest for \
         {waited}.{why}"
    );
    Some(Obstacle { detail, command: Some("ofs pipeline".to_owned()) })
}

/// The event is in the log; its service has not read it, or has, and is not done.
fn unread(app: &App, next: &Next<'_>, lags: &[Lag]) -> Option<Obstacle> {
    let (service, event) = (next.service, &next.cause.event_type);
    let own = |lag: &&Lag| match next.cause.position {
        Some(at) => lag.partition == at.partition,
        None => lag.events > 0 || lag.leaderless,
    };
    let lag = lags.iter().find(own)?;
    if lag.leaderless {
        let place = format!("{}/{}", lag.topic, lag.partition);
        let detail = format!("No broker leads {place}, so nothing can be read there.");
        return Some(Obstacle { detail, command: Some("ofs pipeline".to_owned()) });
    }
    let read = |at: Position| lag.position.is_some_and(|position| position > at.offset);
    if next.cause.position.is_some_and(read) {
        let detail = format!("{service} has read {event} and is still handling it.");
        return Some(Obstacle { detail, command: None });
    }
    let waiting = counted(lag.events.max(1), "event", "events");
    let (reader, command) = if lag.assigned {
        ("this process reads it and works through what came before", "ofs pipeline".to_owned())
    } else if app.about.services.contains(&service) {
        ("another process of it reads this partition", "ofs pipeline".to_owned())
    } else {
        ("it does not run in this process; is it running anywhere?", start(&app.about, service))
    };
    let place = format!("{}/{}", lag.topic, lag.partition);
    let detail = format!(
        "{service} has not read {event}: it has {waiting} of {place} to read, and {reader}."
    );
    Some(Obstacle { detail, command: Some(command) })
}

/// The command that starts `service`; the embedded engines belong to one process.
pub(super) fn start(about: &About, service: &str) -> String {
    if about.embedded { "ofs run".to_owned() } else { format!("ofs run --service {service}") }
}
