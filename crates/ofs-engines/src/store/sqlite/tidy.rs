//! Dropping what is past its retention, a bounded number of rows at a time.

use super::{Done, now};
use ofs_events::Timestamp;
use ofs_runtime::store::Retention;
use rusqlite::{Connection, OptionalExtension, params};

/// Rows of one kind dropped per call, so that commits never wait long behind it.
const BATCH: usize = 1_000;
const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

pub(super) fn tidy(connection: &Connection, retention: Retention) -> Done<bool> {
    let now = now(connection)?;
    let today = Timestamp::from_micros(now).day();
    let mut more = inbox(connection, today.saturating_sub(i32::from(retention.inbox_days)))?;
    let old_keys = "DELETE FROM idempotency_keys WHERE (owner, key) IN (
                        SELECT owner, key FROM idempotency_keys WHERE created_at < ?
                        ORDER BY created_at LIMIT ?)";
    let before = now - i64::from(retention.once_hours) * HOUR;
    more |= drop_batch(connection, old_keys, before)?;
    let old_parked = "DELETE FROM parked_events WHERE id IN (
                          SELECT id FROM parked_events WHERE state <> 'parked' AND closed_at < ?
                          ORDER BY closed_at LIMIT ?)";
    let before = now - i64::from(retention.parked_days) * DAY;
    more |= drop_batch(connection, old_parked, before)?;
    Ok(more)
}

fn drop_batch(connection: &Connection, sql: &str, before: i64) -> Done<bool> {
    let batch = super::limit(BATCH);
    Ok(connection.prepare_cached(sql)?.execute(params![before, batch])? == BATCH)
}

/// Owner by owner, because the table is sorted by owner and then by day.
fn inbox(connection: &Connection, before: i32) -> Done<bool> {
    let mut owners =
        connection.prepare_cached("SELECT min(owner) FROM processed_events WHERE owner > ?")?;
    let mut drop = connection.prepare_cached(
        "DELETE FROM processed_events WHERE (owner, day, key, event_id) IN (
             SELECT owner, day, key, event_id FROM processed_events
             WHERE owner = ? AND day < ? ORDER BY day LIMIT ?)",
    )?;
    let (mut owner, mut left) = (String::new(), BATCH);
    while left > 0 {
        let next = owners.query_row([&owner], |row| row.get::<_, Option<String>>(0)).optional()?;
        let Some(next) = next.flatten() else { return Ok(false) };
        left -= drop.execute(params![next, before, super::limit(left)])?.min(left);
        owner = next;
    }
    Ok(true)
}
