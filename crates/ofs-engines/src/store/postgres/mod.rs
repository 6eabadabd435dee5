//! The store on PostgreSQL: one database, many processes.
//!
//! This file maps the port to the jobs in the files beside it, by subject.

mod access;
mod bare;
mod connect;
mod deadlines;
mod depths;
mod ends;
mod grants;
mod group;
mod indexing;
mod lease;
mod load;
mod migrate;
mod owed;
mod parked;
mod session;
mod tidy;
mod tls;
mod values;
mod write;

pub use bare::bare;
pub use connect::OpenError;
pub use grants::grants;
pub use migrate::migrate;

use crate::ServerUrl;
use async_trait::async_trait;
use connect::Server;
use depths::Counts;
use group::{WRITERS, Writer};
use ofs_events::{Key, Timestamp};
use ofs_runtime::context::{Clock, Context};
use ofs_runtime::log::Position;
use ofs_runtime::store::{
    Claim, Commit, Depths, Due, Error, Loaded, LogEnd, Oldest, Outgoing, Overdue, Parked,
    ParkedFilter, ParkedPage, Record, Refused, Retention, Store, Wanted,
};
use session::Sessions;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_postgres::Client;
use uuid::Uuid;

/// Connections for everything that is not a commit.
const READERS: usize = 6;

/// A store in a PostgreSQL database. Holds at most nine connections; commits handed in are written
/// even after it is dropped, as long as the runtime lives.
pub struct PostgresStore {
    writer: Writer,
    sessions: Arc<Sessions>,
    counts: Arc<Counts>,
    commits: AtomicU64,
    instance: Uuid,
    /// The server's, as it was opened.
    version: String,
    opened: Opened,
    purged: tidy::Ended,
}

/// When the store was opened, by the server's clock and by the steady one.
#[derive(Clone, Copy)]
struct Opened {
    server: Timestamp,
    steady: Timestamp,
}

impl Opened {
    /// What the server's clock would say now if nobody had set it since.
    fn now(self) -> Timestamp {
        let passed = Clock::real().steady().as_micros() - self.steady.as_micros();
        Timestamp::from_micros(self.server.as_micros() + passed)
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Opens the store in the database at `url`, in one attempt of bounded time. Never migrates.
    ///
    /// # Errors
    /// If it cannot be reached or its schema is not this build's; the text says what to do.
    pub async fn open(url: impl Into<ServerUrl>) -> Result<PostgresStore, OpenError> {
        let server = Server::parse(url.into())?;
        let client = server.connect().await?;
        let looking = async {
            migrate::check(&server, &client).await?;
            instance(&client).await.map_err(|error| server.refused(&error))
        };
        let late = |_| OpenError::Unreachable {
            at: server.at.clone(),
            reason: "it is connected, but does not answer".to_owned(),
        };
        let steady = Clock::real().steady();
        let (instance, now, version) =
            tokio::time::timeout(connect::ATTEMPT, looking).await.map_err(late)??;
        let unusable = |reason| OpenError::Unusable { at: server.at.clone(), reason };
        let writers = Sessions::new(&server, WRITERS).map_err(unusable)?;
        let sessions = Arc::new(Sessions::new(&server, READERS).map_err(unusable)?);
        let (counts, commits) = (Arc::default(), AtomicU64::default());
        let writer = Writer::start(writers);
        let opened = Opened { server: now, steady };
        let purged = tidy::Ended::default();
        Ok(PostgresStore { writer, sessions, counts, commits, instance, version, opened, purged })
    }
}

/// None is further ahead than it was when it was set; else the server's clock was set back since.
const LIMIT_DEADLINES: &str =
    "UPDATE deadlines SET due_at = now() + wait * interval '1 microsecond'
    WHERE due_at - wait * interval '1 microsecond' > now()";
const DRAW_INSTANCE: &str =
    "INSERT INTO meta (name, value) VALUES ('instance', $1) ON CONFLICT DO NOTHING";
const READ_INSTANCE: &str = "SELECT value, now(), current_setting('server_version') FROM meta
     WHERE name = 'instance'";

/// What is asked once, when the store is opened.
const OPENING: [&str; 3] = [LIMIT_DEADLINES, DRAW_INSTANCE, READ_INSTANCE];

/// The store's own id, drawn if this is the first time it is opened, and the server's time, to which
/// deadlines are held; and its version.
async fn instance(client: &Client) -> Result<(Uuid, Timestamp, String), tokio_postgres::Error> {
    client.execute(LIMIT_DEADLINES, &[]).await?;
    client.execute(DRAW_INSTANCE, &[&Context::new("store").new_id()]).await?;
    let row = client.query_one(READ_INSTANCE, &[]).await?;
    Ok((row.try_get(0)?, row.try_get::<_, values::Time>(1)?.0, row.try_get(2)?))
}

/// Every statement this engine prepares, so that a test can have a server read them all.
pub fn statements() -> impl Iterator<Item = &'static str> {
    let work = [
        write::ALL,
        indexing::ALL,
        parked::ALL,
        parked::page::ALL,
        lease::ALL,
        tidy::ALL,
        access::ALL,
        deadlines::ALL,
    ];
    let reading = [session::ALL, load::ALL, owed::ALL, depths::ALL, ends::ALL];
    reading.into_iter().chain(work).flatten().map(|sql| sql.text)
}

#[async_trait]
impl Store for PostgresStore {
    fn instance(&self) -> Uuid {
        self.instance
    }

    async fn engine(&self) -> Option<String> {
        Some(format!("PostgreSQL {}", self.version))
    }

    async fn load(&self, wanted: &Wanted) -> Result<Loaded, Error> {
        Ok(load::load(&self.sessions, wanted).await?)
    }

    async fn commit(&self, commit: Commit) -> Result<(), Error> {
        let committed = self.writer.commit(commit).await;
        self.commits.fetch_add(1, Ordering::Relaxed);
        committed
    }

    async fn outbox(
        &self,
        owner: &str,
        shards: &[u16],
        skip: &[Key],
        from: u64,
        max: usize,
    ) -> Result<Vec<Outgoing>, Error> {
        Ok(owed::outbox(&self.sessions, owner, shards, skip, from, max).await?)
    }

    async fn unindexed(&self, owner: &str, skip: &[Key], max: usize) -> Result<Vec<Record>, Error> {
        Ok(owed::unindexed(&self.sessions, owner, skip, max).await?)
    }

    async fn refused(
        &self,
        owner: &str,
        after: Option<Key>,
        max: usize,
    ) -> Result<Vec<Refused>, Error> {
        Ok(owed::refused(&self.sessions, owner, after, max).await?)
    }

    async fn due(&self, owner: &str, hold: Duration, max: usize) -> Result<Vec<Parked>, Error> {
        Ok(parked::due(&self.sessions, owner, hold, max).await?)
    }

    async fn claim(&self, id: u64, hold: Duration) -> Result<Claim, Error> {
        Ok(parked::claim(&self.sessions, id, hold).await?)
    }

    async fn parked(&self, filter: &ParkedFilter, max: usize) -> Result<ParkedPage, Error> {
        Ok(parked::page::list(&self.sessions, filter, max).await?)
    }

    async fn parked_event(&self, id: u64) -> Result<Option<Parked>, Error> {
        Ok(parked::one(&self.sessions, id).await?)
    }

    async fn passed(&self, owner: &str, shards: &[u16], max: usize) -> Result<Vec<Due>, Error> {
        Ok(deadlines::passed(&self.sessions, owner, shards, max).await?)
    }

    async fn overdue(&self) -> Result<Vec<Overdue>, Error> {
        Ok(deadlines::overdue(&self.sessions).await?)
    }

    async fn scan(
        &self,
        owner: &str,
        after: Option<Key>,
        max: usize,
    ) -> Result<Vec<Record>, Error> {
        Ok(load::scan(&self.sessions, owner, after, max).await?)
    }

    async fn newest_outgoing(&self) -> Result<u64, Error> {
        Ok(ends::newest_outgoing(&self.sessions).await?)
    }

    fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    async fn log_ends(&self) -> Result<Vec<LogEnd>, Error> {
        Ok(ends::all(&self.sessions).await?)
    }

    async fn note_log_ends(&self, ends: &[Position]) -> Result<u64, Error> {
        Ok(ends::note(&self.sessions, ends).await?)
    }

    async fn set_log_ends(&self, ends: &[LogEnd]) -> Result<(), Error> {
        Ok(ends::set(&self.sessions, ends).await?)
    }

    async fn oldest_owed(&self, owner: &str) -> Result<Oldest, Error> {
        Ok(owed::oldest(&self.sessions, owner).await?)
    }

    async fn depths(&self) -> Result<Depths, Error> {
        Ok(depths::depths(&self.sessions, &self.counts).await?)
    }

    async fn lease(
        &self,
        group: &str,
        holder: Uuid,
        slots: u16,
        ttl: Duration,
    ) -> Result<Vec<u16>, Error> {
        Ok(lease::lease(&self.sessions, group, holder, slots, ttl).await?)
    }

    async fn tidy(&self, retention: Retention) -> Result<bool, Error> {
        Ok(tidy::tidy(&self.sessions, &self.purged, self.opened.now(), retention).await?)
    }
}
