//! What a retry would do, in words.

use crate::http::App;
use crate::http::dry_run::{DryRun, Would, rehearse};
use ofs_console::order::Change;
use ofs_console::parked;
use ofs_console::words::Tone;
use ofs_runtime::problem::Problem;
use ofs_runtime::store::Parked;
use serde_json::Value;

/// What a retry of `parked` would do now; why there can be none is an answer, too.
pub(super) async fn rehearsed(app: &App, parked: &Parked) -> Result<parked::DryRun, Problem> {
    match rehearse(app, parked.id).await {
        Ok(told) => Ok(said(&parked.owner, told)),
        Err(problem) if problem.status == 409 => {
            Ok(plain(Tone::Warning, format!("It cannot be retried here now: {}.", problem.detail)))
        }
        Err(problem) => Err(problem),
    }
}

fn plain(tone: Tone, text: String) -> parked::DryRun {
    parked::DryRun { tone, text, changes: Vec::new(), events: Vec::new() }
}

fn said(service: &str, told: DryRun) -> parked::DryRun {
    let reason = told.reason.unwrap_or_default();
    match told.outcome {
        Would::Nothing => {
            let text = format!("A retry would change nothing: {service} has nothing to do here.");
            plain(Tone::Good, text)
        }
        Would::Fail => plain(Tone::Bad, format!("A retry would fail: {reason}.")),
        Would::Wait => plain(Tone::Warning, format!("A retry would not decide it now: {reason}.")),
        Would::Change => {
            let (before, after) = (told.before.unwrap_or_default(), told.after.unwrap_or_default());
            let event = |event: &Value| {
                let name = event["eventType"].as_str().unwrap_or_default().to_owned();
                (name, serde_json::to_string_pretty(event).unwrap_or_default())
            };
            parked::DryRun {
                tone: Tone::Good,
                text: format!("A retry would handle it, and change the record of {service}."),
                changes: Change::between(&before, &after),
                events: told.events.iter().map(event).collect(),
            }
        }
    }
}
