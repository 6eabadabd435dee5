//! What is owed to the index, what it took, and what it refuses.

use super::session::{Failure, Step, column, statements, step, value};
use super::values::{Time, int, micros};
use super::write::Rows;
use ofs_events::Key;
use ofs_runtime::context::Context;
use ofs_runtime::store::{Commit, Settled, once_more};
use std::collections::BTreeMap;
use uuid::Uuid;

statements! {
    /// Holds what is owed to the index, whatever its version.
    HOLD_OWED = "
        WITH given AS (SELECT * FROM unnest($2::uuid[], $3::integer[]) AS g (key, commit)),
        held AS (
            SELECT g.key FROM given g CROSS JOIN LATERAL (
                SELECT FROM owed_index o WHERE o.owner = $1::text AND o.key = g.key FOR UPDATE) o)
        SELECT CASE WHEN (SELECT count(DISTINCT key) FROM held) < cardinality($3) THEN stale(ARRAY(
            SELECT DISTINCT commit FROM given WHERE key NOT IN (SELECT key FROM held))) END";
    /// Drops what is owed up to the version pushed; a newer one stays owed.
    INDEXED = "
        DELETE FROM owed_index WHERE ctid = ANY (ARRAY(
            SELECT o.ctid FROM unnest($2::uuid[], $3::bigint[]) AS g (key, version)
            CROSS JOIN LATERAL (
                SELECT ctid FROM owed_index o
                WHERE o.owner = $1::text AND o.key = g.key AND o.version <= g.version
                OFFSET 0) o))";
    /// Forgets that documents were refused, once they are indexed in that version or a newer one.
    ACCEPTED = "
        DELETE FROM refused_documents WHERE ctid = ANY (ARRAY(
            SELECT r.ctid FROM unnest($2::uuid[], $3::bigint[]) AS g (key, version)
            CROSS JOIN LATERAL (
                SELECT ctid FROM refused_documents r
                WHERE r.owner = $1::text AND r.key = g.key AND r.version <= g.version
                OFFSET 0) r))";
    /// As [`INDEXED`], and keeps why those were refused of which no newer version is owed.
    REFUSED = "
        WITH given AS (
            SELECT * FROM unnest($2::uuid[], $3::bigint[], $4::text[]) AS g (key, version, reason)),
        gone AS (
            DELETE FROM owed_index WHERE ctid = ANY (ARRAY(
                SELECT o.ctid FROM given g
                CROSS JOIN LATERAL (
                    SELECT ctid FROM owed_index o
                    WHERE o.owner = $1::text AND o.key = g.key AND o.version <= g.version
                    OFFSET 0) o))
            RETURNING key)
        INSERT INTO refused_documents (owner, key, version, reason, since)
        SELECT DISTINCT ON (key) $1::text, key, version, reason, now() FROM given
        WHERE key IN (SELECT key FROM gone) ORDER BY key, version DESC
        ON CONFLICT (owner, key) DO UPDATE
        SET version = excluded.version, reason = excluded.reason";
    OWE = "
        INSERT INTO owed_index AS o (owner, key, version, since)
        SELECT $1::text, key, version, now() - behind * interval '1 microsecond'
        FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS g (key, version, behind)
        ON CONFLICT (owner, key) DO UPDATE
        SET version = greatest(o.version, excluded.version), since = least(o.since, excluded.since)
        WHERE o.version < excluded.version OR o.since > excluded.since";
    OWE_AGAIN = "
        INSERT INTO owed_index (owner, key, version, since)
        SELECT $1::text, key, version, $4
        FROM unnest($2::uuid[], $3::bigint[]) AS g (key, version)
        ON CONFLICT (owner, key) DO NOTHING";
}

pub(super) fn indexed<'a>(
    steps: &mut Vec<Step<'a>>,
    owner: &'a str,
    settled: &Rows<'a, Settled>,
) -> Result<(), Failure> {
    let mut indexed: Vec<(Uuid, i64, i32)> = Vec::new();
    for (n, settled) in settled {
        if let Settled::Indexed { key, version } = settled {
            indexed.push((key.0, int(*version)?, *n));
        }
    }
    if !indexed.is_empty() {
        indexed.sort_unstable();
        let key = || column(&indexed, |row| row.0);
        let version = || column(&indexed, |row| row.1);
        let commit = column(&indexed, |row| row.2);
        steps.push(step(HOLD_OWED, vec![value(owner), key(), commit]));
        steps.push(step(INDEXED, vec![value(owner), key(), version()]));
        steps.push(step(ACCEPTED, vec![value(owner), key(), version()]));
    }
    Ok(())
}

pub(super) fn refused<'a>(
    steps: &mut Vec<Step<'a>>,
    owner: &'a str,
    settled: &Rows<'a, Settled>,
) -> Result<(), Failure> {
    let mut refused: Vec<(Uuid, i64, &str, i32)> = Vec::new();
    for (n, settled) in settled {
        if let Settled::Refused { key, version, reason } = settled {
            refused.push((key.0, int(*version)?, reason, *n));
        }
    }
    if !refused.is_empty() {
        refused.sort_unstable();
        let key = || column(&refused, |row| row.0);
        let version = column(&refused, |row| row.1);
        let reason = column(&refused, |row| row.2);
        let commit = column(&refused, |row| row.3);
        steps.push(step(HOLD_OWED, vec![value(owner), key(), commit]));
        steps.push(step(REFUSED, vec![value(owner), key(), version, reason]));
    }
    Ok(())
}

pub(super) fn owe<'a>(
    steps: &mut Vec<Step<'a>>,
    owner: &'a str,
    group: &[&'a Commit],
) -> Result<(), Failure> {
    let owed = newest(group, |commit| &commit.index)?;
    if !owed.is_empty() {
        let (key, version) = (column(&owed, |row| row.0), column(&owed, |row| row.1));
        steps.push(step(OWE, vec![value(owner), key, version, column(&owed, |row| row.2)]));
    }
    let again = newest(group, |commit| &commit.again)?;
    if !again.is_empty() {
        let (key, version) = (column(&again, |row| row.0), column(&again, |row| row.1));
        steps.push(step(OWE_AGAIN, vec![value(owner), key, version, value(Time(once_more()))]));
    }
    Ok(())
}

/// Each key, its newest version, and by how many microseconds the index is behind with it; by key.
fn newest(
    group: &[&Commit],
    owed: impl Fn(&Commit) -> &[(Key, u64)],
) -> Result<Vec<(Uuid, i64, i64)>, Failure> {
    let now = Context::new("store").now();
    let mut newest: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
    for commit in group {
        for (key, version) in owed(commit) {
            let (newest, behind) = newest.entry(key.0).or_default();
            *newest = int(*version)?.max(*newest);
            let age = commit.since.map(|since| micros(now.since(since)));
            *behind = age.unwrap_or_default().max(*behind);
        }
    }
    Ok(newest.into_iter().map(|(key, (version, behind))| (key, version, behind)).collect())
}
