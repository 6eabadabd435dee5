//! A SQLite database in WAL mode: one writer thread that commits jobs in groups (one fsync for
//! many), and readers apart. It knows nothing of what is stored, and never retries by itself.

use refinery::{Migration, Runner};
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use std::fs::{File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Jobs waiting for the writer before callers wait in line.
const QUEUE: usize = 1024;
/// Jobs in one transaction.
const GROUP: usize = 128;
/// Connections that read at the same time.
const READERS: usize = 4;
/// Pages in the WAL after which it is copied into the database.
const CHECKPOINT_PAGES: i64 = 2_000;
/// Pages in the WAL after which the writer waits for readers, so that the WAL starts over.
const RESTART_PAGES: i64 = 20_000;
/// How long a statement waits for a lock, which only a foreign process can hold.
const BUSY: Duration = Duration::from_secs(5);

/// Which database a file must be.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The file's mark, `PRAGMA application_id`; another one is another program's (or port's) file.
    pub application_id: i32,
    /// `(V<number>__<name>, SQL)`, in order; never changed once released.
    pub migrations: &'static [(&'static str, &'static str)],
}

/// Settings of one database.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The most pages (of 4 KiB) the file may have; beyond that the disk counts as full.
    pub max_pages: Option<u32>,
}

/// Why a database file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made or written to.
    #[error("write to directory {path}: {source}; check that it exists and belongs to this user")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("open {0}: another ofs process is using it; stop that one, or use another directory")]
    InUse(PathBuf),
    /// The file is not ours.
    #[error("open {0}: this is some other program's file; move it away, or use another directory")]
    Foreign(PathBuf),
    /// A newer build has migrated it.
    #[error("open {path}: schema {found} is newer than this build's {known}; use a newer ofs")]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema version in the file.
        found: i32,
        /// The newest schema version of this build.
        known: i32,
    },
    /// A migration failed, or one already applied was changed.
    #[error("migrate {path}: {reason}")]
    Migration {
        /// The file.
        path: PathBuf,
        /// What the migrator said.
        reason: String,
    },
    /// SQLite failed.
    #[error("open {path}: {source}")]
    Engine {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

/// How SQLite failed, by whose fault it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The disk is full; nothing was written.
    #[error("the disk is full")]
    Full,
    /// I/O, memory or a lock: the world's fault, to be tried again.
    #[error("{0}")]
    Unavailable(String),
    /// These values are refused whatever happens.
    #[error("{0}")]
    Refused(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Failure::Full,
            Some(
                ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::TooBig
                | ErrorCode::ParameterOutOfRange
                | ErrorCode::Unknown
                | ErrorCode::ApiMisuse,
            )
            | None => Failure::Refused(error.to_string()),
            Some(_) => Failure::Unavailable(error.to_string()),
        }
    }
}

/// Why a job did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Abort<E> {
    /// The job itself decided so; its changes are undone, its neighbours' stay.
    Because(E),
    /// SQLite failed.
    Failed(Failure),
}

impl<E> From<rusqlite::Error> for Abort<E> {
    fn from(error: rusqlite::Error) -> Self {
        Abort::Failed(error.into())
    }
}

/// What is to be done with a job's changes.
enum Verdict {
    Keep,
    Undo,
    /// The whole group is lost.
    Broken(Failure),
}

type Reply = Box<dyn FnOnce(Result<(), Failure>) + Send>;
type Job = Box<dyn FnOnce(Result<&Connection, Failure>) -> (Verdict, Reply) + Send>;

/// An open database. Dropping it waits for the jobs handed in and closes the file.
#[derive(Debug)]
pub struct Database {
    writer: Writer,
    readers: Arc<Readers>,
    // After the writer, so that the file is closed before another process may open it.
    _lock: File,
}

impl Database {
    /// Opens the database at `path`, made and migrated as needed. Blocks.
    ///
    /// # Errors
    /// If the file cannot be used; the text says what to do.
    pub fn open(path: &Path, schema: &Schema, options: Options) -> Result<Database, OpenError> {
        let lock = lock(path)?;
        let connection = open_writer(path, schema, options)?;
        let readers = Readers {
            path: path.to_owned(),
            idle: Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(READERS)),
        };
        Ok(Database {
            writer: Writer::start(connection).map_err(|source| directory_error(path, source))?,
            readers: Arc::new(readers),
            _lock: lock,
        })
    }

    /// Runs `job` on the writer, in its own savepoint of a transaction it may share with other
    /// jobs; answers when it is durable. Once handed in it runs even if the caller is gone.
    ///
    /// # Errors
    /// What the job answered, or [`Abort::Failed`] if the group could not be committed.
    pub async fn write<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, Abort<E>> + Send + 'static,
    ) -> Result<T, Abort<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        self.writer.write(job).await
    }

    /// Runs `job` on a reader, on one snapshot.
    ///
    /// # Errors
    /// What the job answered, or [`Abort::Failed`].
    pub async fn read<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, Abort<E>> + Send + 'static,
    ) -> Result<T, Abort<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let closed = || Abort::Failed(Failure::Unavailable("the database is closed".to_owned()));
        let permit = Arc::clone(&self.readers.permits).acquire_owned().await;
        let permit = permit.map_err(|_| closed())?;
        let readers = Arc::clone(&self.readers);
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.run(job)
        });
        reading.await.map_err(|_| closed())?
    }
}

fn directory_error(path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Directory { path: path.parent().unwrap_or(path).to_owned(), source }
}

/// Makes the directory and takes the lock file beside `path`; the system frees it with the process.
fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |source| directory_error(path, source);
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options().create(true).truncate(false).write(true).open(name);
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn open_writer(path: &Path, schema: &Schema, options: Options) -> Result<Connection, OpenError> {
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign(path.to_owned()),
        _ => OpenError::Engine { path: path.to_owned(), source },
    };
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    let count = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = connection.query_row(count, [], |row| row.get(0)).map_err(failed)?;
    let mark: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    if mark != schema.application_id {
        if tables > 0 || mark != 0 {
            return Err(OpenError::Foreign(path.to_owned()));
        }
        connection
            .pragma_update(None, "application_id", schema.application_id)
            .map_err(failed)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    // A checkpoint run by SQLite itself would swallow a failed fsync; the writer runs its own.
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
    tune(&connection).map_err(failed)?;
    migrate(path, &mut connection, schema, tables > 0)?;
    if let Some(pages) = options.max_pages {
        connection.pragma_update(None, "max_page_count", pages).map_err(failed)?;
    }
    Ok(connection)
}

fn tune(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -16_384)
}

fn migrate(
    path: &Path,
    connection: &mut Connection,
    schema: &Schema,
    used: bool,
) -> Result<(), OpenError> {
    let failed =
        |reason: String| OpenError::Migration { path: path.to_owned(), reason };
    let migrations: Result<Vec<_>, _> =
        schema.migrations.iter().map(|(name, sql)| Migration::unapplied(name, sql)).collect();
    let migrations = migrations.map_err(|error| failed(error.to_string()))?;
    let known = migrations.iter().map(Migration::version).max().unwrap_or_default();
    let runner = Runner::new(&migrations).set_abort_divergent(true).set_abort_missing(true);
    if used {
        let last = runner.get_last_applied_migration(connection);
        let found = last.ok().flatten().map_or(0, |migration| migration.version());
        if found > known {
            return Err(OpenError::Newer { path: path.to_owned(), found, known });
        }
    }
    runner.run(connection).map_err(|error| failed(error.to_string()))?;
    Ok(())
}

#[derive(Debug)]
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    fn run<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, Abort<E>>,
    ) -> Result<T, Abort<E>> {
        let connection = self.take()?;
        connection.execute_batch("BEGIN")?;
        let result = job(&connection);
        let ended = connection.execute_batch("ROLLBACK");
        let broken = matches!(result, Err(Abort::Failed(Failure::Unavailable(_))));
        if ended.is_ok() && !broken {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        result
    }

    fn take(&self) -> rusqlite::Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(connection) = idle {
            return Ok(connection);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        tune(&connection)?;
        Ok(connection)
    }
}

#[derive(Debug)]
struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(connection: Connection) -> std::io::Result<Writer> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || run(&connection, jobs))?;
        Ok(Writer { queue: Some(queue), thread: Some(thread) })
    }

    async fn write<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, Abort<E>> + Send + 'static,
    ) -> Result<T, Abort<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let closed = || Abort::Failed(Failure::Unavailable("the database is closed".to_owned()));
        let (answer, answered) = oneshot::channel();
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
                let result = group.map_err(Abort::Failed).and(result);
                // The caller may be gone; the change stands.
                let _ = answer.send(result);
            });
            (verdict, reply)
        });
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        queue.send(queued).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }
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

fn run(connection: &Connection, mut jobs: mpsc::Receiver<Job>) {
    let mut checkpointed = 0;
    while let Some(first) = jobs.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
        let (replies, outcome) = commit(connection, group);
        for reply in replies {
            reply(outcome.clone());
        }
        if outcome.is_ok() {
            checkpoint(connection, &mut checkpointed);
        }
    }
}

/// Runs a group in one transaction. The replies are only given once it is durable.
fn commit(connection: &Connection, group: Vec<Job>) -> (Vec<Reply>, Result<(), Failure>) {
    let mut replies = Vec::with_capacity(group.len());
    let mut outcome = execute(connection, "BEGIN IMMEDIATE");
    for job in group {
        if let Err(failure) = &outcome {
            replies.push(job(Err(failure.clone())).1);
            continue;
        }
        let (step, reply) = savepoint(connection, job);
        outcome = step;
        replies.push(reply);
    }
    let outcome = outcome.and_then(|()| execute(connection, "COMMIT"));
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
        Verdict::Undo => execute(connection, "ROLLBACK TO job")
            .and_then(|()| execute(connection, "RELEASE job")),
        Verdict::Broken(failure) => Err(failure),
    };
    (ended, reply)
}

fn execute(connection: &Connection, sql: &str) -> Result<(), Failure> {
    let done = connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
    done.map(|_| ()).map_err(|error| {
        die_of_failed_sync(&error);
        // Here only the engine can be at fault, whatever the code says.
        match Failure::from(error) {
            Failure::Refused(reason) => Failure::Unavailable(reason),
            failure => failure,
        }
    })
}

/// After a failed fsync the system may have dropped the pages and let the next one succeed, so
/// nothing this process believes can be trusted. The WAL is read again by the next process.
fn die_of_failed_sync(error: &rusqlite::Error) {
    const SYNC: [i32; 2] = [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC];
    let code = error.sqlite_error().map(|error| error.extended_code);
    if code.is_some_and(|code| SYNC.contains(&code)) {
        tracing::error!(%error, "fsync failed: this process ends, to start from what is on disk");
        std::process::abort();
    }
}

/// Copies the WAL into the database once it has grown by enough, counted from `last`.
fn checkpoint(connection: &Connection, last: &mut i64) {
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
    let sql = if pages >= RESTART_PAGES {
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
