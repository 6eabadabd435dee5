//! A job in words: how far it is, or what came of it.

use crate::http::jobs::{Action, Came, JobState, JobView};
use ofs_console::index::Progress;
use ofs_console::parked::Job;
use ofs_console::words::{Age, Count, Moment, Tone, counted};
use ofs_events::Timestamp;

/// Events that are shown, of those that were not dealt with.
const SHOWN: usize = 100;

#[expect(clippy::cast_precision_loss, reason = "at most some thousand events")]
pub(super) fn shown(job: &JobView, now: Timestamp) -> Job {
    let (done, total) = (job.turns.len(), job.total);
    let seconds = job.ended_at.unwrap_or(now).seconds_since(job.started_at);
    let left =
        (done > 0 && total > done).then(|| Age(seconds / done as f64 * (total - done) as f64));
    let what = match job.action {
        Action::Retry => "Retry",
        Action::Discard => "Discard",
    };
    let (tone, state) = match (job.state, &job.error) {
        (JobState::Running, _) => (Tone::Waiting, "goes on".to_owned()),
        (JobState::Done, _) if count(job, Came::Failed) > 0 => {
            (Tone::Warning, "is done".to_owned())
        }
        (JobState::Done, _) => (Tone::Good, "is done".to_owned()),
        (JobState::Cancelled, _) => (Tone::Warning, "was cancelled".to_owned()),
        (JobState::Failed, error) => {
            (Tone::Bad, format!("could not go on: {}", error.as_deref().unwrap_or_default()))
        }
    };
    let open = job.turns.iter().filter(|turn| turn.reason.is_some());
    let open = open.map(|turn| (turn.id, turn.reason.clone().unwrap_or_default()));
    Job {
        tone,
        title: format!("{what} of {} ({}) {state}", events(total), job.chosen),
        by: job.by.clone(),
        because: job.because.clone(),
        started: Moment(job.started_at),
        outcome: outcome(job),
        running: job.state == JobState::Running,
        progress: Progress {
            what: "events",
            done: Count(done as u64),
            of: Count(total as u64),
            took: Age(seconds),
            left,
        },
        open: open.take(SHOWN).collect(),
    }
}

fn count(job: &JobView, came: Came) -> usize {
    job.turns.iter().filter(|turn| turn.outcome == came).count()
}

fn events(number: usize) -> String {
    counted(number as u64, "event", "events")
}

fn outcome(job: &JobView) -> String {
    let all = [
        (Came::Resolved, "handled"),
        (Came::Failed, "failed again"),
        (Came::Discarded, "discarded"),
        (Came::Skipped, "left alone"),
    ];
    let counts = all.iter().map(|(came, words)| (count(job, *came), *words));
    let left = (job.total - job.turns.len(), "without a turn");
    let ended = job.state != JobState::Running;
    let said = counts.chain(ended.then_some(left)).filter(|(number, _)| *number > 0);
    said.map(|(number, words)| format!("{} {words}", events(number))).collect::<Vec<_>>().join(", ")
}
