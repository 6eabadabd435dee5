//! The statements of the log: how records stand in the file.
//!
//! Runs inside whatever transaction the caller has open; decides nothing.

use super::groups::GroupPosition;
use super::tail::Tail;
use bytes::Bytes;
use ofs_events::{Timestamp, Topic};
use ofs_runtime::budget::{Budget, Weight};
use ofs_runtime::log::{Message, Position, Received, StoreMark};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use uuid::Uuid;

/// Bits of a place that are the offset.
const OFFSET_BITS: u32 = 48;

/// Where an offset of `topic` stands in the table. Offsets beyond 2^48 - 1 become that.
fn place(topic: Topic, offset: u64) -> i64 {
    let offset = offset.min((1 << OFFSET_BITS) - 1);
    (i64::from(topic.id()) << OFFSET_BITS) | offset.cast_signed()
}

fn offset_of(place: i64) -> u64 {
    place.cast_unsigned() & ((1 << OFFSET_BITS) - 1)
}

/// Makes the row of `topic`, unless it is there.
///
/// # Errors
/// If another topic has its number or its name: then a newer build has written the file.
pub(super) fn make(db: &Connection, topic: Topic) -> Result<()> {
    let row = params![topic.id(), topic.name()];
    let mut known = db.prepare_cached("SELECT 1 FROM topics WHERE id = ?1 AND name = ?2")?;
    if !known.exists(row)? {
        db.execute("INSERT INTO topics (id, name, next_offset) VALUES (?1, ?2, 0)", row)?;
    }
    Ok(())
}

/// The store the log belongs to; `asked` if it belonged to none.
pub(super) fn instance(db: &Connection, asked: Uuid) -> Result<String> {
    db.execute(
        "INSERT INTO meta (name, value) VALUES ('instance', ?1) ON CONFLICT (name) DO NOTHING",
        [asked.to_string()],
    )?;
    db.query_row("SELECT value FROM meta WHERE name = 'instance'", [], |row| row.get(0))
}

const NEWEST: &str = "store_newest";
const MISSING: &str = "store_missing";

/// How far the store was.
pub(super) fn noted_store(db: &Connection) -> Result<StoreMark> {
    let mut statement =
        db.prepare_cached("SELECT CAST(value AS INTEGER) FROM meta WHERE name = ?1")?;
    let mut number = |name| {
        let found = statement.query_row([name], |row| row.get(0)).optional()?;
        Ok::<u64, rusqlite::Error>(found.unwrap_or(0))
    };
    Ok(StoreMark { newest: number(NEWEST)?, missing: number(MISSING)? })
}

pub(super) fn note_store(db: &Connection, mark: StoreMark) -> Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO meta (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )?;
    for (name, number) in [(NEWEST, mark.newest), (MISSING, mark.missing)] {
        statement.execute([name, &number.to_string()])?;
    }
    Ok(())
}

/// The offset that the next record of `topic` gets.
pub(super) fn end(db: &Connection, topic: Topic) -> Result<u64> {
    db.prepare_cached("SELECT next_offset FROM topics WHERE id = ?1")?
        .query_row([i64::from(topic.id())], |row| row.get(0))
}

/// The bounds of `topic`, as a tail that holds nothing yet.
pub(super) fn bounds(db: &Connection, topic: Topic) -> Result<Tail> {
    let end = end(db, topic)?;
    let first: Option<i64> = db.query_row(
        "SELECT min(place) FROM records WHERE place >= ?1 AND place < ?2",
        [place(topic, 0), place(topic, end)],
        |row| row.get(0),
    )?;
    Ok(Tail::new(first.map_or(end, offset_of), end))
}

/// Where every group is.
pub(super) fn positions(db: &Connection) -> Result<Vec<GroupPosition>> {
    let mut found = Vec::new();
    for topic in Topic::ALL {
        let mut statement =
            db.prepare("SELECT group_name, next_offset FROM positions WHERE topic = ?1")?;
        let rows = statement.query_map([i64::from(topic.id())], |row| {
            Ok(GroupPosition { group: row.get(0)?, topic, offset: row.get(1)? })
        })?;
        found.extend(rows.collect::<Result<Vec<_>>>()?);
    }
    Ok(found)
}

/// Writes where a group is.
pub(super) fn write_position(db: &Connection, at: &GroupPosition) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO positions (group_name, topic, next_offset) VALUES (?1, ?2, ?3)
         ON CONFLICT (group_name, topic) DO UPDATE SET next_offset = excluded.next_offset",
    )?
    .execute(params![at.group, at.topic.id(), at.offset])
    .map(|_| ())
}

/// Forgets where a group is.
pub(super) fn delete_positions(db: &Connection, group: &str) -> Result<()> {
    db.execute("DELETE FROM positions WHERE group_name = ?1", [group]).map(|_| ())
}

/// Writes the offset that the next record of `topic` gets.
pub(super) fn write_end(db: &Connection, topic: Topic, end: u64) -> Result<()> {
    db.prepare_cached("UPDATE topics SET next_offset = ?2 WHERE id = ?1")?
        .execute(params![i64::from(topic.id()), end])
        .map(|_| ())
}

/// What became of an insert.
pub(super) enum Inserted {
    /// The record stands at the offset given.
    New(Received),
    /// Its event was there already.
    Known(Position),
}

/// Adds one record at `offset`, unless its event is there.
pub(super) fn insert(
    db: &Connection,
    message: &Message,
    offset: u64,
    now: Timestamp,
) -> Result<Inserted> {
    let &Message { topic, ref key, event_id, ref headers, ref value } = message;
    let written = serde_json::to_string(headers)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let changed = db
        .prepare_cached(
            "INSERT INTO records (place, appended_at, event_id, key, headers, value)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (ifnull(key, x''), event_id, place >> 48)
                 WHERE event_id IS NOT NULL DO NOTHING",
        )?
        .execute(params![
            place(topic, offset),
            now.as_micros(),
            event_id.map(|id| id.0),
            key.as_deref(),
            written,
            &value[..],
        ])?;
    let at = |offset| Position { topic, partition: 0, offset };
    if changed == 0 {
        let known: i64 = db
            .prepare_cached(
                "SELECT place FROM records WHERE ifnull(key, x'') = ifnull(?1, x'')
                 AND event_id = ?2 AND place >> 48 = ?3",
            )?
            .query_row(
                params![key.as_deref(), event_id.map(|id| id.0), i64::from(topic.id())],
                |row| row.get(0),
            )?;
        return Ok(Inserted::Known(at(offset_of(known))));
    }
    let (key, headers, value) = (key.clone(), headers.clone(), value.clone());
    Ok(Inserted::New(Received { at: at(offset), appended_at: now, key, headers, value }))
}

/// Records of `topic` in `from..end`, in order.
pub(super) fn read(
    db: &Connection,
    topic: Topic,
    from: u64,
    end: u64,
    mut budget: Budget,
) -> Result<Vec<Received>> {
    let mut statement = db.prepare_cached(
        "SELECT place, appended_at, key, headers, value FROM records
         WHERE place >= ?1 AND place < ?2 ORDER BY place",
    )?;
    let mut rows = statement.query([place(topic, from), place(topic, end)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let record = received(topic, row)?;
        let more = budget.spend(record.weight());
        found.push(record);
        if !more {
            break;
        }
    }
    Ok(found)
}

fn received(topic: Topic, row: &Row<'_>) -> Result<Received> {
    let headers = match row.get_ref(3)? {
        ValueRef::Text(text) => serde_json::from_slice(text).unwrap_or_default(),
        _ => Vec::new(),
    };
    Ok(Received {
        at: Position { topic, partition: 0, offset: offset_of(row.get(0)?) },
        appended_at: Timestamp::from_micros(row.get(1)?),
        key: row.get::<_, Option<Vec<u8>>>(2)?.map(Bytes::from),
        headers,
        value: Bytes::from(row.get::<_, Vec<u8>>(4)?),
    })
}

/// The first offset in `from..end` that was appended at or after `time`; `end` if there is none.
pub(super) fn first_since(
    db: &Connection,
    topic: Topic,
    from: u64,
    end: u64,
    time: Timestamp,
) -> Result<u64> {
    let found: Option<i64> = db
        .prepare_cached(
            "SELECT place FROM records WHERE place >= ?1 AND place < ?2 AND appended_at >= ?3
             ORDER BY place LIMIT 1",
        )?
        .query_row([place(topic, from), place(topic, end), time.as_micros()], |row| row.get(0))
        .optional()?;
    Ok(found.map_or(end, offset_of))
}

/// Deletes the records of `topic` in `from..end`.
pub(super) fn delete(db: &Connection, topic: Topic, from: u64, end: u64) -> Result<()> {
    db.prepare_cached("DELETE FROM records WHERE place >= ?1 AND place < ?2")?
        .execute([place(topic, from), place(topic, end)])
        .map(|_| ())
}
