//! `ofs order import`: the orders of a file, in requests of many. Stopped at any moment, it goes on
//! where it was: what was sent and not noted is sent again under the same idempotency keys.

mod note;
mod rows;

use super::client::Client;
use super::output::{self, Format};
use crate::config::Config;
use crate::failure::{Exit, Failure};
use clap::Args;
use note::Note;
use ofs_runtime::backoff::Backoff;
use rows::{Row, Rows};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Orders of one request.
const AT_ONCE: usize = 1000;
/// How long the server may take none of the orders sent.
const PATIENCE: Duration = Duration::from_secs(60);

/// `ofs order import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Orders: CSV with a first line of names if it ends in .csv, else one JSON object a line.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) async fn run(
    format: Format,
    config: &Config,
    client: &Client,
    args: &ImportArgs,
) -> anyhow::Result<()> {
    let mut rows = Rows::open(&args.file)?;
    let mut note = Note::open(&args.file, &rows.digest()?, &target(config))?;
    rows.skip(note.rows)?;
    let (bar, before) = (output::progress(rows.size()), note.accepted);
    loop {
        let batch = rows.take(AT_ONCE)?;
        if batch.is_empty() {
            break;
        }
        let settled = settle(client, &note, batch).await?;
        note.add(&settled)?;
        bar.set_position(rows.read());
        let rate = output::rate(&bar, note.accepted - before);
        bar.set_message(format!("{} accepted, {} refused, {rate}", note.accepted, note.refused));
    }
    bar.finish_and_clear();
    note.finish()?;
    let refused = note.refusals();
    let file = (note.refused > 0).then(|| refused.display().to_string());
    output::document(
        format,
        &json!({"accepted": note.accepted, "refused": note.refused, "refusedFile": file}),
    )?;
    match file {
        None => Ok(()),
        Some(file) => {
            let detail = format!("{} orders were refused; {file} has them and why", note.refused);
            Err(Failure::new(Exit::Failed, detail).into())
        }
    }
}

/// What tells the server and the key from any others.
fn target(config: &Config) -> String {
    let key = config.api_key.as_deref().unwrap_or_default();
    rows::hex(&Sha256::digest(format!("{} {key}", config.server)))
}

/// A row, and why it was refused if it was.
struct Settled {
    row: Row,
    refused: Option<Value>,
}

/// Sends `rows` until each is accepted or refused.
async fn settle(client: &Client, note: &Note, rows: Vec<Row>) -> Result<Vec<Settled>, Failure> {
    let (mut settled, mut open) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match &row.order {
            Ok(_) => open.push(row),
            Err(reason) => {
                let refused = Some(json!({"detail": reason}));
                settled.push(Settled { row, refused });
            }
        }
    }
    let (mut backoff, mut progress) = (Backoff::world(), Instant::now());
    while !open.is_empty() {
        let lines: String = open.iter().filter_map(|row| note.line(row)).collect();
        let answer = client.post_lines(&["orders", "batch"], lines).await;
        let outcomes = match answer {
            Ok(outcomes) => outcomes,
            Err(failure) if !is_passing(&failure) || progress.elapsed() > PATIENCE => {
                return Err(stopped(&failure, note));
            }
            Err(_) => Vec::new(),
        };
        let before = open.len();
        let mut left = Vec::new();
        let mut outcomes = outcomes.into_iter();
        let mut last = None;
        for row in open {
            match outcomes.next() {
                Some(outcome) if outcome["status"] == 201 => {
                    settled.push(Settled { row, refused: None });
                }
                Some(outcome) if is_final(&outcome) => {
                    let refused = Some(outcome["problem"].clone());
                    settled.push(Settled { row, refused });
                }
                other => {
                    last = other.or(last);
                    left.push(row);
                }
            }
        }
        open = left;
        if open.len() < before {
            (progress, backoff) = (Instant::now(), Backoff::world());
        } else if progress.elapsed() > PATIENCE {
            let why = last.map_or_else(String::new, |outcome| outcome["problem"].to_string());
            return Err(stopped(&Failure::new(Exit::Unreachable, why), note));
        } else {
            backoff.pause().await;
        }
    }
    settled.sort_by_key(|settled| settled.row.number);
    Ok(settled)
}

/// Whether sending the order again would change nothing.
fn is_final(outcome: &Value) -> bool {
    let status = outcome["status"].as_u64().unwrap_or(500);
    let unread = outcome["problem"]["type"] == order_service::UNREAD_LINE.uri;
    (400..500).contains(&status) && ![408, 409, 429].contains(&status) && !unread
}

/// Whether the server may take the request later.
fn is_passing(failure: &Failure) -> bool {
    matches!(failure.exit, Exit::Unreachable | Exit::Timeout)
        || failure.problem["status"] == 429
        || failure.problem["status"] == 500
}

fn stopped(failure: &Failure, note: &Note) -> Failure {
    let detail = format!(
        "{failure}; {} orders were accepted before that: run the same command again to go on",
        note.accepted
    );
    Failure::new(failure.exit, detail)
}
