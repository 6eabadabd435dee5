//! A group of commits of one owner as one transaction of few statements, whatever its size.
//!
//! Locks are taken statement by statement in sorted order, records before everything that follows from
//! them. A statement that finds something changed ends the transaction and names the commits at fault.

use super::parked::{close, park};
use super::session::{Failure, Step, column, statements, step, transaction, value};
use super::values::{Time, int};
use super::{deadlines, indexing};
use ofs_events::{Key, Timestamp};
use ofs_runtime::log::Message;
use ofs_runtime::store::{Commit, Once, Record, Seen, Settled, shard_of};
use std::collections::HashSet;
use uuid::Uuid;

statements! {
    SEEN = "
        WITH given AS (
            SELECT * FROM unnest($2::integer[], $3::uuid[], $4::uuid[], $5::integer[])
                AS g (day, key, event_id, commit)),
        fresh AS (
            INSERT INTO processed_events (owner, day, key, event_id)
            SELECT $1::text, day, key, event_id FROM given
            ON CONFLICT DO NOTHING RETURNING day, key, event_id)
        SELECT CASE WHEN (SELECT count(*) FROM fresh) < cardinality($5) THEN stale(ARRAY(
            SELECT DISTINCT commit FROM given
            WHERE (day, key, event_id) NOT IN (SELECT day, key, event_id FROM fresh))) END";
    /// Holds records at the version they must still have.
    HOLD = "
        WITH given AS (
            SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::integer[])
                AS g (owner, key, version, commit)),
        held AS (
            SELECT g.owner, g.key, g.version FROM given g CROSS JOIN LATERAL (
                SELECT FROM records r
                WHERE r.owner = g.owner AND r.key = g.key AND r.version = g.version
                FOR NO KEY UPDATE) r)
        SELECT CASE WHEN (SELECT count(*) FROM held) < cardinality($4) THEN stale(ARRAY(
            SELECT DISTINCT commit FROM given
            WHERE (owner, key, version) NOT IN (SELECT owner, key, version FROM held))) END";
    /// A first version that is there already, or another version than was loaded, is not kept.
    KEEP = "
        WITH given AS (
            SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::text[], $5::text[],
                                 $6::timestamptz[], $7::timestamptz[], $8::integer[])
                AS g (owner, key, version, status, body, created_at, updated_at, commit)),
        kept AS (
            INSERT INTO records AS r (owner, key, version, status, body, created_at, updated_at)
            SELECT owner, key, version, status, body::jsonb, created_at, updated_at FROM given
            ON CONFLICT (owner, key) DO UPDATE
            SET version = excluded.version, status = excluded.status, body = excluded.body,
                updated_at = excluded.updated_at
            WHERE r.version = excluded.version - 1
            RETURNING owner, key)
        SELECT CASE WHEN (SELECT count(*) FROM kept) < cardinality($8) THEN stale(ARRAY(
            SELECT DISTINCT commit FROM given
            WHERE (owner, key) NOT IN (SELECT owner, key FROM kept))) END";
    /// Takes back the rows that kept others from making a record that must not be there.
    RELEASE = "
        DELETE FROM records WHERE ctid = ANY (ARRAY(
            SELECT r.ctid FROM unnest($1::text[], $2::uuid[]) AS g (owner, key)
            CROSS JOIN LATERAL (
                SELECT ctid FROM records r WHERE r.owner = g.owner AND r.key = g.key OFFSET 0) r))";
    SEND = "
        INSERT INTO outbox (owner, shard, topic, key, event_id, headers, value, created_at)
        SELECT $1::text, shard, topic, key, event_id, headers::jsonb, value, now()
        FROM unnest($2::smallint[], $3::text[], $4::uuid[], $5::uuid[], $6::text[], $7::bytea[])
            AS g (shard, topic, key, event_id, headers, value)";
    SENT = "
        WITH given AS (SELECT * FROM unnest($2::bigint[], $3::integer[]) AS g (id, commit)),
        gone AS (DELETE FROM outbox WHERE id = ANY ($2) AND owner = $1::text RETURNING id)
        SELECT CASE WHEN (SELECT count(*) FROM gone) < cardinality($3) THEN stale(ARRAY(
            SELECT DISTINCT commit FROM given WHERE id NOT IN (SELECT id FROM gone))) END";
    REMEMBER = "
        WITH given AS (
            SELECT * FROM unnest($2::text[], $3::uuid[], $4::text[], $5::integer[])
                AS g (key, fingerprint, answer, commit)),
        fresh AS (
            INSERT INTO idempotency_keys (owner, key, fingerprint, answer, created_at)
            SELECT $1::text, key, fingerprint, answer, now() FROM given
            ON CONFLICT DO NOTHING RETURNING key)
        SELECT CASE WHEN (SELECT count(*) FROM fresh) < cardinality($5) THEN key_taken(ARRAY(
            SELECT DISTINCT commit FROM given WHERE key NOT IN (SELECT key FROM fresh))) END";
}

/// The rows of a group: for each the number of its commit, and what the commit says.
pub(super) type Rows<'a, T> = Vec<(i32, &'a T)>;

/// Whether a commit can be written at all.
pub(super) fn check(commit: &Commit) -> Result<(), Failure> {
    let refused = |reason: &str| Err(Failure::Refused(reason.to_owned()));
    let mut written = HashSet::with_capacity(commit.records.len());
    for record in &commit.records {
        if record.version != record.loaded.saturating_add(1) {
            return refused("a record's next version must be one more than the one loaded");
        }
        if !written.insert(record.key) {
            return refused("one commit cannot write a record twice");
        }
        int(record.version)?;
    }
    for guard in commit.guards.iter().filter(|guard| guard.version == 0) {
        let over = |record: &Record| record.key == guard.key && record.loaded > 0;
        if guard.owner == commit.owner && commit.records.iter().any(over) {
            return refused("a record cannot both be overwritten and not be there");
        }
    }
    let sent = |message| key_of(message).is_some_and(|key| written.contains(&key));
    if commit.outgoing.iter().all(sent) { Ok(()) } else { refused(NO_RECORD) }
}

const NO_RECORD: &str = "an outgoing event's key must be one whose record is in the commit";

fn key_of(message: &Message) -> Option<Key> {
    std::str::from_utf8(message.key.as_deref()?).ok()?.parse().ok()
}

/// The transaction that writes `group`, whose commits are all `owner`'s and were checked.
pub(super) fn steps<'a>(owner: &'a str, group: &[&'a Commit]) -> Result<Vec<Step<'a>>, Failure> {
    let mut steps = Vec::new();
    seen(&mut steps, owner, rows(group, |commit| &commit.seen));
    hold(&mut steps, owner, group)?;
    keep(&mut steps, owner, group)?;
    send(&mut steps, owner, group)?;
    park(&mut steps, owner, rows(group, |commit| &commit.parked))?;
    let settled = rows(group, |commit| &commit.settled);
    sent(&mut steps, owner, &settled)?;
    indexing::indexed(&mut steps, owner, &settled)?;
    indexing::refused(&mut steps, owner, &settled)?;
    close(&mut steps, owner, &settled)?;
    indexing::owe(&mut steps, owner, group)?;
    deadlines::pass(&mut steps, owner, &settled);
    deadlines::set(&mut steps, owner, rows(group, |commit| &commit.deadlines));
    remember(&mut steps, owner, &rows(group, |commit| commit.once.as_slice()));
    Ok(transaction(steps))
}

pub(super) fn rows<'a, T>(
    group: &[&'a Commit],
    pick: impl Fn(&'a Commit) -> &'a [T],
) -> Rows<'a, T> {
    let commits = (0..).zip(group.iter().copied());
    commits.flat_map(|(n, commit)| pick(commit).iter().map(move |row| (n, row))).collect()
}

fn seen<'a>(steps: &mut Vec<Step<'a>>, owner: &'a str, mut rows: Rows<'a, Seen>) {
    if rows.is_empty() {
        return;
    }
    rows.sort_by_key(|(_, seen)| (seen.day, seen.key, seen.event_id));
    let day = column(&rows, |(_, seen)| seen.day);
    let key = column(&rows, |(_, seen)| seen.key.0);
    let event_id = column(&rows, |(_, seen)| seen.event_id.0);
    let commit = column(&rows, |(n, _)| *n);
    steps.push(step(SEEN, vec![value(owner), day, key, event_id, commit]));
}

/// Locks the records there must be, those to be written and those only depended on.
fn hold<'a>(
    steps: &mut Vec<Step<'a>>,
    owner: &'a str,
    group: &[&'a Commit],
) -> Result<(), Failure> {
    let mut held: Vec<(&'a str, Uuid, i64, i32)> = Vec::new();
    for (n, record) in rows(group, |commit| &commit.records) {
        if record.loaded > 0 {
            held.push((owner, record.key.0, int(record.loaded)?, n));
        }
    }
    for (n, guard) in rows(group, |commit| &commit.guards) {
        if guard.version > 0 {
            held.push((&guard.owner, guard.key.0, int(guard.version)?, n));
        }
    }
    if held.is_empty() {
        return Ok(());
    }
    held.sort_unstable();
    let owner = column(&held, |row| row.0);
    let key = column(&held, |row| row.1);
    let version = column(&held, |row| row.2);
    let commit = column(&held, |row| row.3);
    steps.push(step(HOLD, vec![owner, key, version, commit]));
    Ok(())
}

/// A row to be kept: a record, or the place of one that must not be there.
struct Kept<'a> {
    owner: &'a str,
    key: Key,
    record: Option<&'a Record>,
    commit: i32,
}

/// Writes records. Where there must be none, a row is written and taken back in the same transaction,
/// so that nobody else can have written one meanwhile.
fn keep<'a>(
    steps: &mut Vec<Step<'a>>,
    owner: &'a str,
    group: &[&'a Commit],
) -> Result<(), Failure> {
    let written = rows(group, |commit| &commit.records).into_iter();
    let mut kept: Vec<Kept<'a>> = written
        .map(|(commit, record)| Kept { owner, key: record.key, record: Some(record), commit })
        .collect();
    let guards = rows(group, |commit| &commit.guards).into_iter();
    kept.extend(guards.filter(|(_, guard)| guard.version == 0).map(|(commit, guard)| Kept {
        owner: &guard.owner,
        key: guard.key,
        record: None,
        commit,
    }));
    if kept.is_empty() {
        return Ok(());
    }
    // Of a record and its own place, the record comes first and stands for both.
    kept.sort_by_key(|row| (row.owner, row.key, row.record.is_none()));
    kept.dedup_by_key(|row| (row.owner, row.key));
    let epoch = Timestamp::from_micros(0);
    let versions: Result<Vec<i64>, Failure> =
        kept.iter().map(|row| int(row.record.map_or(1, |record| record.version))).collect();
    let values = vec![
        column(&kept, |row| row.owner),
        column(&kept, |row| row.key.0),
        value(versions?),
        column(&kept, |row| row.record.map_or("", |record| &record.status)),
        column(&kept, |row| row.record.map_or("null", |record| &record.body)),
        column(&kept, |row| Time(row.record.map_or(epoch, |record| record.created_at))),
        column(&kept, |row| Time(row.record.map_or(epoch, |record| record.updated_at))),
        column(&kept, |row| row.commit),
    ];
    steps.push(step(KEEP, values));
    kept.retain(|row| row.record.is_none());
    if !kept.is_empty() {
        let key = column(&kept, |row| row.key.0);
        steps.push(step(RELEASE, vec![column(&kept, |row| row.owner), key]));
    }
    Ok(())
}

fn send<'a>(
    steps: &mut Vec<Step<'a>>,
    owner: &'a str,
    group: &[&'a Commit],
) -> Result<(), Failure> {
    let mut sent = Vec::new();
    for (_, message) in rows(group, |commit| &commit.outgoing) {
        let key = key_of(message).ok_or_else(|| Failure::Refused(NO_RECORD.to_owned()))?;
        let headers = serde_json::to_string(&message.headers);
        sent.push((key, message, headers.map_err(|error| Failure::Refused(error.to_string()))?));
    }
    if sent.is_empty() {
        return Ok(());
    }
    let values = vec![
        value(owner),
        column(&sent, |(key, _, _)| shard_of(*key).cast_signed()),
        column(&sent, |(_, message, _)| message.topic.name()),
        column(&sent, |(key, _, _)| key.0),
        column(&sent, |(_, message, _)| message.event_id.map(|id| id.0)),
        column(&sent, |(_, _, headers)| headers.clone()),
        column(&sent, |(_, message, _)| &message.value[..]),
    ];
    steps.push(step(SEND, values));
    Ok(())
}

fn sent<'a>(
    steps: &mut Vec<Step<'a>>,
    owner: &'a str,
    settled: &Rows<'a, Settled>,
) -> Result<(), Failure> {
    let mut sent: Vec<(i64, i32)> = Vec::new();
    for (n, settled) in settled {
        if let Settled::Sent(id) = settled {
            sent.push((int(*id)?, *n));
        }
    }
    if !sent.is_empty() {
        sent.sort_unstable();
        let (id, commit) = (column(&sent, |row| row.0), column(&sent, |row| row.1));
        steps.push(step(SENT, vec![value(owner), id, commit]));
    }
    Ok(())
}

fn remember<'a>(steps: &mut Vec<Step<'a>>, owner: &'a str, once: &Rows<'a, Once>) {
    if !once.is_empty() {
        let key = column(once, |(_, once)| once.key.as_str());
        let fingerprint = column(once, |(_, once)| once.fingerprint);
        let answer = column(once, |(_, once)| once.answer.as_str());
        let commit = column(once, |(n, _)| *n);
        steps.push(step(REMEMBER, vec![value(owner), key, fingerprint, answer, commit]));
    }
}
