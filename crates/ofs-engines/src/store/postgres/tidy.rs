//! Dropping what is past its retention, a bounded number of rows at a time.

use super::session::{Failure, Sessions, params, statements, step};
use super::values::{Time, get, number};
use ofs_events::Timestamp;
use ofs_runtime::store::Retention;
use std::sync::{Mutex, PoisonError};
use tokio_postgres::Row;
use uuid::Uuid;

/// Rows of one kind dropped per call.
const BATCH: i64 = 5_000;

// Rows are dropped by their place, which they keep: nobody ever changes one of these. `$3` is what the
// server's clock would say if it had not been set since the store was opened; if it was set forward,
// nothing is dropped early.
statements! {
    /// Owner by owner, because the inbox is sorted by owner and then by day; on from where the last batch
    /// ended, or every batch would pass what those before it have left in the index. Answers with where
    /// this one ends.
    OLD_EVENTS = "
        WITH RECURSIVE owners (owner) AS (
            (SELECT owner FROM processed_events
             WHERE (owner, day, key, event_id) >= ($4::text, $5::integer, $6::uuid, $7::uuid)
             ORDER BY owner, day, key, event_id LIMIT 1)
            UNION ALL
            SELECT next.owner FROM owners o CROSS JOIN LATERAL (
                SELECT e.owner FROM processed_events e WHERE e.owner > o.owner
                ORDER BY e.owner LIMIT 1) next),
        gone AS (
            DELETE FROM processed_events WHERE ctid = ANY (ARRAY(
                SELECT old.ctid FROM owners o CROSS JOIN LATERAL (
                    SELECT e.ctid FROM processed_events e
                    WHERE e.owner = o.owner AND e.day < (least(now(), $3) AT TIME ZONE 'UTC')::date
                        - date '1970-01-01' - $1::integer
                    AND (e.day, e.key, e.event_id) >= (
                        CASE WHEN o.owner = $4 THEN $5 ELSE -2147483648 END,
                        CASE WHEN o.owner = $4 THEN $6 ELSE '00000000-0000-0000-0000-000000000000' END,
                        CASE WHEN o.owner = $4 THEN $7 ELSE '00000000-0000-0000-0000-000000000000' END)
                    ORDER BY e.day, e.key, e.event_id LIMIT $2) old
                LIMIT $2)) RETURNING owner, day, key, event_id)
        SELECT count(*) OVER (), owner, day, key, event_id FROM gone
        ORDER BY owner DESC, day DESC, key DESC, event_id DESC LIMIT 1";
    OLD_KEYS = "
        WITH gone AS (
            DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM idempotency_keys
                WHERE created_at < least(now(), $3) - $1::integer * interval '1 hour'
                ORDER BY created_at LIMIT $2)) RETURNING 1)
        SELECT count(*) FROM gone";
    OLD_PARKED = "
        WITH gone AS (
            DELETE FROM parked_events WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM parked_events
                WHERE state <> 'parked'
                AND closed_at < least(now(), $3) - $1::integer * interval '24 hours'
                ORDER BY closed_at LIMIT $2)) RETURNING 1)
        SELECT count(*) FROM gone";
}

/// Where the last batch from the inbox ended; before everything if there is no more after it.
pub(super) struct Ended(Mutex<Place>);

/// Owner, day, key, event.
type Place = (String, i32, Uuid, Uuid);

const BEGINNING: Place = (String::new(), i32::MIN, Uuid::nil(), Uuid::nil());

impl Default for Ended {
    fn default() -> Self {
        Self(Mutex::new(BEGINNING))
    }
}

pub(super) async fn tidy(
    sessions: &Sessions,
    ended: &Ended,
    now: Timestamp,
    retention: Retention,
) -> Result<bool, Failure> {
    let Retention { inbox_days, once_hours, parked_days } = retention;
    let (owner, day, key, event) = ended.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let inbox = params![i32::from(inbox_days), BATCH, Time(now), owner, day, key, event];
    let steps = [
        step(OLD_EVENTS, inbox),
        step(OLD_KEYS, params![i32::from(once_hours), BATCH, Time(now)]),
        step(OLD_PARKED, params![i32::from(parked_days), BATCH, Time(now)]),
    ];
    let answers = sessions.run(&steps).await?;
    let is_full = |row: &Row| Ok::<_, Failure>(number(row, 0)? >= BATCH.unsigned_abs());
    let last = answers.first().and_then(|rows| rows.first());
    *ended.0.lock().unwrap_or_else(PoisonError::into_inner) = match last {
        Some(row) if is_full(row)? => (get(row, 1)?, get(row, 2)?, get(row, 3)?, get(row, 4)?),
        _ => BEGINNING,
    };
    let mut more = false;
    for row in answers.iter().flatten() {
        more |= is_full(row)?;
    }
    Ok(more)
}
