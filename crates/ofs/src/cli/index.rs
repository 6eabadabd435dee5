//! `ofs index`: status, rebuild, verify, and the documents that it refuses.

use super::client::Client;
use super::order::{items, next_page};
use super::output::{self, Format};
use crate::failure::{Exit, Failure};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::Value;
use std::time::Duration;

/// How often the state of a rebuild is asked for.
const PAUSE: Duration = Duration::from_millis(500);

/// `ofs index …`.
#[derive(Debug, Subcommand)]
pub enum IndexCommand {
    /// What the index holds, and what it has not got yet.
    #[command(before_help = "\
Examples:
  ofs index status
  ofs index status --json | jq .owed")]
    Status,
    /// Rebuild the index beside the old one, which answers searches until the new one is complete.
    #[command(before_help = "\
Examples:
  ofs index rebuild                      begin, and leave it to the server
  ofs index rebuild --wait               stay until it is done, exit code 6 after --timeout")]
    Rebuild(RebuildArgs),
    /// Compare every document with its order; exit code 1 if they differ, or some are refused.
    #[command(before_help = "\
Examples:
  ofs index verify
  ofs index verify --json | jq .differences")]
    Verify(VerifyArgs),
    /// Orders whose document the index refuses, and why.
    #[command(before_help = "\
Examples:
  ofs index refused
  ofs index refused --retry              have all of them pushed again")]
    Refused(RefusedArgs),
}

/// `ofs index refused`.
#[derive(Debug, Args)]
pub struct RefusedArgs {
    /// Have all of them pushed again.
    #[arg(long, conflicts_with_all = ["limit", "cursor"])]
    retry: bool,
    /// How many, 1 to 200.
    #[arg(long)]
    limit: Option<u16>,
    /// The next page, as the page before names it.
    #[arg(long)]
    cursor: Option<String>,
}

/// `ofs index rebuild`.
#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// Stay until it is done.
    #[arg(long)]
    wait: bool,
    /// How long to stay.
    #[arg(long, value_name = "TIME", default_value = "1h", requires = "wait",
        value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// `ofs index verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// How long it may take; exit code 6 when it is over.
    #[arg(long, value_name = "TIME", default_value = "1h",
        value_parser = humantime::parse_duration)]
    timeout: Duration,
}

pub(super) async fn run(
    format: Format,
    client: &Client,
    command: &IndexCommand,
) -> anyhow::Result<()> {
    match command {
        IndexCommand::Status => Ok(output::document(format, &client.get(&["index"], &[]).await?)?),
        IndexCommand::Rebuild(args) => {
            let began = client.post(&["index", "rebuild"], &[], None).await?;
            if !args.wait {
                return Ok(output::document(format, &began)?);
            }
            let done = tokio::time::timeout(args.timeout, finished(client)).await;
            let state = done.map_err(|_| {
                let waited = humantime::format_duration(args.timeout);
                let detail = format!(
                    "the index is not complete after {waited}; the server goes on, \
                     `ofs index status` shows how far it is"
                );
                Failure::new(Exit::Timeout, detail)
            })??;
            Ok(output::document(format, &state)?)
        }
        IndexCommand::Verify(args) => {
            let patient = client.with_patience(args.timeout);
            let spinner = output::spinner("comparing every order with its document");
            let found = patient.post(&["index", "verify"], &[], None).await;
            spinner.finish_and_clear();
            let found = found?;
            output::document(format, &found)?;
            if found.get("differences").and_then(Value::as_u64) != Some(0) {
                let detail =
                    "the index is not what the orders say; `ofs index rebuild` makes it so";
                return Err(Failure::new(Exit::Failed, detail).into());
            }
            let refused = output::text(&found, "/refused");
            if refused != "0" {
                let detail =
                    format!("the index refuses {refused} orders; `ofs index refused` lists them");
                return Err(Failure::new(Exit::Failed, detail).into());
            }
            Ok(())
        }
        IndexCommand::Refused(args) if args.retry => {
            let again = client.post(&["index", "refused", "retry"], &[], None).await?;
            Ok(output::document(format, &again)?)
        }
        IndexCommand::Refused(args) => refused(format, client, args).await,
    }
}

async fn refused(format: Format, client: &Client, args: &RefusedArgs) -> anyhow::Result<()> {
    let query =
        [("limit", args.limit.map(|limit| limit.to_string())), ("cursor", args.cursor.clone())];
    let page = client.get(&["index", "refused"], &query).await?;
    let row = |refused: &Value| {
        ["/order", "/version", "/since", "/reason"]
            .map(|member| output::text(refused, member))
            .to_vec()
    };
    let rows: Vec<_> = items(&page, "refused").map(row).collect();
    output::list(format, &page, &["order", "version", "since", "reason"], &rows)?;
    if format == Format::Text {
        next_page(&page);
    }
    Ok(())
}

async fn finished(client: &Client) -> Result<Value, Failure> {
    let (bar, mut said) = (output::progress(0), None);
    loop {
        let state = client.get(&["index"], &[]).await?;
        if state.get("building").is_none_or(Value::is_null) {
            bar.finish_and_clear();
            return Ok(state);
        }
        let owed = state.get("owed").and_then(Value::as_u64);
        if owed != said {
            said = owed;
            tell(&bar, owed.unwrap_or_default());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// On a terminal as a bar, else as a line. More is owed while what there is is still being listed.
fn tell(bar: &ProgressBar, owed: u64) {
    let to_go = format!("{owed} documents to go");
    if bar.is_hidden() {
        output::note(&format!("building, {to_go}"));
    } else {
        bar.set_length(owed.max(bar.length().unwrap_or_default()));
        bar.set_position(bar.length().unwrap_or_default() - owed);
        bar.set_message(format!("{to_go}, {}", output::rate(bar, bar.position())));
    }
}
