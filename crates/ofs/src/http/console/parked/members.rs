//! A record that cannot be read beside an event that can: each member, and the one that is wrong.

use ofs_console::parked::Member;
use ofs_events::{Event, Payload};
use ofs_runtime::store::Parked;
use serde_json::{Map, Value};

/// Bytes of a value that are shown.
const SHOWN: usize = 200;
/// Members of the record that no example has, at most.
const OTHERS: usize = 20;

/// Each member of the event that was parked; nothing if it can be read, or is no JSON object.
pub(super) fn members(parked: &Parked) -> Vec<Member> {
    let event = &parked.event;
    let read = Event::decode(event.at.topic, event.raw_key.as_deref(), &event.raw);
    let Err(error) = read else { return Vec::new() };
    let Ok(Value::Object(found)) = serde_json::from_slice(&event.raw) else { return Vec::new() };
    let named = found.get("eventType").and_then(Value::as_str).and_then(Payload::example);
    let mut known = Payload::known().filter(|(_, _, topic)| *topic == event.at.topic);
    let example = named.or_else(|| Payload::example(known.next()?.0));
    let example = serde_json::from_str(example.unwrap_or_default()).unwrap_or_default();
    let fault = error.member().map(|member| (member, error.to_string()));
    beside(&flat(&example), &flat(&found), fault)
}

/// Every member by name, those of the payload after `payload.`.
fn flat(event: &Map<String, Value>) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, value) in event {
        match value.as_object().filter(|_| name == "payload") {
            Some(payload) => {
                let payload = payload.iter();
                all.extend(payload.map(|(inner, value)| (format!("{name}.{inner}"), text(value))));
            }
            None => all.push((name.clone(), text(value))),
        }
    }
    all
}

/// As it is written in JSON, so that a number and a text can be told apart.
fn text(value: &Value) -> String {
    let text = value.to_string();
    match text.get(..text.floor_char_boundary(SHOWN)) {
        Some(begin) if begin.len() < text.len() => format!("{begin}…"),
        _ => text,
    }
}

fn beside(
    example: &[(String, String)],
    found: &[(String, String)],
    fault: Option<(String, String)>,
) -> Vec<Member> {
    let is_there =
        |all: &[(String, String)], name: &str| all.iter().any(|(known, _)| known == name);
    let others = found.iter().filter(|(name, _)| !is_there(example, name)).take(OTHERS);
    let all = example.iter().chain(others).map(|(name, _)| name);
    let value = |all: &[(String, String)], name: &str| {
        all.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    let member = |name: &String| Member {
        name: name.clone(),
        example: value(example, name).unwrap_or_else(|| "–".to_owned()),
        found: value(found, name),
        fault: fault.as_ref().filter(|(member, _)| member == name).map(|(_, why)| why.clone()),
    };
    all.map(member).collect()
}
