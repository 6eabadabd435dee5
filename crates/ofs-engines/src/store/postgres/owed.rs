//! What is owed: to the log, and to the index.

use super::load::record;
use super::session::{Failure, Sessions, params, statements, step};
use super::values::{Time, get, int, limit, number};
use bytes::Bytes;
use ofs_events::{EventId, Key};
use ofs_runtime::budget::Budget;
use ofs_runtime::store::{Oldest, Outgoing, Record, Refused, once_more, shard_of};
use std::collections::{HashMap, HashSet};
use tokio_postgres::Row;
use uuid::Uuid;

statements! {
    /// The lowest rows of each shard, and of those the lowest. A shard is asked for as a range, in
    /// the order of its index, because with `shard = … ORDER BY id` the planner likes to walk the
    /// rows of all shards by id.
    OUTBOX = "
        SELECT o.id, o.key, o.topic, o.event_id, o.headers::text, o.value
        FROM unnest($2::smallint[]) AS s (shard)
        CROSS JOIN LATERAL (
            SELECT * FROM outbox o
            WHERE (o.owner, o.shard, o.id) >= ($1::text, s.shard, $6::bigint)
            AND (o.owner, o.shard, o.id) < ($1, (s.shard + 1)::smallint, 0)
            AND o.key NOT IN (SELECT unnest($3::uuid[]))
            ORDER BY o.owner, o.shard, o.id LIMIT $4::bigint) o
        ORDER BY o.id LIMIT $5";
    /// Old and new ones by turns, because the answer may end before it is whole.
    UNINDEXED = "
        WITH owed AS (
            (SELECT owner, key, row_number() OVER (ORDER BY since, key) AS turn FROM (
                SELECT owner, key, since FROM owed_index
                WHERE owner = $1 AND key NOT IN (SELECT unnest($2::uuid[]))
                ORDER BY since, key LIMIT $3) oldest)
            UNION ALL
            (SELECT owner, key, row_number() OVER (ORDER BY since DESC, key DESC) FROM (
                SELECT owner, key, since FROM owed_index
                WHERE owner = $1 AND key NOT IN (SELECT unnest($2::uuid[]))
                ORDER BY since DESC, key DESC LIMIT $4) newest))
        SELECT r.key, r.version, r.status, r.body::text, r.created_at, r.updated_at
        FROM (SELECT owner, key, min(turn) AS turn FROM owed
              GROUP BY owner, key ORDER BY turn OFFSET 0) o
        CROSS JOIN LATERAL (
            SELECT * FROM records r WHERE r.owner = o.owner AND r.key = o.key OFFSET 0) r
        ORDER BY o.turn";
    OLDEST = "
        SELECT now(),
            (SELECT since FROM owed_index WHERE owner = $1 ORDER BY since LIMIT 1),
            (SELECT since FROM owed_index WHERE owner = $1 ORDER BY since DESC LIMIT 1)";
    REFUSED = "
        SELECT key, version, reason, since FROM refused_documents
        WHERE owner = $1 AND key >= $2 ORDER BY key LIMIT $3";
}

pub(super) async fn outbox(
    sessions: &Sessions,
    owner: &str,
    shards: &[u16],
    skip: &[Key],
    from: u64,
    max: usize,
) -> Result<Vec<Outgoing>, Failure> {
    let shards: Vec<i16> = shards.iter().map(|shard| shard.cast_signed()).collect();
    let skip: Vec<Uuid> = skip.iter().map(|key| key.0).collect();
    // Shards are even: of each, twice its share is enough to find the lowest rows of all.
    let each = max.min(2 * max.div_ceil(shards.len().max(1)));
    let asked = params![owner, shards, skip, limit(each), limit(max), int(from)?];
    let rows = sessions.ask(step(OUTBOX, asked).within(Budget::of(max))).await?;
    // In order of id, so the first row met of a key is its lowest.
    let mut met = HashSet::with_capacity(rows.len());
    let mut of_shard: HashMap<u16, usize> = HashMap::new();
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let key = Key(get(row, 1)?);
        if met.insert(key) {
            found.push(outgoing(row, key)?);
        }
        let count = of_shard.entry(shard_of(key)).or_default();
        *count += 1;
        // The shard may have more of them, before those of other shards.
        if *count == each {
            break;
        }
    }
    Ok(found)
}

fn outgoing(row: &Row, key: Key) -> Result<Outgoing, Failure> {
    let message = Outgoing::message(
        key,
        get(row, 2)?,
        get::<Option<Uuid>>(row, 3)?.map(EventId),
        get(row, 4)?,
        Bytes::from(get::<Vec<u8>>(row, 5)?),
    );
    Ok(Outgoing { id: number(row, 0)?, key, message })
}

pub(super) async fn unindexed(
    sessions: &Sessions,
    owner: &str,
    skip: &[Key],
    max: usize,
) -> Result<Vec<Record>, Failure> {
    let skip: Vec<Uuid> = skip.iter().map(|key| key.0).collect();
    let newest = max / 2;
    let asked = params![owner, skip, limit(max - newest), limit(newest)];
    let owed = step(UNINDEXED, asked).within(Budget::of(max));
    sessions.ask(owed).await?.iter().map(record).collect()
}

pub(super) async fn oldest(sessions: &Sessions, owner: &str) -> Result<Oldest, Failure> {
    let rows = sessions.query(OLDEST, params![owner]).await?;
    let nothing = || Failure::Unavailable("the server said nothing".to_owned());
    let row = rows.first().ok_or_else(nothing)?;
    let end = |column| Ok::<_, Failure>(get::<Option<Time>>(row, column)?.map(|since| since.0));
    let (since, again) =
        (end(1)?.filter(|since| *since < once_more()), end(2)? == Some(once_more()));
    Ok(Oldest { at: get::<Time>(row, 0)?.0, since, again })
}

pub(super) async fn refused(
    sessions: &Sessions,
    owner: &str,
    after: Option<Key>,
    max: usize,
) -> Result<Vec<Refused>, Failure> {
    let Some(from) = after.map_or(Some(0), |key| key.0.as_u128().checked_add(1)) else {
        return Ok(Vec::new());
    };
    let asked = params![owner, Uuid::from_u128(from), limit(max)];
    let rows = sessions.query(REFUSED, asked).await?;
    let refused = |row: &Row| {
        Ok(Refused {
            key: Key(get(row, 0)?),
            version: number(row, 1)?,
            reason: get(row, 2)?,
            since: get::<Time>(row, 3)?.0,
        })
    };
    rows.iter().map(refused).collect()
}
