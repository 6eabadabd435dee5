//! What is owed: to the log, to the index.

use super::load::record;
use super::{Done, int, limit, uint};
use bytes::Bytes;
use ofs_events::{EventId, Key, Timestamp};
use ofs_runtime::budget::{BATCH_BYTES, Budget, Weight};
use ofs_runtime::store::{Oldest, Outgoing, Record, Refused, once_more};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::HashSet;

pub(super) fn outbox(
    connection: &Connection,
    owner: &str,
    shards: &[u16],
    skip: &[Key],
    from: u64,
    max: usize,
) -> Done<Vec<Outgoing>> {
    // By ascending id, so the first row met of a key is its lowest.
    let sql = "SELECT id, shard, key, topic, event_id, headers, value FROM outbox
               WHERE owner = ? AND id >= ? ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![owner, int(from)?])?;
    let mut met: HashSet<Key> = skip.iter().copied().collect();
    let (mut found, mut budget, mut more) = (Vec::new(), Budget::of(max), max > 0);
    while more && let Some(row) = rows.next()? {
        let key = Key(row.get(2)?);
        if shards.contains(&row.get(1)?) && met.insert(key) {
            let row = outgoing(row, key)?;
            more = budget.spend(row.weight());
            found.push(row);
        }
    }
    Ok(found)
}

fn outgoing(row: &Row<'_>, key: Key) -> Done<Outgoing> {
    let message = Outgoing::message(
        key,
        row.get_ref(3)?.as_str().unwrap_or_default(),
        row.get::<_, Option<_>>(4)?.map(EventId),
        row.get_ref(5)?.as_str().unwrap_or_default(),
        Bytes::from(row.get::<_, Vec<u8>>(6)?),
    );
    Ok(Outgoing { id: uint(row.get(0)?), key, message })
}

pub(super) fn unindexed(
    connection: &Connection,
    owner: &str,
    skip: &[Key],
    max: usize,
) -> Done<Vec<Record>> {
    let mut skip: HashSet<Key> = skip.iter().copied().collect();
    let mut found = Vec::new();
    let half = BATCH_BYTES / 2;
    for (sorting, most) in [("o.since, o.key", max - max / 2), ("o.since DESC, o.key DESC", max)] {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT r.key, r.version, r.status, r.body, r.created_at, r.updated_at
             FROM owed_index o CROSS JOIN records r ON r.owner = o.owner AND r.key = o.key
             WHERE o.owner = ? ORDER BY {sorting}"
        ))?;
        let mut rows = statement.query([owner])?;
        let mut budget = Budget::new(most - found.len(), half);
        let mut more = budget.items() > 0;
        while more && let Some(row) = rows.next()? {
            if skip.insert(Key(row.get(0)?)) {
                let record = record(row)?;
                more = budget.spend(record.weight());
                found.push(record);
            }
        }
    }
    Ok(found)
}

pub(super) fn refused(
    connection: &Connection,
    owner: &str,
    after: Option<Key>,
    max: usize,
) -> Done<Vec<Refused>> {
    // Every key is longer than the empty one, so it stands before them all.
    let after = after.map_or(Vec::new(), |key| key.0.as_bytes().to_vec());
    let sql = "SELECT key, version, reason, since FROM refused_documents
               WHERE owner = ? AND key > ? ORDER BY key LIMIT ?";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![owner, after, limit(max)], |row| {
        Ok(Refused {
            key: Key(row.get(0)?),
            version: uint(row.get(1)?),
            reason: row.get(2)?,
            since: Timestamp::from_micros(row.get(3)?),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn now(connection: &Connection) -> rusqlite::Result<Timestamp> {
    let now = connection.prepare_cached("SELECT now()")?.query_row([], |row| row.get(0))?;
    Ok(Timestamp::from_micros(now))
}

pub(super) fn oldest(connection: &Connection, owner: &str) -> Done<Oldest> {
    let end = |way| -> Done<Option<Timestamp>> {
        let sql =
            format!("SELECT since FROM owed_index WHERE owner = ? ORDER BY since {way} LIMIT 1");
        let mut end = connection.prepare_cached(&sql)?;
        let since = end.query_row([owner], |row| row.get(0)).optional()?;
        Ok(since.map(Timestamp::from_micros))
    };
    let (since, again) =
        (end("ASC")?.filter(|since| *since < once_more()), end("DESC")? == Some(once_more()));
    Ok(Oldest { at: now(connection)?, since, again })
}
