//! How far the log was, as this store noted it.

use super::{Done, int};
use ofs_runtime::log::Position;
use ofs_runtime::store::LogEnd;
use rusqlite::{Connection, OptionalExtension, params};

pub(super) fn newest_outgoing(connection: &Connection) -> Done<u64> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'";
    let newest = connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    Ok(newest.unwrap_or(0))
}

/// Topics that this build does not know are left to those that do.
pub(super) fn all(connection: &Connection) -> Done<Vec<LogEnd>> {
    let sql = "SELECT topic, partition, next_offset, missing FROM log_ends";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut ends = Vec::new();
    while let Some(row) = rows.next()? {
        if let Ok(topic) = row.get::<_, String>(0)?.parse() {
            let (partition, next, missing) = (row.get(1)?, row.get(2)?, row.get(3)?);
            ends.push(LogEnd { topic, partition, next, missing });
        }
    }
    Ok(ends)
}

pub(super) fn note(connection: &Connection, ends: &[Position]) -> Done<u64> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO log_ends (topic, partition, next_offset) VALUES (?, ?, ?)
         ON CONFLICT (topic, partition)
         DO UPDATE SET next_offset = max(next_offset, excluded.next_offset)",
    )?;
    for Position { topic, partition, offset } in ends {
        statement.execute(params![topic.name(), partition, int(*offset)?])?;
    }
    take_id(connection)
}

/// An id of the outbox that no event will get.
fn take_id(connection: &Connection) -> Done<u64> {
    let next = "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'outbox' RETURNING seq";
    let taken = connection.prepare_cached(next)?.query_row([], |row| row.get(0)).optional()?;
    if let Some(id) = taken {
        return Ok(id);
    }
    // SQLite makes the row with the first event.
    connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', 1)", [])?;
    Ok(1)
}

pub(super) fn set(connection: &Connection, ends: &[LogEnd]) -> Done<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO log_ends (topic, partition, next_offset, missing) VALUES (?, ?, ?, ?)
         ON CONFLICT (topic, partition)
         DO UPDATE SET next_offset = excluded.next_offset, missing = excluded.missing",
    )?;
    for LogEnd { topic, partition, next, missing } in ends {
        let (next, missing) = (int(*next)?, int(*missing)?);
        statement.execute(params![topic.name(), partition, next, missing])?;
    }
    Ok(())
}
