//! Deadlines: set, dropped, passed, overdue.

use super::write::expect;
use super::{Done, after, limit, micros, steady, uint};
use ofs_events::{Key, Timestamp};
use ofs_runtime::store::{Deadline, Due, OVERDUE_LOOK, Overdue, shard_of};
use rusqlite::{Connection, params};
use std::time::Duration;

pub(super) fn set(connection: &Connection, owner: &str, deadlines: &[Deadline]) -> Done<()> {
    if deadlines.is_empty() {
        return Ok(());
    }
    let now = steady(connection)?;
    let mut set = connection.prepare_cached(
        "INSERT INTO deadlines (owner, key, name, shard, wait, due_at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (owner, key, name) DO UPDATE
         SET wait = excluded.wait, due_at = excluded.due_at, overdue_since = NULL",
    )?;
    let sql = "DELETE FROM deadlines WHERE owner = ? AND key = ? AND name = ?";
    let mut drop = connection.prepare_cached(sql)?;
    for Deadline { key, name, due_in } in deadlines {
        match due_in {
            Some(wait) => {
                let due_at = after(now, *wait);
                set.execute(params![owner, key.0, name, shard_of(*key), due_at - now, due_at])?
            }
            None => drop.execute(params![owner, key.0, name])?,
        };
    }
    Ok(())
}

/// Settles one that was handed over.
pub(super) fn pass(
    connection: &Connection,
    owner: &str,
    (key, name): (Key, &str),
    due_at: Timestamp,
    again_in: Option<Duration>,
) -> Done<()> {
    let due_at = due_at.as_micros();
    let changed = match again_in {
        Some(wait) => {
            let again = after(steady(connection)?, wait);
            let sql = "UPDATE deadlines
                       SET due_at = ?1, wait = ?2, overdue_since = ifnull(overdue_since, now())
                       WHERE owner = ?3 AND key = ?4 AND name = ?5 AND due_at = ?6";
            let row = params![again, micros(wait), owner, key.0, name, due_at];
            connection.prepare_cached(sql)?.execute(row)?
        }
        None => {
            let sql =
                "DELETE FROM deadlines WHERE owner = ? AND key = ? AND name = ? AND due_at = ?";
            connection.prepare_cached(sql)?.execute(params![owner, key.0, name, due_at])?
        }
    };
    expect(changed == 1)
}

pub(super) fn passed(
    connection: &Connection,
    owner: &str,
    shards: &[u16],
    max: usize,
) -> Done<Vec<Due>> {
    let sql = "SELECT shard, key, name, due_at, ifnull(now() - overdue_since, 0) FROM deadlines
               WHERE owner = ? AND due_at <= ? ORDER BY due_at";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![owner, steady(connection)?])?;
    let mut found = Vec::new();
    while found.len() < max
        && let Some(row) = rows.next()?
    {
        if shards.contains(&row.get(0)?) {
            found.push(Due {
                key: Key(row.get(1)?),
                name: row.get(2)?,
                due_at: Timestamp::from_micros(row.get(3)?),
                overdue_for: Duration::from_micros(uint(row.get(4)?)),
            });
        }
    }
    Ok(found)
}

pub(super) fn overdue(connection: &Connection) -> Done<Vec<Overdue>> {
    // SQLite answers with the key of the row that has the minimum.
    let sql = "SELECT owner, name, count(*), min(overdue_since), key
               FROM (SELECT owner, name, overdue_since, key FROM deadlines
                     WHERE overdue_since IS NOT NULL
                     ORDER BY owner, name, overdue_since LIMIT ?)
               GROUP BY owner, name";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([limit(OVERDUE_LOOK)], |row| {
        Ok(Overdue {
            owner: row.get(0)?,
            name: row.get(1)?,
            rows: uint(row.get(2)?),
            oldest: Timestamp::from_micros(row.get(3)?),
            key: Key(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// None is further ahead than it was when it was set; else the clock was set back since.
pub(super) fn hold_to_clock(connection: &Connection) -> Done<()> {
    let now = steady(connection)?;
    let sql = "UPDATE deadlines SET due_at = ?1 + wait WHERE due_at - wait > ?1";
    connection.execute(sql, [now])?;
    Ok(())
}
