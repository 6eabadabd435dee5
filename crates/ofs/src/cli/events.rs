//! `ofs events tail`. What sees or moves groups opens the engines itself, and is not a client command.

use super::args::topic;
use super::client::Client;
use super::output::{self, Format, text};
use crate::failure::{Exit, Failure};
use clap::Args;
use futures::StreamExt as _;
use ofs_events::Topic;
use serde_json::Value;
use std::io::Write as _;
use std::pin::pin;

/// `ofs events tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Only this topic.
    #[arg(long, value_name = "TOPIC", value_parser = topic)]
    topic: Option<Topic>,
    /// Only this order's events.
    #[arg(long, value_name = "ORDER")]
    order: Option<String>,
    /// Where to begin: earliest, latest, or a position such as orders.events.v1/0@17. Else latest,
    /// and earliest with --no-follow.
    #[arg(long, value_name = "WHERE")]
    from: Option<String>,
    /// End where the log ends now, instead of going on with what comes.
    #[arg(long)]
    no_follow: bool,
    /// Stop after this many events; else go on until interrupted.
    #[arg(long, value_name = "COUNT")]
    max: Option<usize>,
}

pub(super) async fn tail(format: Format, client: &Client, args: &TailArgs) -> anyhow::Result<()> {
    let start = if args.no_follow { "earliest" } else { "latest" };
    let query = [
        ("topic", args.topic.map(|topic| topic.to_string())),
        ("order", args.order.clone()),
        ("from", Some(args.from.clone().unwrap_or_else(|| start.to_owned()))),
        ("follow", Some((!args.no_follow).to_string())),
    ];
    let mut events = pin!(client.stream(&["events"], &query).await?);
    let mut left = args.max.unwrap_or(usize::MAX);
    while left > 0 {
        let Some(event) = events.next().await else {
            if args.no_follow {
                break;
            }
            let detail = "the server ended the stream; it is shutting down";
            return Err(Failure::new(Exit::Unreachable, detail).into());
        };
        let event = event?;
        if let Some(places) = event.get("leaderless") {
            missing(places);
        } else {
            show(format, &event)?;
            left -= 1;
        }
    }
    Ok(())
}

/// Not among the events, so that a program that counts or pipes those sees no partitions.
fn missing(places: &Value) {
    let places: Vec<String> = places.as_array().into_iter().flatten().map(output::plain).collect();
    let text = match places.as_slice() {
        [] => "all partitions have a leader again; what is theirs follows".to_owned(),
        places => format!("{} cannot be read: no broker leads it", places.join(", ")),
    };
    let _ = writeln!(std::io::stderr(), "warning: {text}");
}

fn show(format: Format, record: &Value) -> anyhow::Result<()> {
    if format == Format::Json {
        return Ok(output::json_line(record)?);
    }
    let (position, order) = (text(record, "/position"), text(record, "/key"));
    let what = match record.get("error") {
        Some(error) => format!("not an event: {}", output::plain(error)),
        None => text(record, "/event/eventType"),
    };
    let at = match record.pointer("/event/occurredAt") {
        Some(occurred) => output::plain(occurred),
        None => text(record, "/appendedAt"),
    };
    Ok(output::line(&format!("{at:27}  {position:28}  {order:36}  {what}"))?)
}
