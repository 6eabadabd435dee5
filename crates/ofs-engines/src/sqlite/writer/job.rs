//! One job of the writer: its statements, what came of them, and who is told.

use super::{Abort, Failure, closed};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is to be done with a job's changes.
pub(super) enum Verdict {
    Keep,
    Undo,
    /// The whole group is lost.
    Broken(Failure),
}

/// Runs as often as it has to, and answers once.
pub(super) trait Job: Send {
    fn run(&mut self, connection: &Connection) -> Verdict;

    /// Tells the result, or why the group has none.
    fn answer(self: Box<Self>, group: Result<(), Failure>);
}

struct Queued<J, N, T, E> {
    job: J,
    then: N,
    result: Option<Result<T, Abort<E>>>,
}

/// `job`, after which `then` is told its result.
pub(super) fn queued<T: Send + 'static, E: Send + 'static>(
    job: impl FnMut(&Connection) -> Result<T, Abort<E>> + Send + 'static,
    then: impl FnOnce(Result<T, Abort<E>>) + Send + 'static,
) -> Box<dyn Job> {
    Box::new(Queued { job, then, result: None })
}

impl<J, N, T, E> Job for Queued<J, N, T, E>
where
    J: FnMut(&Connection) -> Result<T, Abort<E>> + Send,
    N: FnOnce(Result<T, Abort<E>>) + Send,
    T: Send,
    E: Send,
{
    fn run(&mut self, connection: &Connection) -> Verdict {
        let job = &mut self.job;
        let result = catch_unwind(AssertUnwindSafe(|| job(connection))).unwrap_or_else(|_| {
            Err(Abort::Failed(Failure::Refused("the job panicked".to_owned())))
        });
        let verdict = match &result {
            Ok(_) => Verdict::Keep,
            Err(Abort::Because(_) | Abort::Failed(Failure::Refused(_))) => Verdict::Undo,
            Err(Abort::Failed(failure)) => Verdict::Broken(failure.clone()),
        };
        self.result = Some(result);
        verdict
    }

    fn answer(self: Box<Self>, group: Result<(), Failure>) {
        let Self { job, then, result } = *self;
        // What it holds goes before anyone hears of the result.
        drop(job);
        // A decision of a lost group may rest on a neighbour's change that never was.
        let result = result.unwrap_or_else(|| Err(Abort::Failed(closed())));
        then(group.map_err(Abort::Failed).and(result));
    }
}
