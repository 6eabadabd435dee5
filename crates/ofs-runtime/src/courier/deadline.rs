//! Deadline lane: from deadlines that have passed to their owner's handler. What the handler decides and
//! the end of the deadline are one commit, so that each takes effect once.

use super::{Lane, Receipt, Receipts};
use crate::books::Books;
use crate::decide;
use crate::metrics;
use crate::service::{Fault, Handler, Reaction};
use crate::store::{Due, Error, Guard, Record, SHARDS, Settled, Wanted};
use async_trait::async_trait;
use futures::StreamExt;
use ofs_events::Key;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::warn;

/// What is overdue is looked at again after as long as it has been, within these bounds: an older
/// process may have done what it waits for without knowing of the deadline.
const AGAIN: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(1));

/// Carries a service's deadlines to its handler once they have passed.
pub struct DeadlineLane {
    handler: Arc<dyn Handler>,
}

impl DeadlineLane {
    /// The lane to `handler`.
    #[must_use]
    pub fn new(handler: Arc<dyn Handler>) -> Self {
        Self { handler }
    }

    async fn hand_over(&self, books: &Books, due: &Due) -> Result<(), Error> {
        let wanted = Wanted { keys: vec![due.key], ..Wanted::default() };
        let record = books.load(wanted).await?.records.remove(&due.key);
        let (context, handler) = (books.context(), &*self.handler);
        let passed = handler.passed(context, record.as_ref(), &due.name);
        let mut commit = books.blank();
        let mut again_in = None;
        match decide::caught(passed).await {
            Ok(Reaction::Decide(decision)) => {
                let subject = (due.key, record.as_ref());
                decision.write(&mut commit, subject, handler.indexed(), context.now());
            }
            Ok(Reaction::Ignore) => commit.guards.push(guard(books, due.key, record.as_ref())),
            Ok(Reaction::Known) | Err(Fault::Event(_) | Fault::Later(_)) => {
                commit.guards.push(guard(books, due.key, record.as_ref()));
                again_in = Some(due.overdue_for.clamp(AGAIN.0, AGAIN.1));
            }
        }
        let (key, name, due_at) = (due.key, due.name.clone(), due.due_at);
        commit.settled.push(Settled::Passed { key, name, due_at, again_in });
        books.commit(commit).await
    }
}

/// What was decided holds while the record is as it was.
fn guard(books: &Books, key: Key, record: Option<&Record>) -> Guard {
    let version = record.map_or(0, |record| record.version);
    Guard { owner: books.owner().to_owned(), key, version }
}

#[async_trait]
impl Lane for DeadlineLane {
    type Item = Due;

    const NAME: metrics::LaneName = metrics::LaneName::Deadline;
    const SLOTS: u16 = SHARDS;
    const BATCH: usize = 256;

    fn bell<'a>(&self, books: &'a Books) -> &'a Notify {
        &books.bell().deadline
    }

    fn key(item: &Due) -> Key {
        item.key
    }

    async fn owed(&self, books: &Books, slots: &[u16], skip: &[Key]) -> Result<Vec<Due>, Error> {
        let most = Self::BATCH + skip.len();
        let mut met: HashSet<Key> = skip.iter().copied().collect();
        let passed = books.store().passed(books.owner(), slots, most).await?;
        Ok(passed.into_iter().filter(|due| met.insert(due.key)).take(Self::BATCH).collect())
    }

    async fn deliver(&self, books: &Books, items: Vec<Due>, receipts: &Receipts) {
        let handed = items.into_iter().map(|due| async move {
            let outcome = self.hand_over(books, &due).await;
            (due, outcome)
        });
        let handed: Vec<_> = futures::stream::iter(handed).buffer_unordered(64).collect().await;
        let mut receipt = Receipt::default();
        let mut done = 0;
        for (due, outcome) in handed {
            match outcome {
                Ok(()) => done += 1,
                // It was met, or set again, at the same moment; if not, it is read again.
                Err(Error::Stale) => {}
                Err(error) => {
                    let (service, deadline, key) = (books.owner(), &due.name, due.key);
                    warn!(service, deadline, %key, %error, "a deadline cannot be handed over");
                    receipt.failed.push((key, error.to_string()));
                }
            }
        }
        metrics::delivered(books.owner(), Self::NAME, metrics::Delivered::Settled, done);
        // The receiver may be gone.
        let _ = receipts.send(receipt);
    }
}
