//! Outbox lane: from the outbox into the log. The only writer of the log.

use super::{Lane, Receipt};
use crate::books::Books;
use crate::crash;
use crate::log::Log;
use crate::metrics;
use crate::store::{Error, Outgoing, SHARDS, Settled};
use async_trait::async_trait;
use ofs_events::OrderId;
use std::sync::Arc;
use tokio::sync::Notify;

/// Carries a service's outgoing events into the log.
pub struct OutboxLane {
    log: Arc<dyn Log>,
}

impl OutboxLane {
    /// The lane into `log`.
    #[must_use]
    pub fn new(log: Arc<dyn Log>) -> Self {
        Self { log }
    }
}

#[async_trait]
impl Lane for OutboxLane {
    type Item = Outgoing;

    const NAME: metrics::Lane = metrics::Lane::Outbox;
    const SLOTS: u16 = SHARDS;
    const BATCH: usize = 512;

    fn bell<'a>(&self, books: &'a Books) -> &'a Notify {
        &books.bell().outbox
    }

    fn key(item: &Outgoing) -> OrderId {
        item.key
    }

    async fn owed(
        &self,
        books: &Books,
        slots: &[u16],
        skip: &[OrderId],
    ) -> Result<Vec<Outgoing>, Error> {
        books.store().outbox(books.owner(), slots, skip, Self::BATCH).await
    }

    async fn deliver(&self, _: &Books, items: Vec<Outgoing>) -> Receipt {
        let sent: Vec<(u64, OrderId)> = items.iter().map(|item| (item.id, item.key)).collect();
        crash::point("append.before");
        let answers = self.log.append(items.into_iter().map(|item| item.message).collect()).await;
        crash::point("append.after");
        let mut receipt = Receipt::default();
        for ((id, key), answer) in sent.into_iter().zip(answers) {
            match answer {
                Ok(_) => receipt.settled.push(Settled::Sent(id)),
                Err(error) => receipt.failed.push((key, error.to_string())),
            }
        }
        receipt
    }
}
