//! How many rows of each owner wait in each lane: counted when the file is opened, and kept in memory
//! from then on, because no other process writes to it.

use super::Done;
use ofs_events::Timestamp;
use ofs_runtime::store::{Depth, Depths};
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where rows wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Outbox,
    Index,
    Refused,
    Parked,
}

/// By how much a commit of one owner changes the rows of each lane.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved([i64; 4]);

impl Moved {
    pub fn add(&mut self, lane: Lane, rows: usize) {
        self.0[lane as usize] += i64::try_from(rows).unwrap_or_default();
    }

    pub fn take(&mut self, lane: Lane, rows: usize) {
        self.0[lane as usize] -= i64::try_from(rows).unwrap_or_default();
    }
}

/// The rows of each owner. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts(Arc<Mutex<BTreeMap<String, Moved>>>);

impl Counts {
    /// Counts what is in the file.
    pub fn of(connection: &Connection) -> Done<Counts> {
        let counts = Counts::default();
        for (lane, table) in [
            (Lane::Outbox, "outbox"),
            (Lane::Index, "owed_index"),
            (Lane::Refused, "refused_documents"),
            (Lane::Parked, "parked_events WHERE state = 'parked'"),
        ] {
            let sql = format!("SELECT owner, count(*) FROM {table} GROUP BY owner");
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            for row in rows {
                let (owner, rows): (String, usize) = row?;
                counts.lock().entry(owner).or_default().add(lane, rows);
            }
        }
        Ok(counts)
    }

    /// A commit of `owner` is durable.
    pub fn apply(&self, owner: &str, Moved(moved): Moved) {
        let mut counts = self.lock();
        let Some(Moved(rows)) = counts.get_mut(owner) else {
            counts.insert(owner.to_owned(), Moved(moved));
            return;
        };
        for (rows, moved) in rows.iter_mut().zip(moved) {
            *rows += moved;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Moved>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rows(&self, lane: Lane) -> Vec<(String, u64)> {
        let rows = |(owner, Moved(rows)): (&String, &Moved)| {
            let rows = u64::try_from(rows[lane as usize]).ok().filter(|rows| *rows > 0)?;
            Some((owner.clone(), rows))
        };
        self.lock().iter().filter_map(rows).collect()
    }

    /// The counts, with the age of the oldest row of each.
    pub fn read(&self, connection: &Connection) -> Done<Depths> {
        let at = super::owed::now(connection)?;
        let lane = |lane, oldest| -> Done<Vec<Depth>> {
            let mut oldest = connection.prepare_cached(oldest)?;
            let depth = |(owner, rows)| {
                let since = oldest.query_row([&owner], |row| row.get::<_, i64>(0)).optional()?;
                let oldest = since.map(|since| Timestamp::from_micros(since).min(at));
                Ok(Depth { owner, rows, oldest })
            };
            self.rows(lane).into_iter().map(depth).collect()
        };
        Ok(Depths {
            at,
            outbox: lane(
                Lane::Outbox,
                "SELECT created_at FROM outbox WHERE owner = ? ORDER BY id LIMIT 1",
            )?,
            index: lane(
                Lane::Index,
                "SELECT since FROM owed_index WHERE owner = ? ORDER BY since LIMIT 1",
            )?,
            refused: lane(
                Lane::Refused,
                "SELECT since FROM refused_documents WHERE owner = ? ORDER BY since LIMIT 1",
            )?,
            parked: lane(
                Lane::Parked,
                "SELECT parked_at FROM parked_events WHERE owner = ? AND state = 'parked'
                 ORDER BY id LIMIT 1",
            )?,
        })
    }
}
