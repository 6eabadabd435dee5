//! Parked events: queues, their heads, claims, and what becomes of them.
//!
//! A queue is (owner, topic, key), its head the lowest open id; without a key each is a head.

use super::session::{Failure, Sessions, Step, column, params, statements, step, value};
use super::values::{Time, get, int, limit, micros, number};
use super::write::Rows;
use bytes::Bytes;
use ofs_events::{EventId, Key, Topic};
use ofs_runtime::backoff::LONGEST;
use ofs_runtime::budget::BATCH_BYTES;
use ofs_runtime::log::Position;
use ofs_runtime::store::{Claim, Parked, ParkedState, Parking, Settled};
use std::time::Duration;
use tokio_postgres::Row;
use tracing::warn;
use uuid::Uuid;

/// The lowest open id of the queue that `$of` belongs to; null without a key. A range in the order
/// of the queue's index, so that the planner walks that one.
macro_rules! head {
    ($of:literal) => {
        concat!(
            "(SELECT h.id FROM parked_events h WHERE h.state = 'parked'
            AND (h.owner, h.key, h.topic, h.id) >= (",
            $of,
            ".owner, ",
            $of,
            ".key, ",
            $of,
            ".topic, 0)
            AND (h.owner, h.key, h.topic, h.id)
                <= (",
            $of,
            ".owner, ",
            $of,
            ".key, ",
            $of,
            ".topic, 9223372036854775807)
            ORDER BY h.owner, h.key, h.topic, h.id LIMIT 1)"
        )
    };
}

/// No wait and no hold is longer; what is was written before the server's clock was set back.
macro_rules! longest {
    () => {
        "interval '15 minutes'"
    };
}
const _: () = assert!(LONGEST.as_secs() == 15 * 60);

/// Whether somebody is trying `$of` right now.
macro_rules! held {
    ($of:literal) => {
        concat!(
            "coalesce(",
            $of,
            ".held_until > now() AND ",
            $of,
            ".held_until <= now() + ",
            longest!(),
            ", false)"
        )
    };
}

/// Columns in the order [`parked`] reads them.
macro_rules! columns {
    () => {
        concat!(
            r#"id, owner, topic, partition, "offset", key, event_id, event_type, raw_key, raw,
            reason, unknown_type, attempts, parked_at, next_at, state, closed_at, now(), "#,
            held!("p"),
            ", ",
            head!("p"),
            " AS head"
        )
    };
}

/// Nobody holds it, and nothing in its queue goes before it.
macro_rules! free {
    () => {
        concat!("NOT ", held!("p"), " AND coalesce(", head!("p"), ", id) = id")
    };
}

/// Holds it. The try is counted as it begins, so that one that kills the process counts too.
macro_rules! take {
    ($wait:literal) => {
        concat!(
            "UPDATE parked_events p SET attempts = attempts + 1,
             held_until = now() + ",
            $wait,
            "::bigint * interval '1 microsecond'"
        )
    };
}

pub(super) mod page;

statements! {
    OVERDUE = concat!("
        UPDATE parked_events SET next_at = now()
        WHERE owner = $1 AND state = 'parked' AND next_at > now() + ", longest!());
    DUE = concat!("
        WITH heads AS (
            SELECT id, next_at, octet_length(raw) AS size FROM parked_events p
            WHERE owner = $1::text AND state = 'parked' AND next_at <= now()
            AND topic = ANY ($4::text[]) AND ", free!(), "
            ORDER BY next_at, id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED),
        due AS (
            SELECT id FROM (
                SELECT id, sum(size) OVER (ORDER BY next_at, id) - size AS before FROM heads) h
            WHERE before < $5::bigint) ",
        take!("$2"), " WHERE id = ANY (ARRAY(SELECT id FROM due)) RETURNING ", columns!());
    CLAIM = concat!(take!("$2"), " WHERE id = $1 AND state = 'parked'
        AND topic = ANY ($3::text[]) AND ", free!(),
        " RETURNING ", columns!());
    ONE = concat!("SELECT ", columns!(), " FROM parked_events p WHERE id = $1");
    PARK = r#"
        WITH given AS (
            SELECT * FROM unnest($2::text[], $3::integer[], $4::bigint[], $5::uuid[], $6::uuid[],
                    $7::text[], $8::bytea[], $9::bytea[], $10::text[], $11::boolean[],
                    $12::bigint[], $13::integer[])
                AS g (topic, partition, "offset", key, event_id, event_type, raw_key, raw, reason,
                      unknown_type, wait, commit)),
        fresh AS (
            INSERT INTO parked_events (owner, topic, partition, "offset", key, event_id, event_type,
                raw_key, raw, reason, unknown_type, parked_at, next_at)
            SELECT $1::text, topic, partition, "offset", key, event_id, event_type, raw_key, raw,
                reason, unknown_type, now(), now() + wait * interval '1 microsecond'
            FROM given ON CONFLICT DO NOTHING RETURNING topic, partition, "offset")
        SELECT CASE WHEN (SELECT count(*) FROM fresh) < cardinality($13) THEN stale(ARRAY(
            SELECT DISTINCT commit FROM given WHERE (topic, partition, "offset") NOT IN
            (SELECT topic, partition, "offset" FROM fresh))) END"#;
    /// Held in order of id, so that two who close the same events cannot wait for each other. One that
    /// is being tried is not discarded: its try may be charging the customer right now.
    HOLD_PARKED = concat!("
        WITH given AS (
            SELECT * FROM unnest($2::bigint[], $3::integer[], $4::text[]) AS g (id, commit, state)),
        held AS (
            SELECT g.id FROM given g CROSS JOIN LATERAL (
                SELECT FROM parked_events p
                WHERE p.id = g.id AND p.owner = $1::text AND p.state = 'parked'
                AND (g.state <> 'discarded' OR NOT ", held!("p"), ")
                FOR NO KEY UPDATE) p)
        SELECT CASE WHEN (SELECT count(DISTINCT id) FROM held) < cardinality($3) THEN stale(ARRAY(
            SELECT DISTINCT commit FROM given WHERE id NOT IN (SELECT id FROM held))) END");
    /// Resolves, discards or puts off.
    CLOSE = "
        UPDATE parked_events p SET
            state = g.state,
            closed_at = CASE WHEN g.state <> 'parked' THEN now() END,
            next_at = CASE WHEN g.state = 'parked' THEN now() + g.wait * interval '1 microsecond' END,
            held_until = NULL,
            reason = CASE g.state WHEN 'parked' THEN g.reason
                WHEN 'discarded' THEN p.reason || '; discarded: ' || g.reason ELSE p.reason END
        FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[]) AS g (id, state, reason, wait)
        WHERE p.id = ANY ($1) AND p.id = g.id";
    /// Whoever now stands at the head of a queue that moved on is due at once.
    WAKE = concat!("
        UPDATE parked_events SET next_at = now() WHERE id = ANY (ARRAY(
            SELECT head.id FROM unnest($1::bigint[]) AS g (id)
            CROSS JOIN LATERAL (
                SELECT owner, topic, key FROM parked_events p
                WHERE p.id = g.id AND p.state <> 'parked' OFFSET 0) q
            CROSS JOIN LATERAL ", head!("q"), " head WHERE head.id > g.id))");
}

pub(super) async fn due(
    sessions: &Sessions,
    owner: &str,
    hold: Duration,
    max: usize,
) -> Result<Vec<Parked>, Failure> {
    let steps = [
        step(OVERDUE, params![owner]),
        step(DUE, params![owner, micros(hold), limit(max), known(), limit(BATCH_BYTES)]),
    ];
    let rows = sessions.run(&steps).await?.pop().unwrap_or_default();
    let mut due = rows.iter().filter_map(readable).collect::<Result<Vec<_>, _>>()?;
    due.sort_by_key(|parked| (parked.next_at, parked.id));
    Ok(due)
}

/// Claims, and looks at what there is if that did not work. Both are sent at once, so it may have
/// become free in between: then it is tried again.
pub(super) async fn claim(sessions: &Sessions, id: u64, hold: Duration) -> Result<Claim, Failure> {
    let Ok(row) = i64::try_from(id) else { return Ok(Claim::Closed(None)) };
    for _ in 0..3 {
        let tried = [step(CLAIM, params![row, micros(hold), known()]), step(ONE, params![row])];
        let mut answers = sessions.run(&tried).await?.into_iter();
        let (claimed, found) =
            (answers.next().unwrap_or_default(), answers.next().unwrap_or_default());
        if let Some(row) = claimed.first() {
            let claimed = readable(row).transpose()?;
            return Ok(claimed.map_or(Claim::Closed(None), |found| Claim::Claimed(Box::new(found))));
        }
        let Some(row) = found.first() else { return Ok(Claim::Closed(None)) };
        let Some(found) = readable(row).transpose()? else { return Ok(Claim::Closed(None)) };
        if found.state != ParkedState::Parked {
            return Ok(Claim::Closed(Some(found.state)));
        }
        if let Some(head) = found.behind {
            return Ok(Claim::Behind(head));
        }
        if get::<bool>(row, 18)? {
            return Ok(Claim::Busy);
        }
    }
    Ok(Claim::Busy)
}

pub(super) async fn one(sessions: &Sessions, id: u64) -> Result<Option<Parked>, Failure> {
    let Ok(id) = i64::try_from(id) else { return Ok(None) };
    let rows = sessions.query(ONE, params![id]).await?;
    rows.first().and_then(readable).transpose()
}

/// The step that parks `parkings`; in order of position, which is the order of their queues.
pub(super) fn park<'a>(
    steps: &mut Vec<Step<'a>>,
    owner: &'a str,
    mut parkings: Rows<'a, Parking>,
) -> Result<(), Failure> {
    if parkings.is_empty() {
        return Ok(());
    }
    parkings.sort_by_key(|(_, parking)| parking.at);
    let refused = |_| Failure::Refused("a partition's number is too large".to_owned());
    let all = || parkings.iter().map(|(_, parking)| parking.at);
    let partition = all().map(|at| i32::try_from(at.partition)).collect::<Result<Vec<_>, _>>();
    let offset = all().map(|at| int(at.offset)).collect::<Result<Vec<_>, _>>()?;
    let values = vec![
        value(owner),
        column(&parkings, |(_, parking)| parking.at.topic.name()),
        value(partition.map_err(refused)?),
        value(offset),
        column(&parkings, |(_, parking)| parking.key.map(|key| key.0)),
        column(&parkings, |(_, parking)| parking.event_id.map(|id| id.0)),
        column(&parkings, |(_, parking)| parking.event_type.as_deref()),
        column(&parkings, |(_, parking)| parking.raw_key.as_deref()),
        column(&parkings, |(_, parking)| &parking.raw[..]),
        column(&parkings, |(_, parking)| parking.reason.as_str()),
        column(&parkings, |(_, parking)| parking.unknown_type),
        column(&parkings, |(_, parking)| parking.retry_in.map(micros)),
        column(&parkings, |(n, _)| *n),
    ];
    steps.push(step(PARK, values));
    Ok(())
}

/// The steps that settle parked events: resolved, discarded or put off.
pub(super) fn close<'a>(
    steps: &mut Vec<Step<'a>>,
    owner: &'a str,
    settled: &Rows<'a, Settled>,
) -> Result<(), Failure> {
    let mut closed: Vec<(i64, i32, ParkedState, &'a str, Option<i64>)> = Vec::new();
    for (n, settled) in settled {
        let (id, state, reason, wait) = match settled {
            Settled::Resolved(id) => (id, ParkedState::Resolved, "", None),
            Settled::Discarded(id, reason) => (id, ParkedState::Discarded, reason.as_str(), None),
            Settled::Deferred { id, reason, retry_in } => {
                (id, ParkedState::Parked, reason.as_str(), retry_in.map(micros))
            }
            Settled::Sent(_)
            | Settled::Indexed { .. }
            | Settled::Refused { .. }
            | Settled::Passed { .. } => continue,
        };
        closed.push((int(*id)?, *n, state, reason, wait));
    }
    if closed.is_empty() {
        return Ok(());
    }
    closed.sort_by_key(|row| row.0);
    let id = || column(&closed, |row| row.0);
    let commit = column(&closed, |row| row.1);
    let state = || column(&closed, |row| name(row.2));
    let reason = column(&closed, |row| row.3);
    let wait = column(&closed, |row| row.4);
    steps.push(step(HOLD_PARKED, vec![value(owner), id(), commit, state()]));
    steps.push(step(CLOSE, vec![id(), state(), reason, wait]));
    steps.push(step(WAKE, vec![id()]));
    Ok(())
}

/// The topics that this build knows; events of others are for newer ones.
fn known() -> Vec<&'static str> {
    Topic::ALL.map(Topic::name).to_vec()
}

/// The event in `row`; none if it is of a topic that this build does not know: a newer one reads it.
fn readable(row: &Row) -> Option<Result<Parked, Failure>> {
    let known = (|| {
        let (id, name) = (number(row, 0)?, get::<&str>(row, 2)?);
        let topic: Option<Topic> = name.parse().ok();
        if topic.is_none() {
            warn!(
                id,
                topic = name,
                "left out a parked event of a topic that this build does not know"
            );
        }
        Ok(topic)
    })();
    match known {
        Ok(topic) => topic.map(|topic| parked(row, topic)),
        Err(failure) => Some(Err(failure)),
    }
}

fn parked(row: &Row, topic: Topic) -> Result<Parked, Failure> {
    let (id, head) = (number(row, 0)?, get::<Option<i64>>(row, 19)?);
    let next_at = get::<Option<Time>>(row, 14)?.map(|at| at.0);
    let now = get::<Time>(row, 17)?.0;
    let left = |at: ofs_events::Timestamp| {
        let micros = at.as_micros().saturating_sub(now.as_micros());
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    };
    let state = match get(row, 15)? {
        "resolved" => ParkedState::Resolved,
        "discarded" => ParkedState::Discarded,
        _ => ParkedState::Parked,
    };
    let event = Parking {
        at: Position {
            topic,
            partition: get::<i32>(row, 3)?.unsigned_abs(),
            offset: number(row, 4)?,
        },
        key: get::<Option<Uuid>>(row, 5)?.map(Key),
        event_id: get::<Option<Uuid>>(row, 6)?.map(EventId),
        event_type: get(row, 7)?,
        raw_key: get::<Option<Vec<u8>>>(row, 8)?.map(Bytes::from),
        raw: Bytes::from(get::<Vec<u8>>(row, 9)?),
        reason: get(row, 10)?,
        unknown_type: get(row, 11)?,
        retry_in: next_at.map(left),
    };
    let behind = head.and_then(|head| u64::try_from(head).ok());
    Ok(Parked {
        id,
        owner: get(row, 1)?,
        event,
        attempts: get::<i32>(row, 12)?.unsigned_abs(),
        parked_at: get::<Time>(row, 13)?.0,
        next_at,
        state,
        closed_at: get::<Option<Time>>(row, 16)?.map(|at| at.0),
        behind: behind.filter(|head| state == ParkedState::Parked && *head != id),
    })
}

const fn name(state: ParkedState) -> &'static str {
    match state {
        ParkedState::Parked => "parked",
        ParkedState::Resolved => "resolved",
        ParkedState::Discarded => "discarded",
    }
}
