//! The schema: applying migrations, and telling whether it is this build's.
//!
//! Processes that start at once migrate one after the other; the store itself never migrates.

use super::connect::{OpenError, Server, chain};
use crate::ServerUrl;
use refinery::{Migration, Runner};
use std::error::Error as _;
use tokio_postgres::Client;

/// What the name of a migration begins with that older builds can work beside: it only adds what they
/// do not look at. During a rolling upgrade an old process may have to start again.
const ADDITIVE: &str = "additive_";

/// `(V<number>__<name>, SQL)`, in order; never changed once released.
pub(super) const MIGRATIONS: &[(&str, &str)] = &[
    ("V1__init", include_str!("../../../migrations/postgres/V1__init.sql")),
    (
        "V2__refused_documents",
        include_str!("../../../migrations/postgres/V2__refused_documents.sql"),
    ),
    (
        "V3__additive_log_ends",
        include_str!("../../../migrations/postgres/V3__additive_log_ends.sql"),
    ),
    (
        "V4__additive_api_keys",
        include_str!("../../../migrations/postgres/V4__additive_api_keys.sql"),
    ),
    ("V5__additive_audit", include_str!("../../../migrations/postgres/V5__additive_audit.sql")),
    (
        "V6__additive_parked_open",
        include_str!("../../../migrations/postgres/V6__additive_parked_open.sql"),
    ),
    (
        "V7__additive_deadlines",
        include_str!("../../../migrations/postgres/V7__additive_deadlines.sql"),
    ),
];

/// Where the migrator keeps which were applied.
pub(super) const HISTORY: &str = "refinery_schema_history";

const IS_THERE: &str = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";
const VERSION: &str = "SELECT coalesce(max(version), 0)::integer FROM refinery_schema_history";
const IS_BESIDE: &str = "SELECT coalesce(bool_and(starts_with(name, $2)), true)
    FROM refinery_schema_history WHERE version > $1";

/// What is asked of it when the store is opened.
pub(super) const OPENING: [&str; 3] = [IS_THERE, VERSION, IS_BESIDE];

/// Held while migrating, by whoever migrates ("ofsS").
const LOCK: &str = "SET statement_timeout = 0; SET lock_timeout = '5min';
                    SELECT pg_advisory_lock(1869771603)";

/// Brings the schema of the database at `url` up to this build's; does nothing if it is.
///
/// # Errors
/// If it cannot be reached, a migration fails, or a newer build has migrated it.
pub async fn migrate(url: impl Into<ServerUrl>) -> Result<(), OpenError> {
    let server = Server::parse(url.into())?;
    let mut client = server.connect().await?;
    let locked = client.batch_execute(LOCK).await;
    locked.map_err(|error| server.refused(&error))?;
    let failed = |reason: String| OpenError::Migration { at: server.at.clone(), reason };
    let (runner, known) = runner().map_err(failed)?;
    let found = version(&server, &client).await?;
    if found > known {
        return beside(&server, &client, found, known).await;
    }
    // The lock is let go with the connection.
    runner.run_async(&mut client).await.map(|_| ()).map_err(|error| {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<tokio_postgres::Error>());
        match cause {
            Some(cause) if server.refused(cause).is_transient() => server.refused(cause),
            Some(cause) => failed(chain(cause)),
            None => failed(error.to_string()),
        }
    })
}

/// Makes sure that the schema is this build's.
pub(super) async fn check(server: &Server, client: &Client) -> Result<(), OpenError> {
    let failed = |reason: String| OpenError::Migration { at: server.at.clone(), reason };
    let (_, known) = runner().map_err(failed)?;
    let found = version(server, client).await?;
    match found.cmp(&known) {
        std::cmp::Ordering::Less => Err(OpenError::Older { at: server.at.clone(), found, known }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => beside(server, client, found, known).await,
    }
}

/// Makes sure that this build can work with the schema `found`, which a newer one has made.
async fn beside(server: &Server, client: &Client, found: i32, known: i32) -> Result<(), OpenError> {
    let read = async { client.query_one(IS_BESIDE, &[&known, &ADDITIVE]).await?.try_get(0) };
    match read.await.map_err(|error| server.refused(&error))? {
        true => Ok(()),
        false => Err(OpenError::Newer { at: server.at.clone(), found, known }),
    }
}

fn runner() -> Result<(Runner, i32), String> {
    let migrations: Result<Vec<_>, _> =
        MIGRATIONS.iter().map(|(name, sql)| Migration::unapplied(name, sql)).collect();
    let migrations = migrations.map_err(|error| error.to_string())?;
    let known = migrations.iter().map(Migration::version).max().unwrap_or_default();
    Ok((Runner::new(&migrations).set_abort_divergent(true).set_abort_missing(true), known))
}

/// The schema version in the database; 0 if nothing was ever applied.
async fn version(server: &Server, client: &Client) -> Result<i32, OpenError> {
    let read = async {
        if !client.query_one(IS_THERE, &[]).await?.try_get::<_, bool>(0)? {
            return Ok(0);
        }
        client.query_one(VERSION, &[]).await?.try_get(0)
    };
    read.await.map_err(|error| server.refused(&error))
}
