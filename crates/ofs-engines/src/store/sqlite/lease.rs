//! Leases: who of several couriers works on which slots. They save work; correctness needs none.

use super::{Done, after, steady};
use rusqlite::{Connection, params};
use std::time::Duration;
use uuid::Uuid;

pub(super) fn lease(
    connection: &Connection,
    group: &str,
    holder: Uuid,
    slots: u16,
    ttl: Duration,
) -> Done<Vec<u16>> {
    let now = steady(connection)?;
    let until = after(now, ttl);
    if ttl.is_zero() {
        give_back(connection, group, holder)?;
        return Ok(Vec::new());
    }
    for table in ["leases", "lease_holders"] {
        let sql = format!("DELETE FROM {table} WHERE name = ? AND until <= ?");
        connection.prepare_cached(&sql)?.execute(params![group, now])?;
    }
    let sql = "INSERT INTO lease_holders (name, holder, until) VALUES (?, ?, ?)
               ON CONFLICT (name, holder) DO UPDATE SET until = excluded.until";
    connection.prepare_cached(sql)?.execute(params![group, holder, until])?;
    let share = share(&holders(connection, group)?, holder, slots);
    let taken = taken(connection, group)?;
    let (mut mine, mut others) = (Vec::new(), Vec::new());
    for (slot, by) in taken {
        if by == holder { mine.push(slot) } else { others.push(slot) }
    }
    mine.retain(|slot| *slot < slots);
    let free = (0..slots).filter(|slot| !mine.contains(slot) && !others.contains(slot));
    let more: Vec<u16> = free.take(share.saturating_sub(mine.len())).collect();
    mine.extend(more);
    mine.truncate(share);
    mine.sort_unstable();
    replace(connection, group, holder, &mine, until)?;
    Ok(mine)
}

/// How many slots are `holder`'s: all are shared out, the first holders get one more.
fn share(holders: &[Uuid], holder: Uuid, slots: u16) -> usize {
    let (slots, count) = (usize::from(slots), holders.len().max(1));
    let rank = holders.iter().position(|other| *other == holder).unwrap_or(count);
    slots / count + usize::from(rank < slots % count)
}

fn holders(connection: &Connection, group: &str) -> rusqlite::Result<Vec<Uuid>> {
    let sql = "SELECT holder FROM lease_holders WHERE name = ? ORDER BY holder";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map([group], |row| row.get(0))?.collect()
}

fn taken(connection: &Connection, group: &str) -> rusqlite::Result<Vec<(u16, Uuid)>> {
    let sql = "SELECT slot, holder FROM leases WHERE name = ? ORDER BY slot";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map([group], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn replace(
    connection: &Connection,
    group: &str,
    holder: Uuid,
    slots: &[u16],
    until: i64,
) -> rusqlite::Result<()> {
    let sql = "DELETE FROM leases WHERE name = ? AND holder = ?";
    connection.prepare_cached(sql)?.execute(params![group, holder])?;
    let sql = "INSERT INTO leases (name, slot, holder, until) VALUES (?, ?, ?, ?)";
    let mut statement = connection.prepare_cached(sql)?;
    for slot in slots {
        statement.execute(params![group, slot, holder, until])?;
    }
    Ok(())
}

fn give_back(connection: &Connection, group: &str, holder: Uuid) -> rusqlite::Result<()> {
    for table in ["leases", "lease_holders"] {
        let sql = format!("DELETE FROM {table} WHERE name = ? AND holder = ?");
        connection.prepare_cached(&sql)?.execute(params![group, holder])?;
    }
    Ok(())
}
