//! The events page: the newest records, or those from a position on, with what they hold.

use super::{Page, frame};
use crate::http::App;
use crate::http::events::Line;
use crate::http::obstacles::topic_of;
use crate::http::raw::Raw;
use crate::http::recent::{Recent, recent};
use axum::extract::{RawQuery, State};
use ofs_console::events::{EventsPage, Record};
use ofs_console::frame::{Copyable, Depth, Here};
use ofs_console::order::Content;
use ofs_console::orders::Choice;
use ofs_console::url::Pairs;
use ofs_console::words::{Clock, Count};
use ofs_events::{HEADER_EVENT_TYPE, Key, Payload, Timestamp, Topic};
use ofs_runtime::access::Caller;
use ofs_runtime::extract::read_query;
use ofs_runtime::log::{Position, Received};
use ofs_runtime::problem::{Invalid, Problem};
use serde::Deserialize;
use serde_json::Value;

/// Records on a page.
const SHOWN: usize = 30;
/// Bytes of each that are shown.
const SHOWN_BYTES: usize = 2_000;

/// What to show.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    topic: Option<Topic>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    order: Option<Key>,
    from: Option<String>,
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Page<EventsPage>, Problem> {
    let pairs = Pairs::of(query.as_deref().unwrap_or_default());
    let asked: Asked = read_query(pairs.query().trim_start_matches('?'))?;
    let found = found(&app, &asked).await?;
    let frame = frame(&app, caller.scopes(), Here::Events, Depth::Page);
    let leaderless = found.leaderless.iter();
    let leaderless = leaderless.map(|(topic, partition)| format!("{topic}/{partition}"));
    let leaderless = leaderless.collect::<Vec<_>>().join(", ");
    let records = found.records.into_iter().map(|record| shown(&app, record, frame.at));
    Ok(Page(EventsPage {
        records: records.collect(),
        leaderless,
        looked: found.cut.then_some(Count(found.looked)),
        topics: choices(&pairs, "topic", &Topic::ALL.map(Topic::name)),
        types: choices(&pairs, "type", &Payload::known().map(|known| known.0).collect::<Vec<_>>()),
        order: pairs.get("order").unwrap_or_default().to_owned(),
        from: asked.from.clone().unwrap_or_default(),
        kept: pairs.without(&["order", "from"]).0,
        tail: asked.from.is_none().then(|| tail(&asked)),
        copy: copies(&app, &asked),
        frame,
    }))
}

async fn found(app: &App, asked: &Asked) -> Result<Recent, Problem> {
    let wanted = |record: &Received| {
        let order = Key::from_record_key(record.key.as_deref());
        let header = record.headers.iter().find(|(name, _)| name == HEADER_EVENT_TYPE);
        let named = header.map(|(_, value)| value.as_str());
        asked.order.is_none_or(|wanted| order == Some(wanted))
            && asked.event_type.as_deref().is_none_or(|wanted| named == Some(wanted))
    };
    let refused = |error| {
        tracing::warn!(%error, "reading the log for a page failed");
        Problem::unavailable("the log")
    };
    if let Some(from) = &asked.from {
        let at: Position = from.trim().parse().map_err(|error| {
            Problem::invalid_query(vec![Invalid::new(
                "from",
                format!("must be a position: {error}"),
            )])
        })?;
        let mut records =
            app.log.read(at.topic, at.partition, at.offset, SHOWN).await.map_err(refused)?;
        records.retain(wanted);
        return Ok(Recent { looked: records.len() as u64, records, ..Recent::default() });
    }
    let topics = match (asked.topic, asked.event_type.as_deref().and_then(topic_of)) {
        (Some(topic), _) | (None, Some(topic)) => vec![topic],
        (None, None) => Topic::ALL.to_vec(),
    };
    recent(&*app.log, &topics, SHOWN, &wanted).await.map_err(refused)
}

fn shown(app: &App, record: Received, now: Timestamp) -> Record {
    let raw = Raw::from(&record.value).value;
    let (at, order) = (record.at, Key::from_record_key(record.key.as_deref()));
    let (headers, appended_at) = (record.headers.clone(), record.appended_at);
    let line = Line::from(record);
    let member = |name: &str| {
        let event = line.event.as_ref()?;
        event.get(name).and_then(Value::as_str).map(str::to_owned)
    };
    Record {
        position: at.to_string(),
        at: Clock(appended_at, now),
        event_type: member("eventType").unwrap_or_else(|| "not an event".to_owned()),
        order: order.map(|order| order.to_string()),
        correlation: member("correlationId"),
        cause: member("causationId"),
        error: line.error.clone(),
        content: Content { headers, ..Content::of(&raw, SHOWN_BYTES) },
        copy: record_copies(app, at),
    }
}

fn record_copies(app: &App, at: Position) -> Vec<Copyable> {
    let Position { topic, partition, offset } = at;
    let mut copies = vec![
        Copyable::ofs(format!("events tail --from {at} --max 1")),
        Copyable::curl(&app.about.url, &format!("/events?from={at}")),
    ];
    if !app.about.embedded {
        let command = format!("kcat -b BROKER -C -t {topic} -p {partition} -o {offset} -c 1");
        copies.push(Copyable { label: "kcat", command });
    }
    copies
}

fn choices(pairs: &Pairs, name: &str, values: &[&str]) -> Vec<Choice> {
    let pairs = pairs.without(&["from"]);
    let chosen = pairs.get(name);
    let any = Choice {
        label: "All".to_owned(),
        query: pairs.without(&[name]).query(),
        count: None,
        chosen: chosen.is_none(),
    };
    let choice = |value: &&str| Choice {
        label: (*value).to_owned(),
        query: pairs.with(name, value).query(),
        count: None,
        chosen: chosen == Some(*value),
    };
    std::iter::once(any).chain(values.iter().map(choice)).collect()
}

/// The API's stream of what comes.
fn tail(asked: &Asked) -> String {
    let mut pairs = Pairs::default().with("from", "latest");
    if let Some(topic) = asked.topic {
        pairs = pairs.with("topic", topic.name());
    }
    if let Some(order) = asked.order {
        pairs = pairs.with("order", &order.to_string());
    }
    format!("events{}", pairs.query())
}

fn copies(app: &App, asked: &Asked) -> Vec<Copyable> {
    let mut command = "events tail".to_owned();
    let mut pairs = Pairs::default();
    let given = [
        ("topic", asked.topic.map(|topic| topic.name().to_owned())),
        ("order", asked.order.map(|order| order.to_string())),
        ("from", asked.from.clone()),
    ];
    for (name, value) in given {
        let Some(value) = value else { continue };
        command.push_str(&format!(" --{name} '{}'", value.replace('\'', "")));
        pairs = pairs.with(name, &value);
    }
    vec![
        Copyable::ofs(command),
        Copyable::curl(&app.about.url, &format!("/events{}", pairs.query())),
    ]
}
