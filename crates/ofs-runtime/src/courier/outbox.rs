//! Outbox lane: from the outbox into the log. The only writer of the log.

use super::{Lane, Receipt, Receipts};
use crate::agreement::Agreement;
use crate::books::Books;
use crate::budget::{BATCH_BYTES, Weight};
use crate::crash;
use crate::log::Log;
use crate::metrics;
use crate::store::{Error, Outgoing, SHARDS, Settled};
use async_trait::async_trait;
use futures::StreamExt;
use ofs_events::Key;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often the outbox is read from its beginning while some of it has to wait there.
const AGAIN: Duration = Duration::from_secs(1);

/// Carries a service's outgoing events into the log.
pub struct OutboxLane {
    log: Arc<dyn Log>,
    agreement: Agreement,
    reading: Mutex<Reading>,
}

/// Where the outbox is read on: from the beginning, unless the log takes none of what stands there.
#[derive(Default)]
struct Reading {
    from: u64,
    /// When it was read from the beginning.
    began: Option<Instant>,
}

impl OutboxLane {
    /// The lane into `log`; `agreement` is told what stands there.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, agreement: Agreement) -> Self {
        Self { log, agreement, reading: Mutex::default() }
    }

    /// Where to read on.
    fn begin(&self) -> u64 {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if reading.from == 0 {
            reading.began = Some(Instant::now());
        }
        reading.from
    }

    /// Behind the rows up to `last`. When these were `few`, new ones come about as fast as they are
    /// read: then it is time for the beginning, but not too often.
    fn read_up_to(&self, few: bool, last: Option<u64>) {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = reading.began.is_none_or(|began| began.elapsed() >= AGAIN);
        if few && is_old {
            reading.from = 0;
        } else if let Some(last) = last {
            reading.from = last + 1;
        }
    }
}

#[async_trait]
impl Lane for OutboxLane {
    type Item = Outgoing;

    const NAME: metrics::LaneName = metrics::LaneName::Outbox;
    const SLOTS: u16 = SHARDS;
    const BATCH: usize = 512;

    fn bell<'a>(&self, books: &'a Books) -> &'a Notify {
        &books.bell().outbox
    }

    fn key(item: &Outgoing) -> Key {
        item.key
    }

    async fn owed(
        &self,
        books: &Books,
        slots: &[u16],
        skip: &[Key],
    ) -> Result<Vec<Outgoing>, Error> {
        loop {
            let from = self.begin();
            let rows = books.store().outbox(books.owner(), slots, skip, from, Self::BATCH).await?;
            let last = rows.last().map(|row| row.id);
            let count = rows.len();
            let weight: usize = rows.iter().map(Weight::weight).sum();
            let few = count < Self::BATCH / 4 && weight < BATCH_BYTES / 4;
            let is_taken = |row: &Outgoing| {
                row.message.as_ref().map_or(true, |message| self.log.takes(message.topic, row.key))
            };
            let taken: Vec<Outgoing> = rows.into_iter().filter(is_taken).collect();
            if taken.len() == count && from == 0 {
                return Ok(taken);
            }
            self.read_up_to(few, last);
            if last.is_none() || !taken.is_empty() {
                return Ok(taken);
            }
        }
    }

    async fn deliver(&self, _: &Books, items: Vec<Outgoing>, receipts: &Receipts) {
        let (mut sent, mut messages) = (Vec::new(), Vec::new());
        let mut unreadable = Receipt { left_out: true, ..Receipt::default() };
        for Outgoing { id, key, message } in items {
            match message {
                Ok(message) => {
                    sent.push((id, key, message.topic));
                    messages.push(message);
                }
                Err(reason) => unreadable.failed.push((key, reason)),
            }
        }
        if !unreadable.failed.is_empty() {
            // The receiver may be gone.
            let _ = receipts.send(unreadable);
        }
        crash::point("append.before");
        let mut answers = self.log.append_each(messages).ready_chunks(Self::BATCH);
        while let Some(answers) = answers.next().await {
            crash::point("append.after");
            let mut receipt = Receipt { left_out: true, ..Receipt::default() };
            for (n, answer) in answers {
                let Some((id, key, topic)) = sent.get(n).copied() else { continue };
                match answer {
                    Ok(at) => {
                        self.agreement.appended(at);
                        receipt.settled.push((key, Settled::Sent(id)));
                    }
                    Err(error) => {
                        receipt.left_out &= !self.log.takes(topic, key);
                        receipt.failed.push((key, error.to_string()));
                    }
                }
            }
            let _ = receipts.send(receipt);
        }
    }
}
