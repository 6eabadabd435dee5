//! What is owed: to the log, to the index; and how much of it.

use super::load::record;
use super::parked::topic;
use super::session::{Failure, Sessions, params, statements};
use super::values::{Time, get, limit, number};
use bytes::Bytes;
use ofs_events::{EventId, OrderId};
use ofs_runtime::log::Message;
use ofs_runtime::store::{Depth, Depths, Outgoing, Record};
use std::collections::HashSet;
use tokio_postgres::Row;
use uuid::Uuid;

statements! {
    /// The lowest rows of each shard, and of those the lowest.
    OUTBOX = "
        SELECT o.id, o.key, o.topic, o.event_id, o.headers::text, o.value
        FROM unnest($2::smallint[]) AS s (shard)
        CROSS JOIN LATERAL (
            SELECT * FROM outbox o
            WHERE o.owner = $1::text AND o.shard = s.shard
            AND o.key NOT IN (SELECT unnest($3::uuid[]))
            ORDER BY o.id LIMIT $4::bigint) o
        ORDER BY o.id LIMIT $5";
    UNINDEXED = "
        SELECT r.key, r.version, r.status, r.body::text, r.created_at, r.updated_at
        FROM owed_index o
        CROSS JOIN LATERAL (
            SELECT * FROM records r WHERE r.owner = o.owner AND r.key = o.key OFFSET 0) r
        WHERE o.owner = $1 AND o.key NOT IN (SELECT unnest($2::uuid[]))
        ORDER BY o.since, o.key LIMIT $3";
    DEPTHS = "
        SELECT 'outbox', n.owner, n.rows, (SELECT created_at FROM outbox o WHERE o.id = n.id)
        FROM (SELECT owner, count(*) AS rows, min(id) AS id FROM outbox GROUP BY owner) n
        UNION ALL
        SELECT 'index', owner, count(*), min(since) FROM owed_index GROUP BY owner
        UNION ALL
        SELECT 'parked', n.owner, n.rows, (SELECT parked_at FROM parked_events p WHERE p.id = n.id)
        FROM (SELECT owner, count(*) AS rows, min(id) AS id FROM parked_events
              WHERE state = 'parked' GROUP BY owner) n
        ORDER BY 1, 2";
}

pub(super) async fn outbox(
    sessions: &Sessions,
    owner: &str,
    shards: &[u16],
    skip: &[OrderId],
    max: usize,
) -> Result<Vec<Outgoing>, Failure> {
    let shards: Vec<i16> = shards.iter().map(|shard| shard.cast_signed()).collect();
    let skip: Vec<Uuid> = skip.iter().map(|key| key.0).collect();
    // Shards are even: of each, twice its share is enough to find the lowest rows of all.
    let each = max.min(2 * max.div_ceil(shards.len().max(1)));
    let asked = params![owner, shards, skip, limit(each), limit(max)];
    let rows = sessions.query(OUTBOX, asked).await?;
    // In order of id, so the first row met of a key is its lowest.
    let mut met = HashSet::with_capacity(rows.len());
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let key = OrderId(get(row, 1)?);
        if met.insert(key) {
            found.push(outgoing(row, key)?);
        }
    }
    Ok(found)
}

fn outgoing(row: &Row, key: OrderId) -> Result<Outgoing, Failure> {
    let headers = serde_json::from_str(get(row, 4)?);
    let message = Message {
        topic: topic(get(row, 2)?)?,
        key: Some(Bytes::from(key.to_string())),
        event_id: get::<Option<Uuid>>(row, 3)?.map(EventId),
        headers: headers
            .map_err(|error| Failure::Unavailable(format!("read an event's headers: {error}")))?,
        value: Bytes::from(get::<Vec<u8>>(row, 5)?),
    };
    Ok(Outgoing { id: number(row, 0)?, key, message })
}

pub(super) async fn unindexed(
    sessions: &Sessions,
    owner: &str,
    skip: &[OrderId],
    max: usize,
) -> Result<Vec<Record>, Failure> {
    let skip: Vec<Uuid> = skip.iter().map(|key| key.0).collect();
    let rows = sessions.query(UNINDEXED, params![owner, skip, limit(max)]).await?;
    rows.iter().map(record).collect()
}

pub(super) async fn depths(sessions: &Sessions) -> Result<Depths, Failure> {
    let mut depths = Depths::default();
    for row in &sessions.query(DEPTHS, params![]).await? {
        let lane = match get(row, 0)? {
            "outbox" => &mut depths.outbox,
            "index" => &mut depths.index,
            _ => &mut depths.parked,
        };
        let oldest = get::<Option<Time>>(row, 3)?.map(|at| at.0);
        lane.push(Depth { owner: get(row, 1)?, rows: number(row, 2)?, oldest });
    }
    Ok(depths)
}
