//! `ofs events tail`. (`ofs events reset` needs the server stopped and is not a client command.)

use super::args::topic;
use super::client::Client;
use super::failure::{Exit, Failure};
use super::output::{self, Format, text};
use clap::Args;
use futures::StreamExt as _;
use ofs_events::Topic;
use serde_json::Value;
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
    /// Where to begin: earliest, latest, or a position such as orders.events.v1/0@17.
    #[arg(long, value_name = "WHERE")]
    from: Option<String>,
    /// Stop after this many events; else go on until interrupted.
    #[arg(long, value_name = "COUNT")]
    max: Option<usize>,
}

pub(super) async fn tail(format: Format, client: &Client, args: &TailArgs) -> anyhow::Result<()> {
    let query = [
        ("topic", args.topic.map(|topic| topic.to_string())),
        ("order", args.order.clone()),
        ("from", args.from.clone()),
    ];
    let mut events = pin!(client.stream(&["events"], &query).await?);
    let mut left = args.max.unwrap_or(usize::MAX);
    while left > 0 {
        let Some(event) = events.next().await else {
            let detail = "the server ended the stream; it is shutting down";
            return Err(Failure::new(Exit::Unreachable, detail).into());
        };
        show(format, &event?)?;
        left -= 1;
    }
    Ok(())
}

fn show(format: Format, event: &Value) -> anyhow::Result<()> {
    if format == Format::Json {
        return Ok(output::json_line(event)?);
    }
    // The envelope stands either at the top or in `event`; a record that is none shows its position.
    let envelope = event.get("event").filter(|inner| inner.is_object()).unwrap_or(event);
    let part = |name: &str| match text(envelope, name) {
        missing if missing == "-" => text(event, name),
        found => found,
    };
    let order = match part("/payload/orderId") {
        missing if missing == "-" => part("/key"),
        order => order,
    };
    let (position, at, kind) = (text(event, "/position"), part("/occurredAt"), part("/eventType"));
    Ok(output::line(&format!("{position:28}  {at:27}  {kind:22}  {order}"))?)
}
