//! The one job of this process: each event's turn, one after the other, until the end or until it is
//! cancelled. It lives in memory: what had its turn is done, and the rest stays parked.

use super::{Action, Came, JobState, JobView, Turn};
use crate::http::App;
use ofs_runtime::context::Context;
use ofs_runtime::parked::{Discarded, Retried, Retrier};
use ofs_runtime::problem::Problem;
use ofs_runtime::store::{Error, ParkedState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// The job that goes on, or the last one. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Jobs(Arc<Mutex<Option<Job>>>);

type Job = (JobView, CancellationToken);

fn free(job: Option<&Job>) -> Result<(), Problem> {
    match job {
        Some((JobView { state: JobState::Running, .. }, _)) => {
            Err(Problem::conflict("a job goes on; wait for its end, or cancel it"))
        }
        _ => Ok(()),
    }
}

impl Jobs {
    /// The job that goes on, or the last one.
    #[must_use]
    pub fn latest(&self) -> Option<JobView> {
        self.lock().as_ref().map(|(job, _)| job.clone())
    }

    /// Refuses while a job goes on.
    pub(super) fn is_free(&self) -> Result<(), Problem> {
        free(self.lock().as_ref())
    }

    /// Begins `job`, which gives each of `ids` its turn, unless one goes on. From here to its end
    /// nothing is awaited but in its own task.
    pub(super) fn begin(&self, app: &App, ids: Vec<u64>, job: JobView) -> Result<JobView, Problem> {
        let job = JobView { total: ids.len(), ..job };
        let stop = app.draining.child_token();
        {
            let mut latest = self.lock();
            free(latest.as_ref())?;
            *latest = Some((job.clone(), stop.clone()));
        }
        let (kept, retrier) = (self.clone(), app.retrier.clone());
        let (action, because) = (job.action, job.because.clone());
        tokio::spawn(async move {
            // Whatever ends it early, even a panic, ends the state of going on.
            let ends = Ends(kept.clone());
            let (state, error) = kept.work(&retrier, action, &because, ids, &stop).await;
            kept.end(state, error);
            drop(ends);
        });
        Ok(job)
    }

    /// Lets the job that goes on end before the next event's turn.
    pub(super) fn cancel(&self) {
        if let Some((_, stop)) = &*self.lock() {
            stop.cancel();
        }
    }

    async fn work(
        &self,
        retrier: &Retrier,
        action: Action,
        because: &str,
        ids: Vec<u64>,
        stop: &CancellationToken,
    ) -> (JobState, Option<String>) {
        for id in ids {
            if stop.is_cancelled() {
                return (JobState::Cancelled, None);
            }
            let came = match action {
                Action::Retry => retrier.retry(id).await.map(retried),
                Action::Discard => discard(retrier, id, because).await,
            };
            match came {
                Ok((outcome, reason)) => self.told(Turn { id, outcome, reason }),
                Err(error) => return (JobState::Failed, Some(error.to_string())),
            }
        }
        (JobState::Done, None)
    }

    fn told(&self, turn: Turn) {
        if let Some((job, _)) = &mut *self.lock() {
            job.turns.push(turn);
        }
    }

    fn end(&self, state: JobState, error: Option<String>) {
        if let Some((job, _)) = &mut *self.lock()
            && job.state == JobState::Running
        {
            (job.state, job.error) = (state, error);
            job.ended_at = Some(Context::new("jobs").now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Ends(Jobs);

impl Drop for Ends {
    fn drop(&mut self) {
        let broken = "it was broken off; the server's log says why";
        self.0.end(JobState::Failed, Some(broken.to_owned()));
    }
}

fn skipped(why: &str) -> (Came, Option<String>) {
    (Came::Skipped, Some(why.to_owned()))
}

const BUSY: &str = "it is being retried right now";
const GONE: &str = "it no longer exists";

fn closed(state: ParkedState) -> (Came, Option<String>) {
    match state {
        ParkedState::Parked => skipped("it is not open"),
        ParkedState::Resolved => skipped("it was resolved meanwhile"),
        ParkedState::Discarded => skipped("it was discarded meanwhile"),
    }
}

fn retried(retried: Retried) -> (Came, Option<String>) {
    match retried {
        Retried::Resolved => (Came::Resolved, None),
        Retried::Failed { reason } => (Came::Failed, Some(reason)),
        Retried::Busy => skipped(BUSY),
        Retried::Unknown => skipped(GONE),
        Retried::Closed(state) => closed(state),
        Retried::Behind(head) => skipped(&format!("parked event {head} has to go first")),
        Retried::Elsewhere { owner } => skipped(&format!("{owner} does not run in this process")),
    }
}

async fn discard(
    retrier: &Retrier,
    id: u64,
    because: &str,
) -> Result<(Came, Option<String>), Error> {
    Ok(match retrier.discard(id, because.to_owned()).await? {
        Discarded::Done => (Came::Discarded, None),
        Discarded::Busy => skipped(BUSY),
        Discarded::Closed(state) => closed(state),
        Discarded::Unknown => skipped(GONE),
    })
}
