//! Opening the file of the log: schema, whose it is, and what is in it.

use super::disk;
use super::groups::Groups;
use super::shared::Shared;
use super::tail::Tails;
use crate::sqlite::{self, Abort, Database, Failure, Options, Precedence, Schema};
use ofs_events::Topic;
use ofs_runtime::context::Clock;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// `ofsL`.
const APPLICATION_ID: i32 = 0x6f66_734c;

const SCHEMA: Schema = Schema {
    application_id: APPLICATION_ID,
    migrations: &[
        ("V1__init", include_str!("../../../migrations/sqlite-log/V1__init.sql")),
        ("V2__events_by_key", include_str!("../../../migrations/sqlite-log/V2__events_by_key.sql")),
    ],
};

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] sqlite::OpenError),
    /// The file cannot be read or written.
    #[error("cannot open {path}: {failure}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        failure: Failure,
    },
    /// The log was made for another store.
    #[error(
        "cannot open {path}: this log belongs to store {found}, not to store {asked}; store and log \
         belong together: restore both from the same backup"
    )]
    OtherInstance {
        /// The file.
        path: PathBuf,
        /// The store that it was made for.
        found: String,
        /// The store that is there.
        asked: Uuid,
    },
}

pub(super) fn open(
    path: &Path,
    options: Options,
    instance: Uuid,
) -> Result<(Database, Shared), OpenError> {
    let database = Database::open(path, &SCHEMA, options)?;
    let loaded = futures::executor::block_on(database.write(
        Precedence::InLine,
        move |db| load(db, options.clock, instance),
        |loaded| loaded,
    ));
    match loaded {
        Ok(shared) => Ok((database, shared)),
        Err(Abort::Because(found)) => {
            Err(OpenError::OtherInstance { path: path.to_owned(), found, asked: instance })
        }
        Err(Abort::Failed(failure)) => Err(OpenError::Failed { path: path.to_owned(), failure }),
    }
}

/// Reads what the process has to know; fails with the id of the store the log belongs to.
fn load(db: &Connection, clock: Clock, instance: Uuid) -> Result<Shared, Abort<String>> {
    let owner = disk::instance(db, instance)?;
    if owner != instance.to_string() {
        return Err(Abort::Because(owner));
    }
    let mut tails = Vec::with_capacity(Topic::ALL.len());
    for topic in Topic::ALL {
        disk::make(db, topic)?;
        tails.push(disk::bounds(db, topic)?);
    }
    Ok(Shared {
        clock,
        tails: Tails::new(tails),
        groups: Groups::new(disk::positions(db)?),
        changed: watch::Sender::new(()),
        acked: Notify::new(),
    })
}
