//! What SQLite does bare: commits of many orders' rows, each durable before the next.

use crate::bare::{Error, GROUP, Meter, text};
use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

/// Orders a second whose `rows` go into a new database in `directory`, which is removed afterwards.
///
/// # Errors
/// If it cannot be written.
pub fn bare(directory: &Path, rows: &[usize], time: Duration) -> Result<f64, Error> {
    let failed = |error| Error::new("SQLite", super::open::words(&error));
    let scratch = Scratch(directory.join(format!(".{}.db", crate::bare::name())));
    let mut database = Connection::open(&scratch.0).map_err(failed)?;
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE bare (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT",
        )
        .map_err(failed)?;
    let texts: Vec<String> = rows.iter().map(|bytes| text(*bytes, *bytes)).collect();
    let mut commit = || -> rusqlite::Result<()> {
        let transaction = database.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO bare (text) VALUES (?1)")?;
            for text in texts.iter().cycle().take(texts.len() * GROUP) {
                insert.execute([text])?;
            }
        }
        transaction.commit()
    };
    let mut meter = Meter::start(time);
    loop {
        commit().map_err(failed)?;
        if !meter.goes_on(GROUP) {
            return Ok(meter.rate());
        }
    }
}

struct Scratch(std::path::PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm"] {
            let mut name = self.0.as_os_str().to_owned();
            name.push(end);
            // Nothing is lost by a file that stays.
            let _ = std::fs::remove_file(name);
        }
    }
}
