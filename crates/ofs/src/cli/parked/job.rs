//! A job on parked events: begun, followed to its end, and what came of each event.

use crate::cli::client::Client;
use crate::cli::output::{self, Format, text};
use crate::failure::{Exit, Failure};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::time::Duration;

/// How often to ask how far it is.
const PAUSE: Duration = Duration::from_millis(200);

/// Begins `job` and stays until it ends.
///
/// # Errors
/// If it cannot begin, does not end in good order, or leaves an event that failed again.
pub(super) async fn run(format: Format, client: &Client, job: &Value) -> anyhow::Result<()> {
    let begun = client.post(&["parked", "job"], &[], Some(job)).await?;
    let ended = followed(client, &begun).await?;
    let [resolved, failed, skipped] =
        ["resolved", "failed", "skipped"].map(|outcome| count(&ended, outcome));
    let told = json!({ "resolved": resolved, "failed": failed, "skipped": skipped,
        "turns": ended["turns"] });
    match format {
        Format::Json => output::json(&told)?,
        Format::Text => table(&told)?,
    }
    if ended["more"] == true {
        output::note("there are more; run this again");
    }
    if ended["state"] != "done" {
        let why = ended["error"].as_str().unwrap_or("it was cancelled");
        let detail = format!("not every event had its turn: {why}; what had none stays parked");
        return Err(Failure::new(Exit::Failed, detail).into());
    }
    if failed > 0 {
        let detail = format!("{failed} of the events failed again and stay parked");
        return Err(Failure::new(Exit::Failed, detail).into());
    }
    Ok(())
}

fn turns(job: &Value) -> &[Value] {
    job["turns"].as_array().map_or(&[], Vec::as_slice)
}

fn count(job: &Value, outcome: &str) -> usize {
    turns(job).iter().filter(|turn| turn["outcome"] == outcome).count()
}

async fn followed(client: &Client, begun: &Value) -> Result<Value, Failure> {
    let bar = output::progress(begun["total"].as_u64().unwrap_or_default());
    loop {
        let latest = client.get(&["parked", "job"], &[]).await?;
        let job = &latest["job"];
        if job["startedAt"] != begun["startedAt"] {
            let detail = "the process that does the job does not answer any more; \
                          what had no turn stays parked";
            return Err(Failure::new(Exit::Failed, detail));
        }
        if !job["endedAt"].is_null() {
            bar.finish_and_clear();
            return Ok(job.clone());
        }
        tell(&bar, turns(job).len() as u64);
        tokio::time::sleep(PAUSE).await;
    }
}

/// On a terminal as a bar, else as a line.
fn tell(bar: &ProgressBar, done: u64) {
    let told = format!("{done} of {} events", bar.length().unwrap_or_default());
    if bar.is_hidden() && done > bar.position() {
        output::note(&told);
    }
    bar.set_position(done);
    bar.set_message(format!("{told}, {}", output::rate(bar, done)));
}

fn table(told: &Value) -> anyhow::Result<()> {
    let left = turns(told).iter().filter(|turn| turn["outcome"] != "resolved");
    let row = |turn| ["/id", "/outcome", "/reason"].map(|member| text(turn, member)).to_vec();
    let rows: Vec<_> = left.map(row).collect();
    let counts = ["resolved", "failed", "skipped"].map(|name| format!("{name}: {}", told[name]));
    output::write(&(counts.join("\n") + "\n"))?;
    if !rows.is_empty() {
        output::list(Format::Text, told, &["id", "outcome", "reason"], &rows)?;
    }
    Ok(())
}
