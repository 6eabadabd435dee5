//! Opening a database file: lock, mark, settings, migrations. It never repairs or deletes anything.

use super::{Options, Schema};
use ofs_events::Timestamp;
use ofs_runtime::context::Clock;
use refinery::{Migration, Runner};
use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, ErrorCode};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a statement waits for a lock, which only a foreign process can hold.
const BUSY: Duration = Duration::from_secs(5);
/// What is kept of a WAL that starts over.
const WAL_BYTES: i64 = 16 << 20;
/// In KiB, negative as SQLite wants it.
const WRITER_CACHE: i64 = -16_384;

/// Why a database file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made or written to.
    #[error(
        "cannot write to directory {path}: {source}; check that it exists and belongs to this user"
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("cannot open {0}: another ofs process is using it; stop it, or use another directory")]
    InUse(PathBuf),
    /// The file is not ours.
    #[error(
        "cannot open {0}: it is another program's file; move it away, or use another directory"
    )]
    Foreign(PathBuf),
    /// A newer build has migrated it.
    #[error(
        "cannot open {path}: its schema {found} is newer than this build's {known}; use a newer ofs"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema version in the file.
        found: i32,
        /// The newest schema version of this build.
        known: i32,
    },
    /// A migration failed, or one already applied was changed.
    #[error("cannot migrate {path}: {reason}")]
    Migration {
        /// The file.
        path: PathBuf,
        /// What the migrator said.
        reason: String,
    },
    /// It opened, but could not be read or written.
    #[error("cannot use {path}: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// SQLite failed.
    #[error("cannot open {path}: {source}")]
    Engine {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

/// What SQLite said. It does not say that no more files may be opened, so that is found out.
pub(super) fn words(error: &impl ToString) -> String {
    let words = error.to_string();
    let refused = words.contains("unable to open database file");
    match File::open("/").err().filter(|_| refused).and_then(|error| too_many(&error)) {
        Some(reason) => format!("{words}: {reason}"),
        None => words,
    }
}

/// What to do if `error` says that this process has too many files open.
fn too_many(error: &std::io::Error) -> Option<String> {
    if error.raw_os_error() != Some(Errno::MFILE.raw_os_error()) {
        return None;
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    Some(format!("this process may open {limit} files; raise that limit (`ulimit -n 1024`)"))
}

pub(super) fn directory_error(path: &Path, source: std::io::Error) -> OpenError {
    if let Some(reason) = too_many(&source) {
        return OpenError::Unusable { path: path.to_owned(), reason };
    }
    OpenError::Directory { path: path.parent().unwrap_or(path).to_owned(), source }
}

/// Makes the directory and takes the lock file beside `path`; the system frees it with the process.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
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

pub(super) fn writer(
    path: &Path,
    schema: &Schema,
    options: Options,
) -> Result<Connection, OpenError> {
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign(path.to_owned()),
        Some(ErrorCode::CannotOpen) => {
            OpenError::Unusable { path: path.to_owned(), reason: words(&source) }
        }
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
        connection.pragma_update(None, "application_id", schema.application_id).map_err(failed)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    // A checkpoint run by SQLite itself would swallow a failed fsync; the writer runs its own.
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
    // A WAL that once grew large is cut back when it starts over.
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES).map_err(failed)?;
    tune(&connection, options.clock).map_err(failed)?;
    connection.pragma_update(None, "cache_size", WRITER_CACHE).map_err(failed)?;
    migrate(path, &mut connection, schema, tables > 0)?;
    if let Some(pages) = options.max_pages {
        connection.pragma_update(None, "max_page_count", pages).map_err(failed)?;
    }
    #[cfg(debug_assertions)]
    let connection = super::plans::watched(connection).map_err(failed)?;
    Ok(connection)
}

pub(super) fn tune(connection: &Connection, clock: Clock) -> rusqlite::Result<()> {
    tell_time(connection, clock)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Else SQLite plans a statement anew each time a value is bound that might change its plan.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// `now()`, `steady()` and `shown(steady)`, as [`Clock`] has them, in microseconds since 1970.
fn tell_time(connection: &Connection, clock: Clock) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("now", 0, flags, move |_| Ok(clock.now().as_micros()))?;
    connection
        .create_scalar_function("steady", 0, flags, move |_| Ok(clock.steady().as_micros()))?;
    connection.create_scalar_function("shown", 1, flags, move |given| {
        let steady: Option<i64> = given.get(0)?;
        Ok(steady.map(|at| clock.shown(Timestamp::from_micros(at)).as_micros()))
    })
}

fn migrate(
    path: &Path,
    connection: &mut Connection,
    schema: &Schema,
    used: bool,
) -> Result<(), OpenError> {
    let failed = |reason: String| OpenError::Migration { path: path.to_owned(), reason };
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
    runner.run(connection).map_err(|error| failed(words(&error)))?;
    Ok(())
}
