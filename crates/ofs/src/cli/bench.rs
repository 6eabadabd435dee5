//! `ofs bench`: puts load on a running server through its public API, follows every order to its end,
//! and checks that none was lost, doubled or out of order.

mod check;
mod fsync;
mod limits;
mod load;
mod probe;
mod report;
mod times;

use super::client::Client;
use super::output::{self, Format};
use crate::config::Config;
use crate::failure::{Exit, Failure};
use anyhow::Context as _;
use check::Check;
use clap::{Args, Subcommand};
use load::{Amount, Load, Pace};
use ofs_runtime::context::Context;
use probe::Probe;
use report::Report;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use times::Clock;

/// `ofs bench`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    /// Orders of all clients together; 10000 unless --duration is given.
    #[arg(long, value_name = "N", conflicts_with = "duration",
        value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    orders: Option<u32>,
    /// How long to place orders.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Clients at once, each with one request under way.
    #[arg(long, value_name = "N", default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// Place orders at this rate, whatever the answers take: times count from when an order was due.
    /// Else each client places its next order when the last is answered.
    #[arg(long, value_name = "ORDERS_PER_SECOND", value_parser = super::args::rate)]
    rate: Option<f64>,
    /// Each client places its next order when it has seen the last one's final status.
    #[arg(long, conflicts_with = "rate")]
    follow: bool,
    /// First measure the limits, and show what share of each is reached. The engines are those that are
    /// configured here, so log.url, store.url and index.url must be the server's.
    #[arg(long)]
    limits: bool,
    /// Show each figure beside the one in FILE, which an earlier run wrote with --json.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

/// `ofs bench …`.
#[derive(Clone, Copy, Debug, Subcommand)]
enum BenchCommand {
    /// What the parts do bare: an HTTP server that only answers, and the engines that are configured,
    /// with rows, records and documents of an order's size. In orders a second; writes to tables, topics
    /// and files of its own, and removes them.
    #[command(before_help = "\
Examples:
  ofs bench limits
  OFS_STORE_URL=postgres://ofs@db/ofs … ofs bench limits --json")]
    Limits,
}

impl BenchArgs {
    fn load(&self) -> Load {
        let amount = match (self.orders, self.duration) {
            (None, Some(duration)) => Amount::For(duration),
            (orders, _) => Amount::Orders(u64::from(orders.unwrap_or(10_000))),
        };
        let pace = match (self.rate, self.follow) {
            (Some(rate), _) => Pace::Rate(rate),
            (None, true) => Pace::Final,
            (None, false) => Pace::Answer,
        };
        Load { clients: self.clients, amount, pace }
    }
}

pub(super) async fn run(
    format: Format,
    config: &Config,
    client: &Client,
    args: &BenchArgs,
) -> anyhow::Result<()> {
    if let Some(BenchCommand::Limits) = args.command {
        let limits = limits::measure(config).await?;
        return Ok(output::document(format, &limits::document(&limits))?);
    }
    let earlier = args.compare.as_deref().map(earlier).transpose()?;
    let context = Context::new("bench");
    // Makes the run's orders the only ones of their product, so that they can be counted.
    let product = format!("Bench {}", context.new_id());
    let limits = if args.limits { limits::measure(config).await? } else { Vec::new() };
    let (fsync, server) = (fsync::measure()?, about(client).await?);
    let start = check::start(client, &product).await?;

    let clock = Clock::start(&context);
    let probe = Probe::start(client.clone(), clock);
    let placed = load::run(client, &args.load(), &product, clock).await?;
    let check = Check::of(client, &start, &placed, clock).await?;
    let seen = probe.until(check.end()).await?;
    let found = check::searched(client, &product).await?;

    let report = Report::new(&args.load(), (server, fsync, limits), &placed, &check, &seen, found);
    match format {
        Format::Json => output::json(&report.json())?,
        Format::Text => output::write(&report.text(earlier.as_ref()))?,
    }
    match report.fault() {
        None => Ok(()),
        Some(fault) => Err(Failure::new(Exit::Failed, fault).into()),
    }
}

/// What the server is; null if the key may not ask.
async fn about(client: &Client) -> Result<Value, Failure> {
    match client.get(&["about"], &[]).await {
        Err(failure) if failure.problem["status"] == 403 => Ok(Value::Null),
        told => told,
    }
}

fn earlier(file: &std::path::Path) -> anyhow::Result<Value> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("read {name}"))?;
    serde_json::from_str(&text).with_context(|| format!("{name} is not what --json wrote"))
}
