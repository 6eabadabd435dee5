//! The one transaction: everything a commit changes, and the conflicts that undo it.

use super::depths::{Lane, Moved};
use super::{Done, after, deadlines, int, micros, parked, steady};
use crate::sqlite::Abort;
use ofs_events::Key;
use ofs_runtime::backoff::LONGEST;
use ofs_runtime::log::Message;
use ofs_runtime::store::{
    Commit, Error, Guard, Once, Parking, Record, Seen, Settled, once_more, shard_of,
};
use rusqlite::{Connection, OptionalExtension, Params, ffi, params};
use std::collections::HashSet;
use uuid::Uuid;

/// The store's id, `drawn` if it is new. Leases and claims go: whoever held them held the file, and
/// is gone.
pub(super) fn instance(connection: &Connection, drawn: Uuid) -> Done<Uuid> {
    for table in ["leases", "lease_holders"] {
        connection.execute(&format!("DELETE FROM {table}"), [])?;
    }
    let sql = "UPDATE parked_events SET held_until = NULL
               WHERE state = 'parked' AND held_until IS NOT NULL";
    connection.execute(sql, [])?;
    // It was written before the clock was set back.
    let sql = "UPDATE parked_events SET next_at = steady()
               WHERE state = 'parked' AND next_at > steady() + ?";
    connection.execute(sql, [micros(LONGEST)])?;
    deadlines::hold_to_clock(connection)?;
    let sql = "INSERT INTO meta (name, value) VALUES ('instance', ?) ON CONFLICT DO NOTHING";
    connection.execute(sql, [drawn])?;
    let sql = "SELECT value FROM meta WHERE name = 'instance'";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// `commit`, with its rows sorted as they are to be written.
pub(super) fn sorted(mut commit: Commit) -> Commit {
    commit.records.sort_by_key(|record| record.key);
    commit.parked.sort_by_key(|parking| parking.at);
    commit
}

/// Writes a commit that is [`sorted`].
pub(super) fn commit(connection: &Connection, commit: &Commit) -> Done<Moved> {
    let owner = commit.owner.as_str();
    let mut moved = Moved::default();
    guards(connection, &commit.guards)?;
    inbox(connection, owner, &commit.seen)?;
    records(connection, owner, &commit.records)?;
    let written = commit.records.iter().map(|record| record.key).collect();
    outgoing(connection, owner, &commit.outgoing, &written)?;
    moved.add(Lane::Outbox, commit.outgoing.len());
    park(connection, owner, &commit.parked)?;
    moved.add(Lane::Parked, commit.parked.len());
    for settled in &commit.settled {
        settle(connection, owner, settled, &mut moved)?;
    }
    moved.add(Lane::Index, owe_index(connection, owner, commit)?);
    moved.add(Lane::Index, owe_again(connection, owner, &commit.again)?);
    deadlines::set(connection, owner, &commit.deadlines)?;
    if let Some(once) = &commit.once {
        remember(connection, owner, once)?;
    }
    Ok(moved)
}

fn guards(connection: &Connection, guards: &[Guard]) -> Done<()> {
    let sql = "SELECT version FROM records WHERE owner = ? AND key = ?";
    let mut statement = connection.prepare_cached(sql)?;
    for guard in guards {
        let found = statement.query_row(params![guard.owner, guard.key.0], |row| row.get(0));
        let version: i64 = found.optional()?.unwrap_or_default();
        expect(version == int(guard.version)?)?;
    }
    Ok(())
}

fn inbox(connection: &Connection, owner: &str, seen: &[Seen]) -> Done<()> {
    let sql = "INSERT INTO processed_events (owner, day, key, event_id) VALUES (?, ?, ?, ?)";
    for event in seen {
        let row = params![owner, event.day, event.key.0, event.event_id.0];
        insert(connection, sql, row, Error::Stale)?;
    }
    Ok(())
}

fn records(connection: &Connection, owner: &str, records: &[Record]) -> Done<()> {
    let new = "INSERT INTO records (owner, key, version, status, body, created_at, updated_at)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let mut update = connection.prepare_cached(
        "UPDATE records SET version = ?, status = ?, body = ?, updated_at = ?
         WHERE owner = ? AND key = ? AND version = ?",
    )?;
    for record in records {
        let (version, at) = (int(record.version)?, record.updated_at.as_micros());
        let Record { key, status, body, .. } = record;
        if record.loaded == 0 {
            let created_at = record.created_at.as_micros();
            let row = params![owner, key.0, version, status, body, created_at, at];
            insert(connection, new, row, Error::Stale)?;
        } else {
            let loaded = int(record.loaded)?;
            let row = params![version, status, body, at, owner, key.0, loaded];
            expect(update.execute(row)? == 1)?;
        }
    }
    Ok(())
}

fn outgoing(
    connection: &Connection,
    owner: &str,
    messages: &[Message],
    written: &HashSet<Key>,
) -> Done<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO outbox (owner, shard, topic, key, event_id, headers, value, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, now())",
    )?;
    for message in messages {
        let key = key_of(message).filter(|key| written.contains(key)).ok_or_else(|| {
            rejected("an outgoing event's key must be one whose record is in the commit")
        })?;
        let headers = serde_json::to_string(&message.headers);
        let headers = headers.map_err(|error| rejected(&error.to_string()))?;
        statement.execute(params![
            owner,
            shard_of(key),
            message.topic.name(),
            key.0,
            message.event_id.map(|id| id.0),
            headers,
            &message.value[..],
        ])?;
    }
    Ok(())
}

fn key_of(message: &Message) -> Option<Key> {
    std::str::from_utf8(message.key.as_deref()?).ok()?.parse().ok()
}

fn park(connection: &Connection, owner: &str, parkings: &[Parking]) -> Done<()> {
    if parkings.is_empty() {
        return Ok(());
    }
    let now = steady(connection)?;
    let sql = r#"INSERT INTO parked_events (owner, topic, partition, "offset", key, event_id,
                     event_type, raw_key, raw, reason, unknown_type, next_at, parked_at)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, now())"#;
    for parking in parkings {
        let row = params![
            owner,
            parking.at.topic.name(),
            parking.at.partition,
            int(parking.at.offset)?,
            parking.key.map(|key| key.0),
            parking.event_id.map(|id| id.0),
            parking.event_type,
            parking.raw_key.as_deref(),
            &parking.raw[..],
            parking.reason,
            parking.unknown_type,
            parking.retry_in.map(|wait| after(now, wait)),
        ];
        insert(connection, sql, row, Error::Stale)?;
    }
    Ok(())
}

fn settle(connection: &Connection, owner: &str, settled: &Settled, moved: &mut Moved) -> Done<()> {
    match settled {
        Settled::Sent(id) => {
            let sql = "DELETE FROM outbox WHERE id = ? AND owner = ?";
            let gone = connection.prepare_cached(sql)?.execute(params![int(*id)?, owner])?;
            moved.take(Lane::Outbox, gone);
            expect(gone == 1)
        }
        Settled::Indexed { key, version } => {
            pushed(connection, owner, (*key, *version), moved)?;
            let sql = "DELETE FROM refused_documents WHERE owner = ? AND key = ? AND version <= ?";
            let row = params![owner, key.0, int(*version)?];
            moved.take(Lane::Refused, connection.prepare_cached(sql)?.execute(row)?);
            Ok(())
        }
        Settled::Refused { key, version, reason } => {
            if pushed(connection, owner, (*key, *version), moved)? {
                let is_new = refuse(connection, owner, (*key, *version), reason)?;
                moved.add(Lane::Refused, usize::from(is_new));
            }
            Ok(())
        }
        Settled::Resolved(id) => {
            moved.take(Lane::Parked, 1);
            parked::close(connection, owner, *id, None)
        }
        Settled::Discarded(id, reason) => {
            moved.take(Lane::Parked, 1);
            parked::close(connection, owner, *id, Some(reason))
        }
        Settled::Deferred { id, reason, retry_in } => {
            parked::defer(connection, owner, *id, reason, *retry_in)
        }
        Settled::Passed { key, name, due_at, again_in } => {
            deadlines::pass(connection, owner, (*key, name), *due_at, *again_in)
        }
    }
}

/// Drops what is owed up to `version`; whether nothing newer is owed. Then that stays owed, and this
/// push was still a delivery.
fn pushed(
    connection: &Connection,
    owner: &str,
    (key, version): (Key, u64),
    moved: &mut Moved,
) -> Done<bool> {
    let sql = "DELETE FROM owed_index WHERE owner = ? AND key = ? AND version <= ?";
    if connection.prepare_cached(sql)?.execute(params![owner, key.0, int(version)?])? == 1 {
        moved.take(Lane::Index, 1);
        return Ok(true);
    }
    let sql = "SELECT 1 FROM owed_index WHERE owner = ? AND key = ?";
    expect(connection.prepare_cached(sql)?.exists(params![owner, key.0])?)?;
    Ok(false)
}

/// Whether it was not refused before.
fn refuse(
    connection: &Connection,
    owner: &str,
    (key, version): (Key, u64),
    reason: &str,
) -> Done<bool> {
    let sql = "UPDATE refused_documents SET version = ?, reason = ? WHERE owner = ? AND key = ?";
    let row = params![int(version)?, reason, owner, key.0];
    if connection.prepare_cached(sql)?.execute(row)? == 1 {
        return Ok(false);
    }
    let sql = "INSERT INTO refused_documents (owner, key, version, reason, since)
               VALUES (?, ?, ?, ?, now())";
    connection.prepare_cached(sql)?.execute(params![owner, key.0, int(version)?, reason])?;
    Ok(true)
}

/// How many of them were not owed before. What was owed once more has changed now.
fn owe_index(connection: &Connection, owner: &str, commit: &Commit) -> Done<usize> {
    if commit.index.is_empty() {
        return Ok(0);
    }
    let now = super::owed::now(connection)?;
    let since = commit.since.map_or(now, |since| since.min(now)).as_micros();
    let mut new = connection.prepare_cached(
        "INSERT INTO owed_index (owner, key, version, since) VALUES (?, ?, ?, ?)
         ON CONFLICT (owner, key) DO NOTHING",
    )?;
    // Where `since` stays, so does its row in the index of the table.
    let sql = "UPDATE owed_index SET version = max(version, ?)
               WHERE owner = ? AND key = ? AND since <= ?";
    let mut newer = connection.prepare_cached(sql)?;
    let sql = "UPDATE owed_index SET version = max(version, ?), since = ?
               WHERE owner = ? AND key = ?";
    let mut earlier = connection.prepare_cached(sql)?;
    let mut added = 0;
    for (key, version) in &commit.index {
        let version = int(*version)?;
        if new.execute(params![owner, key.0, version, since])? > 0 {
            added += 1;
        } else if newer.execute(params![version, owner, key.0, since])? == 0 {
            earlier.execute(params![version, since, owner, key.0])?;
        }
    }
    Ok(added)
}

/// How many of them were not owed before.
fn owe_again(connection: &Connection, owner: &str, owed: &[(Key, u64)]) -> Done<usize> {
    let mut new = connection.prepare_cached(
        "INSERT INTO owed_index (owner, key, version, since) VALUES (?, ?, ?, ?)
         ON CONFLICT (owner, key) DO NOTHING",
    )?;
    let mut added = 0;
    for (key, version) in owed {
        added += new.execute(params![owner, key.0, int(*version)?, once_more().as_micros()])?;
    }
    Ok(added)
}

fn remember(connection: &Connection, owner: &str, once: &Once) -> Done<()> {
    let sql = "INSERT INTO idempotency_keys (owner, key, fingerprint, answer, created_at)
               VALUES (?, ?, ?, ?, now())";
    let row = params![owner, once.key, once.fingerprint, once.answer];
    insert(connection, sql, row, Error::KeyTaken)
}

/// Inserts one row; a key that is there already is `conflict`, not the row's fault.
fn insert(connection: &Connection, sql: &str, row: impl Params, conflict: Error) -> Done<()> {
    const TAKEN: [i32; 2] = [ffi::SQLITE_CONSTRAINT_PRIMARYKEY, ffi::SQLITE_CONSTRAINT_UNIQUE];
    let Err(error) = connection.prepare_cached(sql)?.execute(row) else { return Ok(()) };
    match error.sqlite_error().map(|error| error.extended_code) {
        Some(code) if TAKEN.contains(&code) => Err(Abort::Because(conflict)),
        _ => Err(error.into()),
    }
}

/// What the commit was decided on must still be so.
pub(super) fn expect(still: bool) -> Done<()> {
    if still { Ok(()) } else { Err(Abort::Because(Error::Stale)) }
}

fn rejected(reason: &str) -> Abort<Error> {
    Abort::Because(Error::Rejected(reason.to_owned()))
}
