//! The store on SQLite: one file, one writer, one process.
//!
//! This file maps the port to SQL jobs; the jobs are in the files beside it, by subject.

mod access;
mod deadlines;
mod depths;
mod ends;
mod lease;
mod load;
mod owed;
mod parked;
mod tidy;
mod write;

use crate::sqlite::{Abort, Database, Failure, OpenError, Options, Precedence, Schema};
use async_trait::async_trait;
use depths::{Counts, Moved};
use ofs_events::{Key, Timestamp};
use ofs_runtime::budget::{Room, Weight};
use ofs_runtime::context::{Clock, Context};
use ofs_runtime::log::Position;
use ofs_runtime::store::{
    Claim, Commit, Depths, Due, Error, Loaded, LogEnd, Oldest, Outgoing, Overdue, Parked,
    ParkedFilter, ParkedPage, Record, Refused, Retention, Store, Wanted,
};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// "ofsS": the mark of a store's file.
const SCHEMA: Schema = Schema {
    application_id: 0x6F66_7353,
    migrations: &[
        ("V1__init", include_str!("../../../migrations/sqlite/V1__init.sql")),
        (
            "V2__refused_documents",
            include_str!("../../../migrations/sqlite/V2__refused_documents.sql"),
        ),
        ("V3__parked_by_order", include_str!("../../../migrations/sqlite/V3__parked_by_order.sql")),
        ("V4__log_ends", include_str!("../../../migrations/sqlite/V4__log_ends.sql")),
        ("V5__api_keys", include_str!("../../../migrations/sqlite/V5__api_keys.sql")),
        ("V6__audit", include_str!("../../../migrations/sqlite/V6__audit.sql")),
        ("V7__parked_open", include_str!("../../../migrations/sqlite/V7__parked_open.sql")),
        ("V8__deadlines", include_str!("../../../migrations/sqlite/V8__deadlines.sql")),
        ("V9__depths", include_str!("../../../migrations/sqlite/V9__depths.sql")),
        (
            "V10__depths_in_memory",
            include_str!("../../../migrations/sqlite/V10__depths_in_memory.sql"),
        ),
    ],
};

/// What a job answers.
type Done<T> = Result<T, Abort<Error>>;

/// A store in one SQLite file. Dropping it waits for commits handed in and closes the file.
#[derive(Debug)]
pub struct SqliteStore {
    database: Database,
    instance: Uuid,
    counts: Counts,
    commits: Arc<AtomicU64>,
    clock: Clock,
    /// For commits that wait for the writer.
    room: Room,
}

impl SqliteStore {
    /// Opens the store at `path`; makes the directory and the file and migrates as needed.
    ///
    /// # Errors
    /// If the file cannot be used, or another process uses it; the text says what to do.
    pub async fn open(path: &Path, options: Options) -> Result<SqliteStore, OpenError> {
        let file = path.to_owned();
        let opening =
            tokio::task::spawn_blocking(move || Database::open(&file, &SCHEMA, options)).await;
        let failed = |reason: String| OpenError::Unusable { path: path.to_owned(), reason };
        let database = opening.map_err(|error| failed(error.to_string()))??;
        let clock = options.clock;
        let drawn = Context::by("store", clock).new_id();
        let begin = move |connection: &Connection| {
            Ok((write::instance(connection, drawn)?, Counts::of(connection)?))
        };
        let begun = database.write(Precedence::InLine, begin, |begun| begun).await;
        let (instance, counts) = begun.map_err(|abort| failed(error(abort).to_string()))?;
        let (commits, room) = (Arc::default(), Room::default());
        Ok(SqliteStore { database, instance, counts, commits, clock, room })
    }

    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Done<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.database.read(job).await.map_err(error)
    }

    async fn write<T: Send + 'static>(
        &self,
        job: impl FnMut(&Connection) -> Done<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.database.write(Precedence::InLine, job, |done| done).await.map_err(error)
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn instance(&self) -> Uuid {
        self.instance
    }

    async fn engine(&self) -> Option<String> {
        Some(crate::sqlite::engine())
    }

    fn damage(&self) -> Option<String> {
        self.database.damage()
    }

    async fn load(&self, wanted: &Wanted) -> Result<Loaded, Error> {
        let wanted = wanted.clone();
        self.read(move |connection| load::load(connection, &wanted)).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), Error> {
        let share = self.room.take(commit.weight()).await;
        let (precedence, commit) = (precedence(&commit), write::sorted(commit));
        let (counts, owner) = (self.counts.clone(), commit.owner.clone());
        let commits = Arc::clone(&self.commits);
        let write = move |connection: &Connection| {
            let _held = &share;
            write::commit(connection, &commit)
        };
        let then = move |moved: Moved| {
            counts.apply(&owner, moved);
            commits.fetch_add(1, Ordering::Relaxed);
        };
        self.database.write(precedence, write, then).await.map_err(error)
    }

    async fn outbox(
        &self,
        owner: &str,
        shards: &[u16],
        skip: &[Key],
        from: u64,
        max: usize,
    ) -> Result<Vec<Outgoing>, Error> {
        let (owner, shards, skip) = (owner.to_owned(), shards.to_vec(), skip.to_vec());
        self.read(move |connection| owed::outbox(connection, &owner, &shards, &skip, from, max))
            .await
    }

    async fn unindexed(&self, owner: &str, skip: &[Key], max: usize) -> Result<Vec<Record>, Error> {
        let (owner, skip) = (owner.to_owned(), skip.to_vec());
        self.read(move |connection| owed::unindexed(connection, &owner, &skip, max)).await
    }

    async fn refused(
        &self,
        owner: &str,
        after: Option<Key>,
        max: usize,
    ) -> Result<Vec<Refused>, Error> {
        let owner = owner.to_owned();
        self.read(move |connection| owed::refused(connection, &owner, after, max)).await
    }

    async fn due(&self, owner: &str, hold: Duration, max: usize) -> Result<Vec<Parked>, Error> {
        let owner = owner.to_owned();
        let asked = owner.clone();
        // Looked up first, so that polling an empty lane costs the writer nothing.
        let ids = self.read(move |connection| parked::due(connection, &asked, max)).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.write(move |connection| parked::claim_due(connection, &owner, hold, max)).await
    }

    async fn claim(&self, id: u64, hold: Duration) -> Result<Claim, Error> {
        self.write(move |connection| parked::claim(connection, id, hold)).await
    }

    async fn parked(&self, filter: &ParkedFilter, max: usize) -> Result<ParkedPage, Error> {
        let filter = filter.clone();
        self.read(move |connection| parked::list(connection, &filter, max)).await
    }

    async fn parked_event(&self, id: u64) -> Result<Option<Parked>, Error> {
        self.read(move |connection| parked::one(connection, id)).await
    }

    async fn passed(&self, owner: &str, shards: &[u16], max: usize) -> Result<Vec<Due>, Error> {
        let (owner, shards) = (owner.to_owned(), shards.to_vec());
        self.read(move |connection| deadlines::passed(connection, &owner, &shards, max)).await
    }

    async fn overdue(&self) -> Result<Vec<Overdue>, Error> {
        self.read(deadlines::overdue).await
    }

    async fn scan(
        &self,
        owner: &str,
        after: Option<Key>,
        max: usize,
    ) -> Result<Vec<Record>, Error> {
        let owner = owner.to_owned();
        self.read(move |connection| load::scan(connection, &owner, after, max)).await
    }

    async fn newest_outgoing(&self) -> Result<u64, Error> {
        self.read(ends::newest_outgoing).await
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    async fn log_ends(&self) -> Result<Vec<LogEnd>, Error> {
        self.read(ends::all).await
    }

    async fn note_log_ends(&self, ends: &[Position]) -> Result<u64, Error> {
        let ends = ends.to_vec();
        self.write(move |connection| ends::note(connection, &ends)).await
    }

    async fn set_log_ends(&self, ends: &[LogEnd]) -> Result<(), Error> {
        let ends = ends.to_vec();
        self.write(move |connection| ends::set(connection, &ends)).await
    }

    async fn oldest_owed(&self, owner: &str) -> Result<Oldest, Error> {
        let owner = owner.to_owned();
        self.read(move |connection| owed::oldest(connection, &owner)).await
    }

    async fn depths(&self) -> Result<Depths, Error> {
        let counts = self.counts.clone();
        self.read(move |connection| counts.read(connection)).await
    }

    async fn lease(
        &self,
        group: &str,
        holder: Uuid,
        slots: u16,
        ttl: Duration,
    ) -> Result<Vec<u16>, Error> {
        let group = group.to_owned();
        self.write(move |connection| lease::lease(connection, &group, holder, slots, ttl)).await
    }

    async fn tidy(&self, retention: Retention) -> Result<bool, Error> {
        let clock = self.clock;
        self.write(move |connection| tidy::tidy(connection, clock, retention)).await
    }
}

fn error(abort: Abort<Error>) -> Error {
    match abort {
        Abort::Because(error) => error,
        Abort::Failed(Failure::Full) => Error::Full,
        Abort::Failed(Failure::Unavailable(reason) | Failure::Damaged(reason)) => {
            Error::Unavailable(reason)
        }
        Abort::Failed(Failure::Refused(reason)) => Error::Rejected(reason),
    }
}

/// The steady time, by which everything waits.
fn steady(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT steady()")?.query_row([], |row| row.get(0))
}

fn precedence(commit: &Commit) -> Precedence {
    if commit.is_awaited() {
        Precedence::First
    } else if commit.can_wait() {
        Precedence::Along
    } else {
        Precedence::InLine
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// `at + wait`, held within the range of times.
fn after(at: i64, wait: Duration) -> i64 {
    Timestamp::from_micros(at.saturating_add(micros(wait))).as_micros()
}

/// A number as SQLite stores it.
fn int(number: u64) -> Done<i64> {
    let refused = || Abort::Because(Error::Rejected(format!("{number} is too large a number")));
    i64::try_from(number).map_err(|_| refused())
}

/// A number as it was stored; never negative.
fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// As many rows as may be asked for.
fn limit(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}
