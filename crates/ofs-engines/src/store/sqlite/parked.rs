//! Parked events: queues, their heads, claims, and what becomes of them.
//!
//! A queue is (owner, topic, key), its head the lowest open id; without a key each is a head.
//! `next_at` and `held_until` are on the steady clock; only one process ever waits by them.

use super::write::expect;
use super::{Done, after, int, limit, steady, uint};
use crate::sqlite::{Abort, Failure};
use bytes::Bytes;
use ofs_events::{EventId, Key, Timestamp, Topic};
use ofs_runtime::budget::{Budget, Weight};
use ofs_runtime::log::Position;
use ofs_runtime::store::{
    Claim, PARKED_LOOK, Parked, ParkedFilter, ParkedPage, ParkedState, Parking,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::time::Duration;
use tracing::warn;

/// Columns in the order [`parked`] reads them; `head` is the lowest open id of the queue.
const PARKED: &str = r#"SELECT id, owner, topic, partition, "offset", key, event_id, event_type,
    raw_key, raw, reason, unknown_type, attempts, parked_at, shown(next_at), state, closed_at,
    held_until > steady(), next_at - steady(),
    (SELECT min(h.id) FROM parked_events h WHERE h.owner = p.owner AND h.key = p.key
     AND h.topic = p.topic AND h.state = 'parked') AS head
    FROM parked_events p"#;

/// Heads that are due and not held; parameters: owner, the steady time, how many, the topics this build knows.
const DUE: &str = "SELECT id FROM parked_events p
    WHERE owner = ?1 AND state = 'parked' AND next_at <= ?2
    AND (held_until IS NULL OR held_until <= ?2)
    AND NOT EXISTS (SELECT 1 FROM parked_events h WHERE h.owner = p.owner AND h.key = p.key
        AND h.topic = p.topic AND h.state = 'parked' AND h.id < p.id)
    AND topic IN (SELECT value FROM json_each(?4))
    ORDER BY next_at, id LIMIT ?3";

pub(super) fn due(connection: &Connection, owner: &str, max: usize) -> Done<Vec<i64>> {
    let now = steady(connection)?;
    let mut statement = connection.prepare_cached(DUE)?;
    let known = format!("[\"{}\"]", Topic::ALL.map(Topic::name).join("\",\""));
    let ids = statement.query_map(params![owner, now, limit(max), known], |row| row.get(0))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn claim_due(
    connection: &Connection,
    owner: &str,
    hold: Duration,
    max: usize,
) -> Done<Vec<Parked>> {
    let (mut claimed, mut budget) = (Vec::new(), Budget::of(max));
    for id in due(connection, owner, max)? {
        let parked = take(connection, id, hold)?;
        let more = budget.spend(parked.weight());
        claimed.push(parked);
        if !more {
            break;
        }
    }
    Ok(claimed)
}

pub(super) fn claim(connection: &Connection, id: u64, hold: Duration) -> Done<Claim> {
    let Some(row) = find(connection, id)? else { return Ok(Claim::Closed(None)) };
    if row.event.state != ParkedState::Parked {
        return Ok(Claim::Closed(Some(row.event.state)));
    }
    if let Some(head) = row.event.behind {
        return Ok(Claim::Behind(head));
    }
    if row.is_held {
        return Ok(Claim::Busy);
    }
    Ok(Claim::Claimed(Box::new(take(connection, int(id)?, hold)?)))
}

/// Holds a head. The try is counted as it begins, so that one that kills the process counts too.
fn take(connection: &Connection, id: i64, hold: Duration) -> Done<Parked> {
    let sql = "UPDATE parked_events SET held_until = ?, attempts = attempts + 1 WHERE id = ?";
    let until = after(steady(connection)?, hold);
    connection.prepare_cached(sql)?.execute(params![until, id])?;
    let found = find(connection, uint(id))?;
    found.map(|row| row.event).ok_or(Abort::Failed(Failure::Refused(format!("{id} is gone"))))
}

/// Closes one: resolved, or discarded for a reason. The next in its queue is due at once. One that is
/// held is not discarded: whoever holds it may be charging the customer right now.
pub(super) fn close(
    connection: &Connection,
    owner: &str,
    id: u64,
    discarded: Option<&str>,
) -> Done<()> {
    let (id, now) = (int(id)?, steady(connection)?);
    let sql = "UPDATE parked_events
               SET state = iif(?1 IS NULL, 'resolved', 'discarded'), closed_at = now(),
                   next_at = NULL, held_until = NULL,
                   reason = iif(?1 IS NULL, reason, reason || '; discarded: ' || ?1)
               WHERE id = ?3 AND owner = ?4 AND state = 'parked'
                 AND (?1 IS NULL OR held_until IS NULL OR held_until <= ?2)";
    let closed = connection.prepare_cached(sql)?.execute(params![discarded, now, id, owner])?;
    expect(closed == 1)?;
    let sql = "UPDATE parked_events SET next_at = ?1 WHERE id > ?2 AND id = (
                   SELECT min(h.id) FROM parked_events h JOIN parked_events c ON c.id = ?2
                   WHERE h.owner = c.owner AND h.key = c.key AND h.topic = c.topic
                   AND h.state = 'parked')";
    connection.prepare_cached(sql)?.execute(params![now, id])?;
    Ok(())
}

pub(super) fn defer(
    connection: &Connection,
    owner: &str,
    id: u64,
    reason: &str,
    retry_in: Option<Duration>,
) -> Done<()> {
    let next_at = match retry_in {
        Some(wait) => Some(after(steady(connection)?, wait)),
        None => None,
    };
    let sql = "UPDATE parked_events SET reason = ?, next_at = ?, held_until = NULL
               WHERE id = ? AND owner = ? AND state = 'parked'";
    let row = params![reason, next_at, int(id)?, owner];
    expect(connection.prepare_cached(sql)?.execute(row)? == 1)
}

pub(super) fn one(connection: &Connection, id: u64) -> Done<Option<Parked>> {
    Ok(find(connection, id)?.map(|row| row.event))
}

pub(super) fn list(connection: &Connection, filter: &ParkedFilter, max: usize) -> Done<ParkedPage> {
    // An index gives those of an order, and those that are open; the rest is picked from what it gives.
    let those = match (filter.key, filter.state) {
        (Some(_), _) => "key = ?2 AND",
        (None, Some(ParkedState::Parked)) => "state = 'parked' AND",
        (None, _) => "",
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, owner, state, reason FROM parked_events
         WHERE {those} id > ?1 ORDER BY id LIMIT ?3"
    ))?;
    let mut last = int(filter.after.unwrap_or_default())?;
    let key = filter.key.map(|key| key.0);
    let mut rows = statement.query(params![last, key, limit(PARKED_LOOK)])?;
    let (mut page, mut looked_at, mut budget) = (ParkedPage::default(), 0, Budget::of(max));
    while let Some(row) = rows.next()? {
        let (wanted, id) = (wanted(filter, row)?, row.get(0)?);
        if wanted && budget.items() == 0 {
            page.next = Some(uint(last));
            return Ok(page);
        }
        if wanted && let Some(found) = find(connection, uint(id))? {
            budget.spend(found.event.weight());
            page.events.push(found.event);
        }
        (last, looked_at) = (id, looked_at + 1);
    }
    page.next = (looked_at == PARKED_LOOK).then_some(uint(last));
    Ok(page)
}

/// Whether the row of id, owner, state and reason is asked for.
fn wanted(filter: &ParkedFilter, row: &Row<'_>) -> rusqlite::Result<bool> {
    let (owner, state, reason): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
    // Compared here, because SQLite folds the case of ASCII letters only.
    let holds = |text: &String| reason.to_lowercase().contains(&text.to_lowercase());
    Ok(filter.owner.as_ref().is_none_or(|wanted| *wanted == owner)
        && filter.state.is_none_or(|wanted| state_name(wanted) == state)
        && filter.reason.as_ref().is_none_or(holds))
}

/// A parked event, and whether a process holds it.
struct Found {
    event: Parked,
    is_held: bool,
}

fn find(connection: &Connection, id: u64) -> Done<Option<Found>> {
    let Ok(id) = i64::try_from(id) else { return Ok(None) };
    let mut statement = connection.prepare_cached(&format!("{PARKED} WHERE id = ?"))?;
    let found = statement.query_row([id], |row| Ok(readable(row))).optional()?;
    Ok(found.transpose()?.flatten())
}

/// The event in `row`; none if it is of a topic that this build does not know: a newer one reads it.
fn readable(row: &Row<'_>) -> Done<Option<Found>> {
    let (id, name): (i64, String) = (row.get(0)?, row.get(2)?);
    let Ok(topic) = name.parse() else {
        warn!(id, topic = name, "left out a parked event of a topic that this build does not know");
        return Ok(None);
    };
    parked(row, topic).map(Some)
}

fn parked(row: &Row<'_>, topic: Topic) -> Done<Found> {
    let id = uint(row.get(0)?);
    let next_at: Option<i64> = row.get(14)?;
    let state = match row.get_ref(15)?.as_str().unwrap_or_default() {
        "resolved" => ParkedState::Resolved,
        "discarded" => ParkedState::Discarded,
        _ => ParkedState::Parked,
    };
    let head: Option<i64> = row.get(19)?;
    let behind = head.map(uint).filter(|head| state == ParkedState::Parked && *head != id);
    let left = |micros: i64| Duration::from_micros(uint(micros));
    let event = Parking {
        at: Position { topic, partition: row.get(3)?, offset: uint(row.get(4)?) },
        key: row.get::<_, Option<_>>(5)?.map(Key),
        event_id: row.get::<_, Option<_>>(6)?.map(EventId),
        event_type: row.get(7)?,
        raw_key: row.get::<_, Option<Vec<u8>>>(8)?.map(Bytes::from),
        raw: Bytes::from(row.get::<_, Vec<u8>>(9)?),
        reason: row.get(10)?,
        unknown_type: row.get(11)?,
        retry_in: row.get::<_, Option<_>>(18)?.map(left),
    };
    let event = Parked {
        id,
        owner: row.get(1)?,
        event,
        attempts: row.get(12)?,
        parked_at: Timestamp::from_micros(row.get(13)?),
        next_at: next_at.map(Timestamp::from_micros),
        state,
        closed_at: row.get::<_, Option<i64>>(16)?.map(Timestamp::from_micros),
        behind,
    };
    Ok(Found { event, is_held: row.get::<_, Option<_>>(17)?.unwrap_or_default() })
}

fn state_name(state: ParkedState) -> &'static str {
    match state {
        ParkedState::Parked => "parked",
        ParkedState::Resolved => "resolved",
        ParkedState::Discarded => "discarded",
    }
}
