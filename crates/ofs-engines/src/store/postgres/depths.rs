//! How much is owed. Counted exactly as far as that is cheap; what goes beyond is counted in the
//! background, so that an answer never takes longer because there is more to count.

use super::session::{Failure, Sessions, Sql, params, statements};
use super::values::{Time, get, number};
use ofs_events::Timestamp;
use ofs_runtime::store::{Depth, Depths, SHARDS};
use ofs_runtime::task;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Rows of one owner that are counted while the caller waits.
const CHEAP: u64 = 10_000;
/// How long the background rests between two counts, at least; and ten times as long as one took.
const REST: Duration = Duration::from_secs(1);

statements! {
    /// Up to `$1` rows of each owner, and the time of the oldest; the time now comes last. Ranges in the order of an index, so
    /// that the planner walks that one.
    DEPTHS = "
        WITH RECURSIVE
        sending (owner) AS (
            (SELECT owner FROM outbox ORDER BY owner LIMIT 1)
            UNION ALL
            SELECT next.owner FROM sending s CROSS JOIN LATERAL (
                SELECT owner FROM outbox o WHERE o.owner > s.owner ORDER BY owner LIMIT 1) next),
        indexing (owner) AS (
            (SELECT owner FROM owed_index ORDER BY owner LIMIT 1)
            UNION ALL
            SELECT next.owner FROM indexing i CROSS JOIN LATERAL (
                SELECT owner FROM owed_index o WHERE o.owner > i.owner ORDER BY owner LIMIT 1) next),
        refusing (owner) AS (
            (SELECT owner FROM refused_documents ORDER BY owner LIMIT 1)
            UNION ALL
            SELECT next.owner FROM refusing r CROSS JOIN LATERAL (
                SELECT owner FROM refused_documents d WHERE d.owner > r.owner
                ORDER BY owner LIMIT 1) next),
        parking (owner) AS (
            (SELECT owner FROM parked_events WHERE state = 'parked' ORDER BY owner LIMIT 1)
            UNION ALL
            SELECT next.owner FROM parking p CROSS JOIN LATERAL (
                SELECT owner FROM parked_events e WHERE e.owner > p.owner AND e.state = 'parked'
                ORDER BY owner LIMIT 1) next)
        SELECT 0, owner,
            (SELECT count(*) FROM (SELECT FROM outbox o WHERE o.owner = s.owner LIMIT $1) few),
            (SELECT min(head.created_at) FROM generate_series(0, $2::integer - 1) AS g (shard)
             CROSS JOIN LATERAL (
                SELECT created_at FROM outbox o
                WHERE (o.owner, o.shard, o.id) >= (s.owner, g.shard::smallint, 0)
                AND (o.owner, o.shard, o.id) < (s.owner, (g.shard + 1)::smallint, 0)
                ORDER BY o.owner, o.shard, o.id LIMIT 1) head)
        FROM sending s
        UNION ALL
        SELECT 1, owner,
            (SELECT count(*) FROM (SELECT since FROM owed_index o WHERE o.owner = i.owner
                                   ORDER BY since LIMIT $1) few),
            (SELECT since FROM owed_index o WHERE o.owner = i.owner ORDER BY since LIMIT 1)
        FROM indexing i
        UNION ALL
        SELECT 2, owner,
            (SELECT count(*) FROM (SELECT since FROM refused_documents d WHERE d.owner = r.owner
                                   ORDER BY since LIMIT $1) few),
            (SELECT since FROM refused_documents d WHERE d.owner = r.owner ORDER BY since LIMIT 1)
        FROM refusing r
        UNION ALL
        SELECT 3, owner,
            (SELECT count(*) FROM (SELECT FROM parked_events e WHERE e.owner = p.owner
                                   AND e.state = 'parked' LIMIT $1) few),
            (SELECT parked_at FROM parked_events e
             WHERE e.state = 'parked' AND (e.owner, e.id) >= (p.owner, 0)
             AND (e.owner, e.id) <= (p.owner, 9223372036854775807)
             ORDER BY e.owner, e.id LIMIT 1)
        FROM parking p
        UNION ALL
        SELECT 4, '', 0, now()
        ORDER BY 1, 2";
    COUNT_OUTBOX = "SELECT count(id) FROM outbox WHERE owner = $1";
    COUNT_INDEX = "SELECT count(since) FROM owed_index WHERE owner = $1";
    COUNT_REFUSED = "SELECT count(since) FROM refused_documents WHERE owner = $1";
    COUNT_PARKED = "SELECT count(*) FROM parked_events WHERE owner = $1 AND state = 'parked'";
}

/// What is counted, as [`DEPTHS`] numbers it.
const LANES: [Sql; 4] = [COUNT_OUTBOX, COUNT_INDEX, COUNT_REFUSED, COUNT_PARKED];

/// A lane, and whose rows.
type Pile = (usize, String);

/// What was last counted in the background.
#[derive(Default)]
pub(super) struct Counts {
    piles: Mutex<HashMap<Pile, Count>>,
}

#[derive(Clone, Copy)]
enum Count {
    /// It is being counted; what was known before.
    Counting(u64),
    /// It was counted, and need not be again until then.
    Counted(u64, Instant),
}

pub(super) async fn depths(
    sessions: &Arc<Sessions>,
    counts: &Arc<Counts>,
) -> Result<Depths, Failure> {
    let mut lanes = [const { Vec::new() }; 4];
    let mut at = Timestamp::from_micros(0);
    let cheap = i64::try_from(CHEAP).unwrap_or(i64::MAX);
    let rows = sessions.query(DEPTHS, params![cheap, i32::from(SHARDS)]).await?;
    for row in &rows {
        let lane = usize::try_from(get::<i32>(row, 0)?).unwrap_or_default();
        let (owner, mut rows): (String, u64) = (get(row, 1)?, number(row, 2)?);
        if rows >= CHEAP {
            rows = counts.of(sessions, (lane, owner.clone())).max(rows);
        }
        let oldest = get::<Option<Time>>(row, 3)?.map(|at| at.0);
        match lanes.get_mut(lane) {
            Some(lane) => lane.push(Depth { owner, rows, oldest }),
            None => at = oldest.unwrap_or(at),
        }
    }
    let [outbox, mut index, refused, parked] = lanes;
    for depth in &mut index {
        depth.oldest = depth.oldest.map(|since| since.min(at));
    }
    Ok(Depths { at, outbox, index, refused, parked })
}

impl Counts {
    /// The size of a large pile as it was last counted; has it counted again if that is long ago.
    fn of(self: &Arc<Self>, sessions: &Arc<Sessions>, pile: Pile) -> u64 {
        let mut piles = self.piles.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match piles.get(&pile) {
            Some(Count::Counting(rows)) => return *rows,
            Some(Count::Counted(rows, until)) if *until > Instant::now() => return *rows,
            Some(Count::Counted(rows, _)) => *rows,
            None => 0,
        };
        piles.insert(pile.clone(), Count::Counting(known));
        let (counts, sessions) = (Arc::clone(self), Arc::clone(sessions));
        tokio::spawn(task::guard("postgres-counts", async move {
            let started = Instant::now();
            let count = count(&sessions, &pile).await;
            let until = Instant::now() + REST.max(started.elapsed() * 10);
            // What cannot be counted stays at what was known; asking again is the next caller's.
            let counted = Count::Counted(count.unwrap_or(known), until);
            counts.piles.lock().unwrap_or_else(PoisonError::into_inner).insert(pile, counted);
        }));
        known
    }
}

async fn count(sessions: &Sessions, (lane, owner): &Pile) -> Result<u64, Failure> {
    let Some(sql) = LANES.get(*lane) else { return Ok(0) };
    let rows = sessions.query(*sql, params![owner.as_str()]).await?;
    rows.first().map_or(Ok(0), |row| number(row, 0))
}
