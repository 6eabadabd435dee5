//! Reading records, the inbox and idempotency keys.

use super::{Done, limit, uint};
use ofs_events::{Key, Timestamp};
use ofs_runtime::budget::{Budget, Weight};
use ofs_runtime::store::{Loaded, Once, Record, Wanted};
use rusqlite::{Connection, OptionalExtension, Row, params};

const RECORD: &str = "SELECT key, version, status, body, created_at, updated_at FROM records";

pub(super) fn load(connection: &Connection, wanted: &Wanted) -> Done<Loaded> {
    let owner = &wanted.owner;
    let mut loaded = Loaded::default();
    let mut records =
        connection.prepare_cached(&format!("{RECORD} WHERE owner = ? AND key = ?"))?;
    let mut queues = connection.prepare_cached(
        "SELECT DISTINCT topic FROM parked_events WHERE owner = ? AND key = ? AND state = 'parked'",
    )?;
    let (mut budget, mut more) = (Budget::of(usize::MAX), true);
    for key in &wanted.keys {
        if !more {
            loaded.left.insert(*key);
            continue;
        }
        if let Some(found) = records.query_row(params![owner, key.0], record).optional()? {
            more = budget.spend(found.weight());
            loaded.records.insert(*key, found);
        }
        for topic in queues.query_map(params![owner, key.0], |row| row.get::<_, String>(0))? {
            // Of a topic that this build does not know, nothing is handled here.
            loaded.queues.extend(topic?.parse().ok().map(|topic| (topic, *key)));
        }
    }
    let mut seen = connection.prepare_cached(
        "SELECT 1 FROM processed_events WHERE owner = ? AND day = ? AND key = ? AND event_id = ?",
    )?;
    for event in &wanted.events {
        if seen.exists(params![owner, event.day, event.key.0, event.event_id.0])? {
            loaded.seen.insert(*event);
        }
    }
    let mut parked = connection.prepare_cached(
        r#"SELECT 1 FROM parked_events
           WHERE owner = ? AND topic = ? AND partition = ? AND "offset" = ?"#,
    )?;
    for at in &wanted.positions {
        let offset = super::int(at.offset)?;
        if parked.exists(params![owner, at.topic.name(), at.partition, offset])? {
            loaded.parked.insert(*at);
        }
    }
    if let Some(key) = &wanted.once {
        loaded.once = once(connection, owner, key)?;
    }
    Ok(loaded)
}

fn once(connection: &Connection, owner: &str, key: &str) -> rusqlite::Result<Option<Once>> {
    let sql = "SELECT key, fingerprint, answer FROM idempotency_keys WHERE owner = ? AND key = ?";
    let found = connection.prepare_cached(sql)?.query_row(params![owner, key], |row| {
        Ok(Once { key: row.get(0)?, fingerprint: row.get(1)?, answer: row.get(2)? })
    });
    found.optional()
}

pub(super) fn scan(
    connection: &Connection,
    owner: &str,
    after: Option<Key>,
    max: usize,
) -> Done<Vec<Record>> {
    // Every key is longer than the empty one, so it stands before them all.
    let after = after.map_or(Vec::new(), |key| key.0.as_bytes().to_vec());
    let sql = format!("{RECORD} WHERE owner = ? AND key > ? ORDER BY key LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![owner, after, limit(max)])?;
    let (mut found, mut budget, mut more) = (Vec::new(), Budget::of(max), true);
    while more && let Some(row) = rows.next()? {
        let record = record(row)?;
        more = budget.spend(record.weight());
        found.push(record);
    }
    Ok(found)
}

/// A row of key, version, status, body, created_at, updated_at.
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let version = uint(row.get(1)?);
    Ok(Record {
        key: Key(row.get(0)?),
        loaded: version,
        version,
        status: row.get(2)?,
        body: row.get(3)?,
        created_at: Timestamp::from_micros(row.get(4)?),
        updated_at: Timestamp::from_micros(row.get(5)?),
    })
}
