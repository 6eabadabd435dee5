//! Leases: who of several couriers works on which slots. They save work; correctness needs none.

use super::session::{Failure, Sessions, params, statements, step, transaction};
use super::values::{get, micros};
use std::time::Duration;
use uuid::Uuid;

// Times are of the statement, not of the transaction: it may have waited for its turn. What ends later
// than a lease can last was written before the server's clock was set back, and is over, too.
statements! {
    /// One holder of a group at a time.
    TURN = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
    JOIN = "
        INSERT INTO lease_holders (name, holder, until)
        VALUES ($1, $2, statement_timestamp() + $3::bigint * interval '1 microsecond')
        ON CONFLICT (name, holder) DO UPDATE SET until = excluded.until";
    EXPIRE_HOLDERS = "
        DELETE FROM lease_holders WHERE name = $1 AND (until <= statement_timestamp()
            OR until > statement_timestamp() + $2::bigint * interval '1 microsecond')";
    EXPIRE_SLOTS = "
        DELETE FROM leases WHERE name = $1 AND (until <= statement_timestamp()
            OR until > statement_timestamp() + $2::bigint * interval '1 microsecond')";
    /// Gives up what is beyond the share: all slots are shared out, the first holders get one more.
    YIELD = "
        DELETE FROM leases WHERE name = $1 AND holder = $2 AND slot NOT IN (
            SELECT slot FROM leases WHERE name = $1 AND holder = $2 AND slot < $3 ORDER BY slot
            LIMIT (SELECT $3::integer / count(*)
                        + (count(*) FILTER (WHERE holder < $2) < $3 % count(*))::integer
                   FROM lease_holders WHERE name = $1))";
    /// Renews what is left, and takes free slots up to the share.
    TAKE = "
        INSERT INTO leases (name, slot, holder, until)
        SELECT $1, slot, $2, statement_timestamp() + $4::bigint * interval '1 microsecond' FROM (
            SELECT s.slot FROM generate_series(0, $3::integer - 1) AS s (slot)
            LEFT JOIN leases l ON l.name = $1 AND l.slot = s.slot
            WHERE l.holder IS NULL OR l.holder = $2
            ORDER BY l.holder IS NULL, s.slot
            LIMIT (SELECT $3 / count(*)
                        + (count(*) FILTER (WHERE holder < $2) < $3 % count(*))::integer
                   FROM lease_holders WHERE name = $1)) mine
        ON CONFLICT (name, slot) DO UPDATE SET holder = excluded.holder, until = excluded.until
        RETURNING slot";
    LEAVE = "
        WITH left_slots AS (DELETE FROM leases WHERE name = $1 AND holder = $2)
        DELETE FROM lease_holders WHERE name = $1 AND holder = $2";
}

pub(super) async fn lease(
    sessions: &Sessions,
    group: &str,
    holder: Uuid,
    slots: u16,
    ttl: Duration,
) -> Result<Vec<u16>, Failure> {
    if ttl.is_zero() {
        sessions.query(LEAVE, params![group, holder]).await?;
        return Ok(Vec::new());
    }
    let (count, ttl) = (i32::from(slots), micros(ttl));
    let steps = transaction(vec![
        step(TURN, params![group]),
        step(EXPIRE_HOLDERS, params![group, ttl]),
        step(EXPIRE_SLOTS, params![group, ttl]),
        step(JOIN, params![group, holder, ttl]),
        step(YIELD, params![group, holder, count]),
        step(TAKE, params![group, holder, count, ttl]),
    ]);
    let answers = sessions.run(&steps).await?;
    // The answer to the last statement before COMMIT.
    let taken = answers.iter().rev().nth(1).map_or(&[][..], Vec::as_slice);
    let slot = |row| get::<i32>(row, 0).map(|slot| u16::try_from(slot).unwrap_or_default());
    let mut mine = taken.iter().map(slot).collect::<Result<Vec<u16>, Failure>>()?;
    mine.sort_unstable();
    Ok(mine)
}
