//! `ofs pipeline`: the backlog, one line for each service and topic.

use super::client::Client;
use super::order::items;
use super::output::{self, Format, text};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) async fn run(format: Format, client: &Client) -> anyhow::Result<()> {
    let view = client.get(&["pipeline"], &[]).await?;
    let heads = [
        "service",
        "topic",
        "lag",
        "lag s",
        "to send",
        "to index",
        "refused",
        "parked",
        "oldest parked s",
    ];
    let rows: Vec<_> = items(&view, "services").flat_map(rows_of).collect();
    output::list(format, &view, &heads, &rows)?;
    let unreachable = rows.iter().flatten().any(|cell| cell == UNKNOWN);
    if format == Format::Text && unreachable {
        output::note("? is unknown: what it stands in cannot be reached");
    }
    if format == Format::Text {
        for stuck in items(&view, "services").flat_map(|service| items(service, "stuck")) {
            output::note(&format!(
                "{} missed the deadline `{}`; `ofs order explain {}` says what is in the way of \
                 the first",
                match number(stuck, "/rows").as_str() {
                    "1" => "1 order".to_owned(),
                    rows => format!("{rows} orders"),
                },
                text(stuck, "/deadline"),
                text(stuck, "/example"),
            ));
        }
        for place in leaderless(&view) {
            output::note(&format!(
                "{place} has no leader: what is there waits, and is not counted"
            ));
        }
    }
    Ok(())
}

/// The partitions without a leader, each once.
fn leaderless(view: &Value) -> BTreeSet<String> {
    let topics = items(view, "services").flat_map(|service| items(service, "topics"));
    let places = topics.flat_map(|topic| {
        let name = text(topic, "/topic");
        items(topic, "leaderless").map(move |partition| format!("{name}/{partition}"))
    });
    places.collect()
}

const UNKNOWN: &str = "?";

/// What is null here is not known; that must not look like nothing.
fn number(value: &Value, at: &str) -> String {
    match value.pointer(at) {
        None | Some(Value::Null) => UNKNOWN.to_owned(),
        Some(Value::Number(number)) if number.is_f64() => {
            format!("{:.1}", number.as_f64().unwrap_or_default())
        }
        Some(other) => output::plain(other),
    }
}

fn rows_of(service: &Value) -> Vec<Vec<String>> {
    let of_service =
        ["/outbox/rows", "/index/rows", "/refused/rows", "/parked/rows", "/parked/ageSeconds"]
            .map(|at| number(service, at));
    let mut rows: Vec<Vec<String>> = items(service, "topics")
        .map(|topic| {
            vec![text(topic, "/topic"), number(topic, "/lagEvents"), number(topic, "/lagSeconds")]
        })
        .collect();
    if rows.is_empty() {
        rows.push(vec!["-".to_owned(), "-".to_owned(), "-".to_owned()]);
    }
    for (n, row) in rows.iter_mut().enumerate() {
        // What belongs to the service as a whole stands in its first line only.
        let (name, rest) = match n {
            0 => (text(service, "/service"), of_service.to_vec()),
            _ => (String::new(), vec![String::new(); of_service.len()]),
        };
        row.insert(0, name);
        row.extend(rest);
    }
    rows
}
