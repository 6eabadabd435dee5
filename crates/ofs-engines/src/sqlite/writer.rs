//! The writer thread: takes what jobs are waiting, runs them in one transaction, answers when it
//! is durable. It also copies the WAL into the database, so that the WAL stays bounded.

use super::damage::Damage;
use super::{Abort, Failure, die_of_failed_sync};
use ofs_runtime::{crash, task};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// Jobs waiting for the writer before callers wait in line.
const QUEUE: usize = 1024;
/// Jobs in one transaction.
const GROUP: usize = 128;
/// Pages in the WAL after which it is copied into the database.
const CHECKPOINT_PAGES: i64 = 2_000;
/// Pages in the WAL after which the writer waits for readers, so that the WAL starts over.
const RESTART_PAGES: i64 = 20_000;

/// The name of the thread.
const NAME: &str = "sqlite-writer";

/// What is to be done with a job's changes.
enum Verdict {
    Keep,
    Undo,
    /// The whole group is lost.
    Broken(Failure),
}

type Reply = Box<dyn FnOnce(Result<(), Failure>) + Send>;
type Job = Box<dyn FnOnce(Result<&Connection, Failure>) -> (Verdict, Reply) + Send>;

#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, damage: Arc<Damage>) -> std::io::Result<Writer> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name(NAME.to_owned())
            .spawn(move || task::guard_thread(NAME, || run(&connection, &damage, jobs)))?;
        Ok(Writer { queue: Some(queue), thread: Some(thread) })
    }

    pub(super) async fn write<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, Abort<E>> + Send + 'static,
    ) -> Result<T, Abort<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let send = move |result| {
            // The caller may be gone; the change stands.
            let _ = answer.send(result);
        };
        self.write_then(job, send).await.map_err(Abort::Failed)?;
        answered.await.map_err(|_| Abort::Failed(closed()))?
    }

    pub(super) async fn write_then<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, Abort<E>> + Send + 'static,
        then: impl FnOnce(Result<T, Abort<E>>) + Send + 'static,
    ) -> Result<(), Failure>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let queued: Job = Box::new(move |connection| {
            let result = match connection {
                Ok(connection) => catch_unwind(AssertUnwindSafe(|| job(connection)))
                    .unwrap_or_else(|_| {
                        Err(Abort::Failed(Failure::Refused("the job panicked".to_owned())))
                    }),
                Err(failure) => Err(Abort::Failed(failure)),
            };
            let verdict = match &result {
                Ok(_) => Verdict::Keep,
                Err(Abort::Because(_) | Abort::Failed(Failure::Refused(_))) => Verdict::Undo,
                Err(Abort::Failed(failure)) => Verdict::Broken(failure.clone()),
            };
            let reply: Reply = Box::new(move |group| {
                // A decision of a lost group may rest on a neighbour's change that never was.
                then(group.map_err(Abort::Failed).and(result));
            });
            (verdict, reply)
        });
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        queue.send(queued).await.map_err(|_| closed())
    }
}

fn closed() -> Failure {
    Failure::Unavailable("the database is closed".to_owned())
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It panics only where it could not have answered anyway.
            let _ = thread.join();
        }
    }
}

fn run(connection: &Connection, damage: &Damage, mut jobs: mpsc::Receiver<Job>) {
    let mut checkpointed = 0;
    while let Some(first) = jobs.blocking_recv() {
        crash::task(NAME);
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
        let (replies, outcome) = commit(connection, damage, group);
        #[cfg(debug_assertions)]
        super::plans::check(connection);
        if let Err(Failure::Damaged(words)) = &outcome {
            damage.note(words);
        }
        for reply in replies {
            reply(outcome.clone());
        }
        if outcome.is_ok() {
            checkpoint(connection, damage, &mut checkpointed);
        }
    }
}

/// Runs a group in one transaction. The replies are only given once it is durable, in a file that is
/// still in its place.
fn commit(
    connection: &Connection,
    damage: &Damage,
    group: Vec<Job>,
) -> (Vec<Reply>, Result<(), Failure>) {
    let mut replies = Vec::with_capacity(group.len());
    let sound = || damage.known().map_or(Ok(()), |words| Err(Failure::Damaged(words)));
    let mut outcome = sound().and_then(|()| execute(connection, "BEGIN IMMEDIATE"));
    for job in group {
        if let Err(failure) = &outcome {
            replies.push(job(Err(failure.clone())).1);
            continue;
        }
        let (step, reply) = savepoint(connection, job);
        outcome = step;
        replies.push(reply);
    }
    let outcome = outcome.and_then(|()| execute(connection, "COMMIT")).and_then(|()| sound());
    if outcome.is_err() && !connection.is_autocommit() {
        // Nothing to do if even this fails: the next BEGIN fails too, and says so.
        let _ = execute(connection, "ROLLBACK");
    }
    (replies, outcome)
}

fn savepoint(connection: &Connection, job: Job) -> (Result<(), Failure>, Reply) {
    if let Err(failure) = execute(connection, "SAVEPOINT job") {
        let (_, reply) = job(Err(failure.clone()));
        return (Err(failure), reply);
    }
    let (verdict, reply) = job(Ok(connection));
    let ended = match verdict {
        Verdict::Keep => execute(connection, "RELEASE job"),
        Verdict::Undo => {
            execute(connection, "ROLLBACK TO job").and_then(|()| execute(connection, "RELEASE job"))
        }
        Verdict::Broken(failure) => Err(failure),
    };
    (ended, reply)
}

fn execute(connection: &Connection, sql: &str) -> Result<(), Failure> {
    let done = connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
    done.map(|_| ()).map_err(|error| {
        // Here only the engine can be at fault, whatever the code says.
        match Failure::from(error) {
            Failure::Refused(reason) => Failure::Unavailable(reason),
            failure => failure,
        }
    })
}

/// Copies the WAL into the database once it has grown by enough, counted from `last`.
fn checkpoint(connection: &Connection, damage: &Damage, last: &mut i64) {
    let pages = match wal_checkpoint(connection, "PRAGMA wal_checkpoint(NOOP)") {
        Ok(pages) => pages,
        Err(error) => return tracing::warn!(%error, "cannot read the size of the WAL"),
    };
    if pages < *last {
        *last = 0;
    }
    if pages - *last < CHECKPOINT_PAGES {
        return;
    }
    let sql = if pages >= RESTART_PAGES && !damage.is_looking() {
        "PRAGMA wal_checkpoint(RESTART)"
    } else {
        "PRAGMA wal_checkpoint(PASSIVE)"
    };
    match wal_checkpoint(connection, sql) {
        Ok(pages) => *last = pages,
        Err(error) => {
            die_of_failed_sync(&error);
            *last = pages;
            tracing::warn!(%error, "the WAL could not be copied; it will be tried again");
        }
    }
}

fn wal_checkpoint(connection: &Connection, sql: &str) -> rusqlite::Result<i64> {
    connection.prepare_cached(sql)?.query_row([], |row| row.get(1))
}
