//! The writer thread: takes what jobs are waiting, runs them in one transaction, answers when it
//! is durable. It also copies the WAL into the database, so that the WAL stays bounded.

mod job;
mod line;

use super::damage::Damage;
use super::{Abort, Failure, die_of_failed_sync};
use job::{Job, Verdict, queued};
pub(crate) use line::Precedence;
use line::{Line, Patient, Transaction};
use ofs_runtime::{crash, task};
use rusqlite::Connection;
use rusqlite::hooks::Wal;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Jobs waiting for the writer before callers wait in line.
const QUEUE: usize = 1024;
/// How long a job that may wait waits for one that may not.
const PATIENCE: Duration = Duration::from_millis(10);
/// Pages in the WAL after which it is copied into the database.
const CHECKPOINT_PAGES: i64 = 2_000;
/// Pages in the WAL after which the writer waits for readers, so that the WAL starts over.
const RESTART_PAGES: i64 = 20_000;

/// The name of the thread.
const NAME: &str = "sqlite-writer";

/// Where a result arrives.
type Answer<A, E> = oneshot::Receiver<Result<A, Abort<E>>>;

#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<(Precedence, Box<dyn Job>)>>,
    patient: Patient,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        mut connection: Connection,
        damage: Arc<Damage>,
    ) -> std::io::Result<Writer> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let patient = Patient::default();
        let line = Line::new(jobs, patient.clone());
        let thread = std::thread::Builder::new().name(NAME.to_owned()).spawn(move || {
            let wal = WalPages::of(&mut connection);
            task::guard_thread(NAME, || run(&connection, &damage, line, wal));
        })?;
        Ok(Writer { queue: Some(queue), patient, thread: Some(thread) })
    }

    pub(super) async fn write<T, A, E>(
        &self,
        precedence: Precedence,
        job: impl FnMut(&Connection) -> Result<T, Abort<E>> + Send + 'static,
        then: impl FnOnce(T) -> A + Send + 'static,
    ) -> Result<A, Abort<E>>
    where
        T: Send + 'static,
        A: Send + 'static,
        E: Send + 'static,
    {
        let (job, mut answered) = answering(job, then);
        if precedence == Precedence::Along {
            self.patient.push(job);
            if let Ok(answer) = tokio::time::timeout(PATIENCE, &mut answered).await {
                return answer.map_err(|_| Abort::Failed(closed()))?;
            }
            let nothing = queued(|_| Ok::<_, Abort<E>>(()), |_| ());
            self.hand_in(precedence, nothing).await.map_err(Abort::Failed)?;
        } else {
            self.hand_in(precedence, job).await.map_err(Abort::Failed)?;
        }
        answered.await.map_err(|_| Abort::Failed(closed()))?
    }

    pub(super) async fn write_then<T, E>(
        &self,
        job: impl FnMut(&Connection) -> Result<T, Abort<E>> + Send + 'static,
        then: impl FnOnce(Result<T, Abort<E>>) + Send + 'static,
    ) -> Result<(), Failure>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        self.hand_in(Precedence::InLine, queued(job, then)).await
    }

    async fn hand_in(&self, precedence: Precedence, job: Box<dyn Job>) -> Result<(), Failure> {
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        queue.send((precedence, job)).await.map_err(|_| closed())
    }
}

/// `job`, and where what `then` makes of its result arrives.
fn answering<T, A, E>(
    job: impl FnMut(&Connection) -> Result<T, Abort<E>> + Send + 'static,
    then: impl FnOnce(T) -> A + Send + 'static,
) -> (Box<dyn Job>, Answer<A, E>)
where
    T: Send + 'static,
    A: Send + 'static,
    E: Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    let send = move |result: Result<T, Abort<E>>| {
        // The caller may be gone; the change stands.
        let _ = answer.send(result.map(then));
    };
    (queued(job, send), answered)
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

fn run(connection: &Connection, damage: &Damage, mut line: Line, mut wal: WalPages) {
    while line.wait() {
        crash::task(NAME);
        commit_and_answer(connection, damage, &mut line);
        wal.checkpoint(connection, damage);
    }
}

/// Answers only once the group is durable, in a file that is still in its place.
fn commit_and_answer(connection: &Connection, damage: &Damage, line: &mut Line) {
    let mut group = Vec::new();
    let sound = || damage.known().map_or(Ok(()), |words| Err(Failure::Damaged(words)));
    let outcome =
        sound().and_then(|()| commit(connection, line, &mut group)).and_then(|()| sound());
    if outcome.is_err() && !connection.is_autocommit() {
        // Nothing to do if even this fails: the next BEGIN fails too, and says so.
        let _ = execute(connection, "ROLLBACK");
    }
    #[cfg(debug_assertions)]
    super::plans::check(connection);
    if let Err(Failure::Damaged(words)) = &outcome {
        damage.note(words);
    }
    if group.is_empty() {
        // Not even a transaction could begin.
        group = line.all();
    }
    for job in group {
        job.answer(outcome.clone());
    }
}

/// Runs a group in one transaction. That a job undoes its changes is rare: then all of them run once
/// more, each in a savepoint of its own, which costs a fifth of the writer's time.
fn commit(
    connection: &Connection,
    line: &mut Line,
    group: &mut Vec<Box<dyn Job>>,
) -> Result<(), Failure> {
    execute(connection, "BEGIN IMMEDIATE")?;
    if !fill(connection, line, group)? {
        execute(connection, "ROLLBACK")?;
        execute(connection, "BEGIN IMMEDIATE")?;
        group.iter_mut().try_for_each(|job| alone(connection, &mut **job))?;
    }
    execute(connection, "COMMIT")
}

/// Runs the jobs whose turn it is; `false` as soon as one of them has to be undone.
fn fill(
    connection: &Connection,
    line: &mut Line,
    group: &mut Vec<Box<dyn Job>>,
) -> Result<bool, Failure> {
    let mut transaction = Transaction::default();
    while let Some(mut job) = line.next(&mut transaction) {
        let verdict = job.run(connection);
        group.push(job);
        match verdict {
            Verdict::Keep => {}
            Verdict::Undo => return Ok(false),
            Verdict::Broken(failure) => return Err(failure),
        }
    }
    Ok(true)
}

fn alone(connection: &Connection, job: &mut dyn Job) -> Result<(), Failure> {
    execute(connection, "SAVEPOINT job")?;
    match job.run(connection) {
        Verdict::Keep => {}
        Verdict::Undo => execute(connection, "ROLLBACK TO job")?,
        Verdict::Broken(failure) => return Err(failure),
    }
    execute(connection, "RELEASE job")
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

/// How long the WAL is.
struct WalPages {
    /// As of the last commit.
    now: Arc<AtomicI64>,
    /// What a checkpoint has copied of it.
    copied: i64,
}

impl WalPages {
    fn of(connection: &mut Connection) -> Self {
        let now = Arc::new(AtomicI64::new(0));
        let seen = Arc::clone(&now);
        let note = move |_: &mut Wal, pages| {
            seen.store(i64::from(pages), Ordering::Relaxed);
            Ok(())
        };
        if let Err(error) = connection.wal_hook(Some(note)) {
            tracing::warn!(%error, "the size of the WAL will not be known");
        }
        Self { now, copied: 0 }
    }

    /// Copies the WAL into the database once it has grown by enough.
    fn checkpoint(&mut self, connection: &Connection, damage: &Damage) {
        let pages = self.now.load(Ordering::Relaxed);
        if pages < self.copied {
            self.copied = 0;
        }
        if pages - self.copied < CHECKPOINT_PAGES {
            return;
        }
        let sql = if pages >= RESTART_PAGES && !damage.is_looking() {
            "PRAGMA wal_checkpoint(RESTART)"
        } else {
            "PRAGMA wal_checkpoint(PASSIVE)"
        };
        let checkpoint = connection.prepare_cached(sql);
        match checkpoint.and_then(|mut sql| sql.query_row([], |row| row.get(1))) {
            Ok(pages) => self.copied = pages,
            Err(error) => {
                die_of_failed_sync(&error);
                self.copied = pages;
                tracing::warn!(%error, "the WAL could not be copied; it will be tried again");
            }
        }
    }
}
