//! How far the log was, as this store noted it.

use super::session::{Failure, Sessions, params, statements};
use super::values::{get, int, number};
use ofs_runtime::log::Position;
use ofs_runtime::store::LogEnd;

// In the order of the key, so that two processes never wait for each other.
statements! {
    NEWEST = "SELECT coalesce(pg_sequence_last_value('outbox_id_seq'::regclass), 0)";
    ENDS = "SELECT topic, partition, next_offset, missing FROM log_ends ORDER BY topic, partition";
    NOTE = "
        WITH raised AS (
            INSERT INTO log_ends AS e (topic, partition, next_offset)
            SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[])
                AS n (topic, partition, next)
            ORDER BY topic COLLATE \"C\", partition
            ON CONFLICT (topic, partition)
            DO UPDATE SET next_offset = excluded.next_offset
            WHERE e.next_offset < excluded.next_offset
        )
        SELECT nextval('outbox_id_seq')";
    SET = "
        INSERT INTO log_ends (topic, partition, next_offset, missing)
        SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[])
            AS n (topic, partition, next, missing)
        ORDER BY topic COLLATE \"C\", partition
        ON CONFLICT (topic, partition)
        DO UPDATE SET next_offset = excluded.next_offset, missing = excluded.missing";
}

pub(super) async fn newest_outgoing(sessions: &Sessions) -> Result<u64, Failure> {
    let rows = sessions.query(NEWEST, Vec::new()).await?;
    rows.first().map_or(Ok(0), |row| number(row, 0))
}

/// Topics that this build does not know are left to those that do.
pub(super) async fn all(sessions: &Sessions) -> Result<Vec<LogEnd>, Failure> {
    let mut ends = Vec::new();
    for row in &sessions.query(ENDS, Vec::new()).await? {
        if let Ok(topic) = get::<String>(row, 0)?.parse() {
            let partition = get::<i32>(row, 1)?.cast_unsigned();
            ends.push(LogEnd { topic, partition, next: number(row, 2)?, missing: number(row, 3)? });
        }
    }
    Ok(ends)
}

pub(super) async fn note(sessions: &Sessions, ends: &[Position]) -> Result<u64, Failure> {
    let next: Vec<i64> = ends.iter().map(|end| int(end.offset)).collect::<Result<_, _>>()?;
    let asked = params![
        ends.iter().map(|end| end.topic.name()).collect::<Vec<_>>(),
        ends.iter().map(|end| end.partition.cast_signed()).collect::<Vec<_>>(),
        next,
    ];
    let rows = sessions.query(NOTE, asked).await?;
    rows.first().map_or(Ok(0), |row| number(row, 0))
}

pub(super) async fn set(sessions: &Sessions, ends: &[LogEnd]) -> Result<(), Failure> {
    let next: Vec<i64> = ends.iter().map(|end| int(end.next)).collect::<Result<_, _>>()?;
    let missing: Vec<i64> = ends.iter().map(|end| int(end.missing)).collect::<Result<_, _>>()?;
    let asked = params![
        ends.iter().map(|end| end.topic.name()).collect::<Vec<_>>(),
        ends.iter().map(|end| end.partition.cast_signed()).collect::<Vec<_>>(),
        next,
        missing,
    ];
    sessions.query(SET, asked).await.map(|_| ())
}
