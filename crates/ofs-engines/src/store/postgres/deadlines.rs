//! Deadlines: set, dropped, passed, overdue. Times are the server's.

use super::session::{Failure, Sessions, Step, column, params, statements, step, value};
use super::values::{Time, get, limit, micros, number};
use super::write::Rows;
use ofs_events::Key;
use ofs_runtime::store::{Deadline, Due, OVERDUE_LOOK, Overdue, Settled, shard_of};
use std::time::Duration;
use tokio_postgres::Row;
use uuid::Uuid;

statements! {
    SET = "
        INSERT INTO deadlines AS d (owner, key, name, shard, wait, due_at)
        SELECT $1::text, key, name, shard, wait, now() + wait * interval '1 microsecond'
        FROM unnest($2::uuid[], $3::text[], $4::smallint[], $5::bigint[])
            AS g (key, name, shard, wait)
        ON CONFLICT (owner, key, name) DO UPDATE
        SET wait = excluded.wait, due_at = excluded.due_at, overdue_since = NULL";
    DROP = "
        DELETE FROM deadlines WHERE ctid = ANY (ARRAY(
            SELECT d.ctid FROM unnest($2::uuid[], $3::text[]) AS g (key, name)
            CROSS JOIN LATERAL (
                SELECT ctid FROM deadlines d
                WHERE d.owner = $1::text AND d.key = g.key AND d.name = g.name OFFSET 0) d))";
    /// Those that stay are due again later; those without a wait go.
    PASS = "
        WITH given AS (
            SELECT g.*, d.ctid AS row
            FROM unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::bigint[], $6::integer[])
                AS g (key, name, due_at, wait, commit)
            CROSS JOIN LATERAL (
                SELECT ctid FROM deadlines d
                WHERE d.owner = $1::text AND d.key = g.key AND d.name = g.name
                AND d.due_at = g.due_at FOR UPDATE) d),
        kept AS (
            UPDATE deadlines d
            SET wait = g.wait, due_at = now() + g.wait * interval '1 microsecond',
                overdue_since = coalesce(d.overdue_since, now())
            FROM given g WHERE d.ctid = g.row AND g.wait IS NOT NULL),
        gone AS (
            DELETE FROM deadlines WHERE ctid = ANY (ARRAY(
                SELECT row FROM given WHERE wait IS NULL)))
        SELECT CASE WHEN (SELECT count(*) FROM given) < cardinality($6) THEN stale(ARRAY(
            SELECT DISTINCT commit FROM unnest($2::uuid[], $3::text[], $6::integer[])
                AS g (key, name, commit)
            WHERE (key, name) NOT IN (SELECT key, name FROM given))) END";
    PASSED = "
        SELECT d.key, d.name, d.due_at,
            coalesce((extract(epoch FROM now() - d.overdue_since) * 1000000)::bigint, 0)
        FROM unnest($2::smallint[]) AS s (shard)
        CROSS JOIN LATERAL (
            SELECT * FROM deadlines d
            WHERE d.owner = $1::text AND d.shard = s.shard AND d.due_at <= now()
            ORDER BY d.due_at LIMIT $3::bigint) d
        ORDER BY d.due_at LIMIT $3";
    OVERDUE = "
        SELECT owner, name, count(*), min(overdue_since), (array_agg(key ORDER BY overdue_since))[1]
        FROM (SELECT owner, name, overdue_since, key FROM deadlines
              WHERE overdue_since IS NOT NULL
              ORDER BY owner, name, overdue_since LIMIT $1) d
        GROUP BY owner, name ORDER BY owner, name";
}

pub(super) fn set<'a>(steps: &mut Vec<Step<'a>>, owner: &'a str, mut rows: Rows<'a, Deadline>) {
    rows.sort_by_key(|(_, deadline)| (deadline.key, deadline.name));
    let deadlines = rows.into_iter().map(|(_, deadline)| deadline);
    let (set, dropped): (Vec<&Deadline>, Vec<&Deadline>) =
        deadlines.partition(|deadline| deadline.due_in.is_some());
    let key = |rows: &[&Deadline]| column(rows, |row| row.key.0);
    let name = |rows: &[&Deadline]| column(rows, |row| row.name);
    if !set.is_empty() {
        let shard = column(&set, |row| shard_of(row.key).cast_signed());
        let wait = column(&set, |row| row.due_in.map_or(0, micros));
        steps.push(step(SET, vec![value(owner), key(&set), name(&set), shard, wait]));
    }
    if !dropped.is_empty() {
        steps.push(step(DROP, vec![value(owner), key(&dropped), name(&dropped)]));
    }
}

pub(super) fn pass<'a>(steps: &mut Vec<Step<'a>>, owner: &'a str, settled: &Rows<'a, Settled>) {
    let mut passed: Vec<(Uuid, &str, Time, Option<i64>, i32)> = Vec::new();
    for (n, settled) in settled {
        if let Settled::Passed { key, name, due_at, again_in } = settled {
            passed.push((key.0, name, Time(*due_at), again_in.map(micros), *n));
        }
    }
    if !passed.is_empty() {
        passed.sort_by_key(|row| (row.0, row.1));
        let values = vec![
            value(owner),
            column(&passed, |row| row.0),
            column(&passed, |row| row.1),
            column(&passed, |row| row.2),
            column(&passed, |row| row.3),
            column(&passed, |row| row.4),
        ];
        steps.push(step(PASS, values));
    }
}

pub(super) async fn passed(
    sessions: &Sessions,
    owner: &str,
    shards: &[u16],
    max: usize,
) -> Result<Vec<Due>, Failure> {
    let shards: Vec<i16> = shards.iter().map(|shard| shard.cast_signed()).collect();
    let rows = sessions.query(PASSED, params![owner, shards, limit(max)]).await?;
    let due = |row: &Row| {
        Ok(Due {
            key: Key(get(row, 0)?),
            name: get(row, 1)?,
            due_at: get::<Time>(row, 2)?.0,
            overdue_for: Duration::from_micros(number(row, 3)?),
        })
    };
    rows.iter().map(due).collect()
}

pub(super) async fn overdue(sessions: &Sessions) -> Result<Vec<Overdue>, Failure> {
    let rows = sessions.query(OVERDUE, params![limit(OVERDUE_LOOK)]).await?;
    let overdue = |row: &Row| {
        Ok(Overdue {
            owner: get(row, 0)?,
            name: get(row, 1)?,
            rows: number(row, 2)?,
            oldest: get::<Time>(row, 3)?.0,
            key: Key(get(row, 4)?),
        })
    };
    rows.iter().map(overdue).collect()
}
