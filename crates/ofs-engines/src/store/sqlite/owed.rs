//! What is owed: to the log, to the index; and how much of it.

use super::load::record;
use super::{Done, int, limit, uint};
use bytes::Bytes;
use ofs_events::{EventId, Key, Timestamp};
use ofs_runtime::budget::{BATCH_BYTES, Budget, Weight};
use ofs_runtime::store::{Depth, Depths, Outgoing, Record, Refused};
use rusqlite::{Connection, Row, params};
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

pub(super) fn depths(connection: &Connection) -> Done<Depths> {
    let at = connection.prepare_cached("SELECT now()")?.query_row([], |row| row.get(0))?;
    Ok(Depths {
        at: Timestamp::from_micros(at),
        // The lowest id is the oldest row; its time is then one look-up instead of a scan.
        outbox: depth(
            connection,
            "SELECT n.owner, n.rows, o.created_at
             FROM (SELECT owner, count(*) AS rows, min(id) AS id FROM outbox GROUP BY owner) n
             JOIN outbox o ON o.id = n.id ORDER BY n.owner",
        )?,
        index: depth(
            connection,
            "SELECT owner, count(*), min(since) FROM owed_index GROUP BY owner ORDER BY owner",
        )?,
        refused: depth(
            connection,
            "SELECT owner, count(*), min(since) FROM refused_documents GROUP BY owner ORDER BY owner",
        )?,
        parked: depth(
            connection,
            "SELECT n.owner, n.rows, p.parked_at
             FROM (SELECT owner, count(*) AS rows, min(id) AS id FROM parked_events
                   WHERE state = 'parked' GROUP BY owner) n
             JOIN parked_events p ON p.id = n.id ORDER BY n.owner",
        )?,
    })
}

fn depth(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<Depth>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![], |row| {
        Ok(Depth {
            owner: row.get(0)?,
            rows: uint(row.get(1)?),
            oldest: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_micros),
        })
    })?;
    rows.collect()
}
