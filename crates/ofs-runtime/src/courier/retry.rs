//! Retry lane: from parked events to their handler. Reading claims, so it needs no lease.

use super::{Lane, Receipt, Receipts};
use crate::books::Books;
use crate::metrics;
use crate::parked::Retrier;
use crate::store::{Error, Parked};
use async_trait::async_trait;
use futures::StreamExt;
use ofs_events::Key;
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

/// How long a claimed event is ours: longer than a gateway call should take, and as long as others
/// wait for it if we die. Should two retry it at once, the gateway knows the key and one commit fails.
pub(crate) const HOLD: Duration = Duration::from_secs(10);

/// Carries parked events back to their handler when they are due.
pub struct RetryLane {
    retrier: Retrier,
}

impl RetryLane {
    /// The lane to the handlers that `retrier` knows.
    #[must_use]
    pub fn new(retrier: Retrier) -> Self {
        Self { retrier }
    }
}

#[async_trait]
impl Lane for RetryLane {
    type Item = Parked;

    const NAME: metrics::LaneName = metrics::LaneName::Retry;
    const SLOTS: u16 = 0;
    const BATCH: usize = 64;

    fn bell<'a>(&self, books: &'a Books) -> &'a Notify {
        &books.bell().retry
    }

    fn key(item: &Parked) -> Key {
        // Without a key, each is a queue of its own.
        item.event.key.unwrap_or_else(|| Key(Uuid::from_u64_pair(0, item.id)))
    }

    async fn owed(&self, books: &Books, _: &[u16], _: &[Key]) -> Result<Vec<Parked>, Error> {
        books.store().due(books.owner(), HOLD, Self::BATCH).await
    }

    async fn deliver(&self, _: &Books, items: Vec<Parked>, receipts: &Receipts) {
        let retries = items.into_iter().map(|item| async move {
            let key = Self::key(&item);
            self.retrier.retry_claimed(item).await.err().map(|error| (key, error.to_string()))
        });
        let failed: Vec<_> = futures::stream::iter(retries).buffer_unordered(64).collect().await;
        let failed = failed.into_iter().flatten().collect();
        // The receiver may be gone.
        let _ = receipts.send(Receipt { failed, ..Receipt::default() });
    }
}
