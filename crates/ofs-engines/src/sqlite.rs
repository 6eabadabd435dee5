//! A SQLite database in WAL mode: one writer thread that commits jobs in groups (one fsync for
//! many), and readers apart. It knows nothing of what is stored, and never retries by itself.

mod bare;
mod damage;
mod open;
#[cfg(debug_assertions)]
mod plans;
mod writer;

pub use bare::bare;
pub use open::OpenError;

use damage::Damage;
use ofs_runtime::context::Clock;
use ofs_runtime::task;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
pub(crate) use writer::Precedence;
use writer::Writer;

/// Connections that read at the same time.
const READERS: usize = 4;
/// In KiB, negative as SQLite wants it. What a reader keeps is void once somebody has written.
const READER_CACHE: i64 = -2_048;

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
    /// What time it is in the database.
    pub clock: Clock,
}

/// How SQLite failed, by whose fault it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The disk is full; nothing was written.
    #[error("the disk is full")]
    Full,
    /// I/O, memory or a lock: the world's fault, to be retried.
    #[error("{0}")]
    Unavailable(String),
    /// The file is not what was written to it.
    #[error("{0}")]
    Damaged(String),
    /// These values are refused whatever happens.
    #[error("{0}")]
    Refused(String),
}

/// The library's name and version.
pub(crate) fn engine() -> String {
    format!("SQLite {}", rusqlite::version())
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        die_of_failed_sync(&error);
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Failure::Full,
            _ if is_damage(&error) => Failure::Damaged(error.to_string()),
            Some(
                ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::TooBig
                | ErrorCode::ParameterOutOfRange
                | ErrorCode::Unknown
                | ErrorCode::ApiMisuse,
            )
            | None => Failure::Refused(error.to_string()),
            Some(_) => Failure::Unavailable(open::words(&error)),
        }
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Everything that is wrong with the database at `path`, in SQLite's words; nothing if it is sound.
/// Reads the whole file. Blocks.
///
/// # Errors
/// If the file cannot be read at all.
pub fn check(path: &Path) -> Result<Vec<String>, rusqlite::Error> {
    match damage::check(path, "PRAGMA integrity_check") {
        Err(error) if is_damage(&error) => Ok(vec![error.to_string()]),
        result => result,
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

/// An open database. Dropping it waits for the jobs handed in and closes the file.
#[derive(Debug)]
pub struct Database {
    writer: Writer,
    readers: Arc<Readers>,
    damage: Arc<Damage>,
    // After the writer, so that the file is closed before another process may open it.
    _lock: File,
}

impl Database {
    /// Opens the database at `path`, made and migrated as needed, and begins to look through it for
    /// damage. Blocks.
    ///
    /// # Errors
    /// If the file cannot be used; the text says what to do.
    pub fn open(path: &Path, schema: &Schema, options: Options) -> Result<Database, OpenError> {
        let lock = open::lock(path)?;
        let connection = open::writer(path, schema, options)?;
        let damage = Damage::new(path).map_err(|source| open::directory_error(path, source))?;
        let damage = Arc::new(damage);
        let looking = Arc::clone(&damage);
        std::thread::spawn(move || task::guard_thread("sqlite-check", || looking.look()));
        let readers = Readers {
            path: path.to_owned(),
            clock: options.clock,
            damage: Arc::clone(&damage),
            idle: Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(READERS)),
        };
        Ok(Database {
            writer: Writer::start(connection, Arc::clone(&damage))
                .map_err(|source| open::directory_error(path, source))?,
            readers: Arc::new(readers),
            damage,
            _lock: lock,
        })
    }

    /// What is damaged, for people, if anything is known to be: then nothing is written any more.
    #[must_use]
    pub fn damage(&self) -> Option<String> {
        self.damage.known()
    }

    /// Runs `job` on the writer when it is its turn, in a transaction that it may share with other jobs;
    /// once it is durable, answers with what `then` makes of it on the writer's thread, where it must not
    /// block. `job` runs twice if another job of the transaction is undone. Once handed in, both run even
    /// if the caller is gone.
    ///
    /// # Errors
    /// What the job answered, or [`Abort::Failed`] if the group could not be committed.
    pub(crate) async fn write<T, A, E>(
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
        self.writer.write(precedence, job, then).await
    }

    /// Like [`Database::write`], but answers by calling `then` on the writer thread, once `job` is
    /// durable or has failed; in the order in which jobs were committed. `then` must not block.
    ///
    /// # Errors
    /// If the job could not be handed in; neither `job` nor `then` will be called.
    pub async fn write_then<T, E>(
        &self,
        job: impl FnMut(&Connection) -> Result<T, Abort<E>> + Send + 'static,
        then: impl FnOnce(Result<T, Abort<E>>) + Send + 'static,
    ) -> Result<(), Failure>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        self.writer.write_then(job, then).await
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

#[derive(Debug)]
struct Readers {
    path: PathBuf,
    clock: Clock,
    damage: Arc<Damage>,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    fn run<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, Abort<E>>,
    ) -> Result<T, Abort<E>> {
        let connection = self.take()?;
        connection.prepare_cached("BEGIN")?.execute([])?;
        let result = job(&connection);
        let ended = connection.prepare_cached("ROLLBACK").and_then(|mut end| end.execute([]));
        #[cfg(debug_assertions)]
        plans::check(&connection);
        let broken =
            matches!(result, Err(Abort::Failed(Failure::Unavailable(_) | Failure::Damaged(_))));
        if let Err(Abort::Failed(Failure::Damaged(words))) = &result {
            self.damage.note(words);
        }
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
        open::tune(&connection, self.clock)?;
        connection.pragma_update(None, "cache_size", READER_CACHE)?;
        #[cfg(debug_assertions)]
        let connection = plans::watched(connection)?;
        Ok(connection)
    }
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
