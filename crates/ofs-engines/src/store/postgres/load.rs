//! Reading records, the inbox and idempotency keys.

use super::session::{Failure, Sessions, Step, column, params, snapshot, statements, step, value};
use super::values::{Time, get, int, limit, number};
use ofs_events::{EventId, Key};
use ofs_runtime::budget::Budget;
use ofs_runtime::log::Position;
use ofs_runtime::store::{Loaded, Once, Record, Seen, Wanted};
use tokio_postgres::Row;
use uuid::Uuid;

statements! {
    /// Records, and the topics on which their keys have parked events.
    RECORDS = "
        SELECT g.key, r.version, r.status, r.body::text, r.created_at, r.updated_at, ARRAY(
            SELECT DISTINCT p.topic FROM parked_events p
            WHERE p.owner = $1::text AND p.key = g.key AND p.state = 'parked')
        FROM unnest($2::uuid[]) AS g (key)
        LEFT JOIN LATERAL (
            SELECT * FROM records r WHERE r.owner = $1 AND r.key = g.key OFFSET 0) r ON true";
    SEEN = "
        SELECT g.day, g.key, g.event_id
        FROM unnest($2::integer[], $3::uuid[], $4::uuid[]) AS g (day, key, event_id)
        WHERE EXISTS (
            SELECT FROM processed_events e WHERE e.owner = $1::text AND e.day = g.day
            AND e.key = g.key AND e.event_id = g.event_id OFFSET 0)";
    POSITIONS = r#"
        SELECT g.topic, g.partition, g."offset"
        FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS g (topic, partition, "offset")
        WHERE EXISTS (
            SELECT FROM parked_events p WHERE p.owner = $1::text AND p.topic = g.topic
            AND p.partition = g.partition AND p."offset" = g."offset" OFFSET 0)"#;
    ONCE = "
        SELECT key, fingerprint, answer FROM idempotency_keys WHERE owner = $1 AND key = $2";
    SCAN = "
        SELECT key, version, status, body::text, created_at, updated_at FROM records
        WHERE owner = $1 AND key >= $2 ORDER BY key LIMIT $3";
}

/// What an answer tells.
enum Part {
    Records,
    Seen,
    Positions,
    Once,
}

pub(super) async fn load(sessions: &Sessions, wanted: &Wanted) -> Result<Loaded, Failure> {
    let (parts, steps): (Vec<Part>, Vec<Step<'_>>) = ask(wanted)?.into_iter().unzip();
    let begin = usize::from(steps.len() > 1);
    let answers = sessions.run(&snapshot(steps)).await?;
    let mut loaded = Loaded { left: wanted.keys.iter().copied().collect(), ..Loaded::default() };
    for (part, rows) in parts.into_iter().zip(answers.iter().skip(begin)) {
        for row in rows {
            match part {
                Part::Records => add_record(&mut loaded, row)?,
                Part::Seen => {
                    let (key, event_id) = (Key(get(row, 1)?), EventId(get(row, 2)?));
                    loaded.seen.insert(Seen { day: get(row, 0)?, key, event_id });
                }
                Part::Positions => {
                    let partition = u32::try_from(get::<i64>(row, 1)?).unwrap_or_default();
                    let topic = get::<&str>(row, 0)?.parse();
                    let topic = topic.map_err(|error| Failure::Unavailable(format!("{error}")))?;
                    let offset = number(row, 2)?;
                    loaded.parked.insert(Position { topic, partition, offset });
                }
                Part::Once => {
                    let (fingerprint, answer) = (get(row, 1)?, get(row, 2)?);
                    loaded.once = Some(Once { key: get(row, 0)?, fingerprint, answer });
                }
            }
        }
    }
    Ok(loaded)
}

fn ask(wanted: &Wanted) -> Result<Vec<(Part, Step<'_>)>, Failure> {
    let owner = wanted.owner.as_str();
    let mut asked = Vec::new();
    if !wanted.keys.is_empty() {
        let keys = column(&wanted.keys, |key| key.0);
        let budget = Budget::of(usize::MAX);
        asked.push((Part::Records, step(RECORDS, vec![value(owner), keys]).within(budget)));
    }
    if !wanted.events.is_empty() {
        let day = column(&wanted.events, |event| event.day);
        let key = column(&wanted.events, |event| event.key.0);
        let event_id = column(&wanted.events, |event| event.event_id.0);
        asked.push((Part::Seen, step(SEEN, vec![value(owner), day, key, event_id])));
    }
    if !wanted.positions.is_empty() {
        let offsets = wanted.positions.iter().map(|at| int(at.offset));
        let offset = value(offsets.collect::<Result<Vec<_>, _>>()?);
        let topic = column(&wanted.positions, |at| at.topic.name());
        let partition = column(&wanted.positions, |at| i64::from(at.partition));
        let values = vec![value(owner), topic, partition, offset];
        asked.push((Part::Positions, step(POSITIONS, values)));
    }
    if let Some(key) = &wanted.once {
        asked.push((Part::Once, step(ONCE, params![owner, key])));
    }
    Ok(asked)
}

fn add_record(loaded: &mut Loaded, row: &Row) -> Result<(), Failure> {
    let key = Key(get(row, 0)?);
    loaded.left.remove(&key);
    for name in get::<Vec<&str>>(row, 6)? {
        // Of a topic that this build does not know, nothing is handled here.
        loaded.queues.extend(name.parse().ok().map(|topic| (topic, key)));
    }
    if get::<Option<i64>>(row, 1)?.is_some() {
        loaded.records.insert(key, record(row)?);
    }
    Ok(())
}

pub(super) async fn scan(
    sessions: &Sessions,
    owner: &str,
    after: Option<Key>,
    max: usize,
) -> Result<Vec<Record>, Failure> {
    let from = match after {
        None => Some(0),
        Some(after) => after.0.as_u128().checked_add(1),
    };
    let Some(from) = from.map(Uuid::from_u128) else { return Ok(Vec::new()) };
    let scan = step(SCAN, params![owner, from, limit(max)]).within(Budget::of(max));
    sessions.ask(scan).await?.iter().map(record).collect()
}

/// A row of key, version, status, body, created_at, updated_at.
pub(super) fn record(row: &Row) -> Result<Record, Failure> {
    let version = number(row, 1)?;
    Ok(Record {
        key: Key(get(row, 0)?),
        loaded: version,
        version,
        status: get(row, 2)?,
        body: get(row, 3)?,
        created_at: get::<Time>(row, 4)?.0,
        updated_at: get::<Time>(row, 5)?.0,
    })
}
