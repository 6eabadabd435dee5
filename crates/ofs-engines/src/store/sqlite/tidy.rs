//! Dropping what is past its retention, a bounded number of rows at a time.

use super::Done;
use ofs_runtime::context::Clock;
use ofs_runtime::store::Retention;
use rusqlite::{Connection, OptionalExtension, params};
use std::time::Duration;
use uuid::Uuid;

/// Rows of one kind dropped per call, so that commits never wait long behind it.
const BATCH: usize = 4_000;

pub(super) fn tidy(connection: &Connection, clock: Clock, retention: Retention) -> Done<bool> {
    let before = |hours: u64| clock.before(Duration::from_hours(hours));
    let mut more = inbox(connection, before(24 * u64::from(retention.inbox_days)).day())?;
    let old_keys = "DELETE FROM idempotency_keys WHERE (owner, key) IN (
                        SELECT owner, key FROM idempotency_keys WHERE created_at < ?
                        ORDER BY created_at LIMIT ?)";
    let old = before(retention.once_hours.into()).as_micros();
    more |= drop_batch(connection, old_keys, old)?;
    let old_parked = "DELETE FROM parked_events WHERE id IN (
                          SELECT id FROM parked_events WHERE state <> 'parked' AND closed_at < ?
                          ORDER BY closed_at LIMIT ?)";
    let old = before(24 * u64::from(retention.parked_days)).as_micros();
    more |= drop_batch(connection, old_parked, old)?;
    Ok(more)
}

fn drop_batch(connection: &Connection, sql: &str, before: i64) -> Done<bool> {
    let batch = super::limit(BATCH);
    Ok(connection.prepare_cached(sql)?.execute(params![before, batch])? == BATCH)
}

/// Owner by owner, because the table is sorted by owner and then by day. Rows are dropped as a range:
/// that is a third of the work of dropping them one by one.
fn inbox(connection: &Connection, before: i32) -> Done<bool> {
    let mut owners =
        connection.prepare_cached("SELECT min(owner) FROM processed_events WHERE owner > ?")?;
    let mut last = connection.prepare_cached(
        "SELECT day, key, event_id FROM processed_events WHERE owner = ? AND day < ?
         ORDER BY day, key, event_id LIMIT 1 OFFSET ?",
    )?;
    let mut drop_some = connection.prepare_cached(
        "DELETE FROM processed_events WHERE owner = ? AND (day, key, event_id) <= (?, ?, ?)",
    )?;
    let mut drop_rest =
        connection.prepare_cached("DELETE FROM processed_events WHERE owner = ? AND day < ?")?;
    let (mut owner, mut left) = (String::new(), BATCH);
    while left > 0 {
        let next = owners.query_row([&owner], |row| row.get::<_, Option<String>>(0)).optional()?;
        let Some(next) = next.flatten() else { return Ok(false) };
        let row = last.query_row(params![next, before, super::limit(left - 1)], |row| {
            Ok((row.get::<_, i32>(0)?, row.get::<_, Uuid>(1)?, row.get::<_, Uuid>(2)?))
        });
        left -= match row.optional()? {
            Some((day, key, event)) => drop_some.execute(params![next, day, key, event])?,
            None => drop_rest.execute(params![next, before])?,
        }
        .min(left);
        owner = next;
    }
    Ok(true)
}
