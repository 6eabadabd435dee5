//! A service's books: its own rows in the store, and the bell that tells its couriers of new work.

use crate::context::Context;
use crate::crash;
use crate::metrics;
use crate::store::{Commit, Error, Loaded, Settled, Store, Wanted};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Wakes the couriers of one service, in this process. Missing a ring costs a poll, never an event.
#[derive(Debug, Default)]
pub struct Bell {
    /// There are events to send.
    pub outbox: Notify,
    /// There are records to index.
    pub index: Notify,
    /// There are parked events, or a queue has a new head.
    pub retry: Notify,
    /// Never rung: a deadline passes by itself.
    pub deadline: Notify,
}

/// The rows of one service only.
#[derive(Clone)]
pub struct Books {
    context: Context,
    store: Arc<dyn Store>,
    bell: Arc<Bell>,
}

impl Books {
    /// The books of `service` in `store`.
    #[must_use]
    pub fn new(service: &'static str, store: Arc<dyn Store>) -> Self {
        Self::of(Context::new(service), store)
    }

    /// The books of the service whose `context` this is.
    #[must_use]
    pub fn of(context: Context, store: Arc<dyn Store>) -> Self {
        Self { context, store, bell: Arc::new(Bell::default()) }
    }

    /// Whose books they are.
    #[must_use]
    pub fn owner(&self) -> &'static str {
        self.context.service()
    }

    /// The owner's source of time and ids.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// The store below, for what is not a commit.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// What the owner's commits ring.
    #[must_use]
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// An empty commit of the owner.
    #[must_use]
    pub fn blank(&self) -> Commit {
        Commit { owner: self.owner().to_owned(), ..Commit::default() }
    }

    /// Reads the owner's rows.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn load(&self, mut wanted: Wanted) -> Result<Loaded, Error> {
        self.owner().clone_into(&mut wanted.owner);
        self.store.load(&wanted).await
    }

    /// Commits, then wakes the couriers that have new work.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn commit(&self, commit: Commit) -> Result<(), Error> {
        let (before, after) = if !commit.settled.is_empty() {
            ("settle.before", "settle.after")
        } else {
            ("commit.before", "commit.after")
        };
        let rings = (
            !commit.outgoing.is_empty(),
            !commit.index.is_empty() || !commit.again.is_empty(),
            !commit.parked.is_empty() || !commit.settled.iter().all(Settled::is_delivered),
        );
        crash::point(before);
        let started = Instant::now();
        let result = self.store.commit(commit).await;
        metrics::committed(self.owner(), &result, started.elapsed());
        result?;
        crash::point(after);
        self.ring(rings);
        Ok(())
    }

    fn ring(&self, (outbox, index, retry): (bool, bool, bool)) {
        if outbox {
            self.bell.outbox.notify_one();
        }
        if index {
            self.bell.index.notify_one();
        }
        if retry {
            self.bell.retry.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Deadline, Guard, Record, Seen};
    use ofs_events::{EventId, Key, Timestamp};
    use uuid::Uuid;

    #[test]
    fn only_notes_of_deliveries_can_wait() {
        let key = Key(Uuid::from_u128(1));
        let note = Commit {
            settled: vec![Settled::Sent(1), Settled::Indexed { key, version: 1 }],
            guards: vec![Guard { owner: "any".to_owned(), key, version: 1 }],
            ..Commit::default()
        };
        assert!(note.can_wait());
        for change in [
            Commit { index: vec![(key, 1)], ..note.clone() },
            Commit { again: vec![(key, 1)], ..note.clone() },
            Commit { settled: vec![Settled::Sent(1), Settled::Resolved(2)], ..note.clone() },
            Commit { deadlines: vec![Deadline { key, name: "any", due_in: None }], ..note },
        ] {
            assert!(!change.can_wait(), "{change:?}");
        }
    }

    #[test]
    fn a_client_waits_for_what_follows_from_a_command_alone() {
        let key = Key(Uuid::from_u128(1));
        let record = Record::next(None, key, "Created", &(), Timestamp::from_micros(0));
        let command = Commit { records: vec![record], ..Commit::default() };
        assert!(command.is_awaited());
        let seen = Seen { day: Timestamp::from_micros(0).day(), key, event_id: EventId(key.0) };
        for work in [
            Commit { seen: vec![seen], ..command.clone() },
            Commit { settled: vec![Settled::Resolved(1)], ..command.clone() },
            Commit { again: vec![(key, 1)], ..command },
            Commit { settled: vec![Settled::Sent(1)], ..Commit::default() },
        ] {
            assert!(!work.is_awaited(), "{work:?}");
        }
    }
}
