//! `ofs order`: create, import, get, search, timeline, explain, watch.

use super::client::Client;
use super::import::{self, ImportArgs};
use super::output::{self, Format, text};
use super::watch;
use crate::config::Config;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::Duration;

/// `ofs order …`.
#[derive(Debug, Subcommand)]
pub enum OrderCommand {
    /// Make an order.
    #[command(before_help = "\
Examples:
  ofs order create --email ada@example.com --product Phone --country GB
  ofs order create --email ada@example.com --product Phone --country GB --watch
  ofs order create --email ada@example.com --product Phone --country GB --scenario sim:slow:2s")]
    Create(CreateArgs),
    /// Make the orders of a file. Run again after it was stopped, it goes on where it was; orders that
    /// are refused are in FILE.refused.ndjson with the reasons.
    #[command(before_help = "\
Examples:
  ofs order import orders.csv            first line: customerEmail,productType,country
  ofs order import orders.ndjson --json")]
    Import(ImportArgs),
    /// One order as it is now.
    #[command(before_help = "\
Examples:
  ofs order get 0198c0de-0000-7000-8000-000000000001
  ofs order get 0198c0de-0000-7000-8000-000000000001 --json | jq -r .status")]
    Get(IdArgs),
    /// Find orders in the read model.
    #[command(before_help = "\
Examples:
  ofs order search phone --country GB
  ofs order search --country GB --country FR --status PaymentFailed
  ofs order search --created-after 2026-01-31T00:00:00Z --sort createdAt --limit 200")]
    Search(Box<SearchArgs>),
    /// What happened to an order, cause before effect.
    #[command(before_help = "\
Examples:
  ofs order timeline 0198c0de-0000-7000-8000-000000000001")]
    Timeline(IdArgs),
    /// What an order waits for, since when, and what is in the way.
    #[command(before_help = "\
Examples:
  ofs order explain 0198c0de-0000-7000-8000-000000000001")]
    Explain(IdArgs),
    /// Show an order's events until it is final: 0 if it is on its way, 10 if payment failed.
    #[command(before_help = "\
Examples:
  ofs order watch 0198c0de-0000-7000-8000-000000000001 --timeout 2m")]
    Watch(WatchArgs),
}

/// An order.
#[derive(Debug, Args)]
pub struct IdArgs {
    /// The order's id.
    #[arg(value_name = "ORDER")]
    id: String,
}

/// `ofs order watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The order's id.
    #[arg(value_name = "ORDER")]
    id: String,
    /// How long to watch; exit code 6 when it is over.
    #[arg(long, value_name = "TIME", default_value = "30s",
        value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// `ofs order create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Where the customer is reached.
    #[arg(long)]
    email: String,
    /// What is ordered.
    #[arg(long)]
    product: String,
    /// Two letters, such as GB.
    #[arg(long)]
    country: String,
    /// Steers the simulated payment: success, anything else declines, sim:… misbehaves.
    #[arg(long)]
    scenario: Option<String>,
    /// Sending the same order again with the same key makes no second order.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Show its events until it is final; exit code 10 if payment failed.
    #[arg(long)]
    watch: bool,
    /// How long to watch; exit code 6 when it is over.
    #[arg(long, value_name = "TIME", default_value = "30s", requires = "watch",
        value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// `ofs order search`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// Words to find in id, e-mail or product.
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
    /// Exactly this status; given more than once, any of them.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(
        ofs_events::OrderStatus::ALL.map(ofs_events::OrderStatus::name)))]
    status: Vec<String>,
    /// Exactly this country; given more than once, any of them.
    #[arg(long)]
    country: Vec<String>,
    /// Exactly this product; given more than once, any of them.
    #[arg(long, value_name = "PRODUCT")]
    product_type: Vec<String>,
    /// Created at or after this time, such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,
    /// Created before this time.
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,
    /// createdAt, -createdAt, updatedAt or -updatedAt.
    #[arg(long, allow_hyphen_values = true)]
    sort: Option<String>,
    /// How many, 1 to 200.
    #[arg(long)]
    limit: Option<u16>,
    /// The next page, as the page before names it.
    #[arg(long)]
    cursor: Option<String>,
}

pub(super) async fn run(
    format: Format,
    config: &Config,
    client: &Client,
    command: &OrderCommand,
) -> anyhow::Result<()> {
    match command {
        OrderCommand::Create(args) => create(format, client, args).await,
        OrderCommand::Import(args) => import::run(format, config, client, args).await,
        OrderCommand::Get(args) => {
            let order = client.get(&["orders", &args.id], &[]).await?;
            Ok(output::document(format, &order)?)
        }
        OrderCommand::Search(args) => search(format, client, args).await,
        OrderCommand::Timeline(args) => timeline(format, client, &args.id).await,
        OrderCommand::Explain(args) => explain(format, client, &args.id).await,
        OrderCommand::Watch(args) => watch::watch(format, client, &args.id, args.timeout).await,
    }
}

async fn create(format: Format, client: &Client, args: &CreateArgs) -> anyhow::Result<()> {
    let mut order = json!({
        "customerEmail": args.email,
        "productType": args.product,
        "country": args.country,
    });
    if let Some(scenario) = &args.scenario {
        order["paymentScenario"] = scenario.as_str().into();
    }
    let key = args.idempotency_key.as_deref();
    let made = client.post_with(&["orders"], &[], Some(&order), key).await?;
    if !args.watch {
        return Ok(output::document(format, &made)?);
    }
    match format {
        Format::Json => output::json_line(&made)?,
        Format::Text => output::line(&format!("order {}", text(&made, "/id")))?,
    }
    watch::watch(format, client, &text(&made, "/id"), args.timeout).await
}

async fn search(format: Format, client: &Client, args: &SearchArgs) -> anyhow::Result<()> {
    let words = (!args.words.is_empty()).then(|| args.words.join(" "));
    let mut query = vec![
        ("q", words),
        ("createdAfter", args.created_after.clone()),
        ("createdBefore", args.created_before.clone()),
        ("sort", args.sort.clone()),
        ("limit", args.limit.map(|limit| limit.to_string())),
        ("cursor", args.cursor.clone()),
    ];
    let filters =
        [("status", &args.status), ("country", &args.country), ("productType", &args.product_type)];
    for (name, values) in filters {
        query.extend(values.iter().map(|value| (name, Some(value.clone()))));
    }
    let found = client.get(&["orders", "search"], &query).await?;
    let heads = ["id", "created", "status", "country", "product", "e-mail"];
    let row = |order: &Value| {
        ["/id", "/createdAt", "/status", "/country", "/productType", "/customerEmail"]
            .map(|member| text(order, member))
            .to_vec()
    };
    let rows: Vec<_> = items(&found, "orders").map(row).collect();
    output::list(format, &found, &heads, &rows)?;
    if format == Format::Text {
        let lag = found.get("lagSeconds").and_then(Value::as_f64).unwrap_or_default();
        let total = text(&found, "/total");
        output::note(&format!("{} of {total} orders, {lag:.1} s behind", rows.len()));
        next_page(&found);
    }
    Ok(())
}

/// Tells how to get the next page, if there is one.
pub(super) fn next_page(page: &Value) {
    if let Some(cursor) = page.get("nextCursor").and_then(Value::as_str) {
        output::note(&format!("next page: --cursor {cursor}"));
    }
}

/// The members of the array `name`.
pub(super) fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

async fn timeline(format: Format, client: &Client, id: &str) -> anyhow::Result<()> {
    let timeline = client.get(&["orders", id, "timeline"], &[]).await?;
    let row = |event: &Value| {
        ["/occurredAt", "/eventType", "/eventId", "/position"]
            .map(|member| text(event, member))
            .to_vec()
    };
    let rows: Vec<_> = items(&timeline, "events").map(row).collect();
    let heads = ["occurred", "event", "event id", "position"];
    Ok(output::list(format, &timeline, &heads, &rows)?)
}

async fn explain(format: Format, client: &Client, id: &str) -> anyhow::Result<()> {
    let told = client.get(&["orders", id, "explain"], &[]).await?;
    if format == Format::Json {
        return Ok(output::json(&told)?);
    }
    output::line(&text(&told, "/summary"))?;
    for obstacle in items(&told, "blockedBy") {
        output::line(&format!("- {}", text(obstacle, "/detail")))?;
    }
    if told["command"].is_string() {
        output::line(&format!("Try: {}", text(&told, "/command")))?;
    }
    Ok(())
}
