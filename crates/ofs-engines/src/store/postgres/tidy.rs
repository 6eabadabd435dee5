//! Dropping what is past its retention, a bounded number of rows at a time.

use super::session::{Failure, Sessions, params, statements, step};
use super::values::{Time, number};
use ofs_events::Timestamp;
use ofs_runtime::store::Retention;

/// Rows of one kind dropped per call.
const BATCH: i64 = 5_000;

// Rows are dropped by their place, which they keep: nobody ever changes one of these. `$3` is what the
// server's clock would say if it had not been set since the store was opened; if it was set forward,
// nothing is dropped early.
statements! {
    /// Owner by owner, because the inbox is sorted by owner and then by day.
    OLD_EVENTS = "
        WITH RECURSIVE owners (owner) AS (
            (SELECT owner FROM processed_events ORDER BY owner LIMIT 1)
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
                    ORDER BY e.day LIMIT $2) old
                LIMIT $2)) RETURNING 1)
        SELECT count(*) FROM gone";
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

pub(super) async fn tidy(
    sessions: &Sessions,
    now: Timestamp,
    retention: Retention,
) -> Result<bool, Failure> {
    let Retention { inbox_days, once_hours, parked_days } = retention;
    let steps = [
        step(OLD_EVENTS, params![i32::from(inbox_days), BATCH, Time(now)]),
        step(OLD_KEYS, params![i32::from(once_hours), BATCH, Time(now)]),
        step(OLD_PARKED, params![i32::from(parked_days), BATCH, Time(now)]),
    ];
    let mut more = false;
    for row in sessions.run(&steps).await?.iter().flatten() {
        more |= number(row, 0)? >= BATCH.unsigned_abs();
    }
    Ok(more)
}
