//! `ofs parked`: list, show, retry, discard.

mod job;

use super::client::Client;
use super::order::{items, next_page};
use super::output::{self, Format, text};
use crate::failure::{Exit, Failure};
use crate::services::NAMES;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

/// `ofs parked …`.
#[derive(Debug, Subcommand)]
pub enum ParkedCommand {
    /// Parked events, oldest first.
    #[command(before_help = "\
Examples:
  ofs parked list
  ofs parked list --state parked --service payment-worker --reason unknown")]
    List(ListArgs),
    /// One parked event with its record.
    #[command(before_help = "\
Examples:
  ofs parked show 17
  ofs parked show 17 --json | jq -r .value.value")]
    Show(NumberArgs),
    /// Try again now: one event, or every one that is first in its queue.
    #[command(before_help = "\
Examples:
  ofs parked retry 17
  ofs parked retry --dry-run 17
  ofs parked retry --all --service payment-worker --reason gateway")]
    Retry(RetryArgs),
    /// Discard an event; events that wait behind it go on.
    #[command(before_help = "\
Examples:
  ofs parked discard 17 --reason 'test order, never to be shipped'")]
    Discard(DiscardArgs),
}

/// What has become of a parked event.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum State {
    /// Still to be handled.
    Parked,
    /// Handled by a retry.
    Resolved,
    /// Discarded by an operator.
    Discarded,
}

/// `ofs parked list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only this service's.
    #[arg(long, value_name = "NAME",
        value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    service: Option<String>,
    /// Only this order's.
    #[arg(long, value_name = "ORDER")]
    order: Option<String>,
    /// Only those in this state.
    #[arg(long)]
    state: Option<State>,
    /// Only those whose reason holds this text.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// How many, 1 to 200.
    #[arg(long)]
    limit: Option<u16>,
    /// The next page, as the page before names it.
    #[arg(long)]
    cursor: Option<String>,
}

/// A parked event.
#[derive(Debug, Args)]
pub struct NumberArgs {
    /// Its number, as `ofs parked list` shows it.
    #[arg(value_name = "NUMBER")]
    id: u64,
}

/// `ofs parked retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// Its number, as `ofs parked list` shows it.
    #[arg(value_name = "NUMBER", required_unless_present = "all")]
    id: Option<u64>,
    /// Every one that is first in its queue.
    #[arg(long, conflicts_with = "id")]
    all: bool,
    /// Only tell what it would do.
    #[arg(long, conflicts_with = "all")]
    dry_run: bool,
    /// With --all: only this service's.
    #[arg(long, value_name = "NAME", requires = "all",
        value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    service: Option<String>,
    /// With --all: only those whose reason holds this text.
    #[arg(long, value_name = "TEXT", requires = "all")]
    reason: Option<String>,
}

/// `ofs parked discard`.
#[derive(Debug, Args)]
pub struct DiscardArgs {
    /// Its number, as `ofs parked list` shows it.
    #[arg(value_name = "NUMBER")]
    id: u64,
    /// Why, for those who come after.
    #[arg(long)]
    reason: String,
}

pub(super) async fn run(
    format: Format,
    client: &Client,
    command: &ParkedCommand,
) -> anyhow::Result<()> {
    match command {
        ParkedCommand::List(args) => list(format, client, args).await,
        ParkedCommand::Show(args) => {
            let parked = client.get(&["parked", &args.id.to_string()], &[]).await?;
            Ok(output::document(format, &parked)?)
        }
        ParkedCommand::Retry(RetryArgs { id: Some(id), dry_run: true, .. }) => {
            let told = client.post(&["parked", &id.to_string(), "dry-run"], &[], None).await?;
            Ok(output::document(format, &told)?)
        }
        ParkedCommand::Retry(RetryArgs { id: Some(id), .. }) => {
            let tried = client.post(&["parked", &id.to_string(), "retry"], &[], None).await?;
            output::document(format, &tried)?;
            still_parked(&tried)
        }
        ParkedCommand::Retry(RetryArgs { service, reason, .. }) => {
            let job = json!({ "action": "retry", "because": "ofs parked retry --all",
                "service": service, "reason": reason });
            job::run(format, client, &job).await
        }
        ParkedCommand::Discard(args) => {
            let path = ["parked", &args.id.to_string(), "discard"];
            let body = json!({ "reason": args.reason });
            let done = client.post(&path, &[], Some(&body)).await?;
            Ok(output::document(format, &done)?)
        }
    }
}

/// A retry that was answered but did not help is a failure to a script.
fn still_parked(tried: &Value) -> anyhow::Result<()> {
    if tried.get("outcome").and_then(Value::as_str) != Some("failed") {
        return Ok(());
    }
    let detail = format!("it failed again and stays parked: {}", text(tried, "/reason"));
    Err(Failure::new(Exit::Failed, detail).into())
}

async fn list(format: Format, client: &Client, args: &ListArgs) -> anyhow::Result<()> {
    let state = args.state.and_then(|state| state.to_possible_value());
    let query = [
        ("service", args.service.clone()),
        ("order", args.order.clone()),
        ("state", state.map(|state| state.get_name().to_owned())),
        ("reason", args.reason.clone()),
        ("limit", args.limit.map(|limit| limit.to_string())),
        ("cursor", args.cursor.clone()),
    ];
    let page = client.get(&["parked"], &query).await?;
    let members =
        ["/id", "/service", "/state", "/order", "/behind", "/attempts", "/nextAt", "/reason"];
    let heads = ["id", "service", "state", "order", "behind", "attempts", "next try", "reason"];
    let row = |parked: &Value| members.map(|member| text(parked, member)).to_vec();
    let rows: Vec<_> = items(&page, "parked").map(row).collect();
    output::list(format, &page, &heads, &rows)?;
    if format == Format::Text {
        next_page(&page);
    }
    Ok(())
}
