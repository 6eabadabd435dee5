//! What is under way: deliveries whose receipts come bit by bit, and how many there may be at once.

use super::{Receipt, Receipts};
use futures::StreamExt;
use futures::stream::{self, BoxStream, SelectAll};
use ofs_events::OrderId;
use std::collections::HashSet;
use tokio::sync::mpsc;

/// Deliveries at once of which nothing is known yet.
const DELIVERIES: usize = 4;
/// Batches at once of which a part is known: what is quick does not wait for what is slow.
const BATCHES: usize = 8;

/// What has become of a part of a delivery.
pub(super) struct Told {
    /// What it is about.
    pub keys: Vec<OrderId>,
    /// Whether some of the delivery had not failed before.
    pub untried: bool,
    pub receipt: Receipt,
    first: bool,
}

/// All that is under way.
#[derive(Default)]
pub(super) struct Deliveries {
    streams: SelectAll<BoxStream<'static, Told>>,
    /// Deliveries of which nothing is known yet.
    unknown: usize,
    items: usize,
}

impl Deliveries {
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether another one may start. While all fails, one at a time is enough to find out.
    pub fn has_room(&self, is_failing: bool, batch: usize) -> bool {
        let most = if is_failing { 1 } else { DELIVERIES };
        self.unknown < most && self.items + batch <= BATCHES * batch
    }

    /// Starts the delivery of `keys`, some of which may be `untried`.
    pub fn start<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        keys: Vec<OrderId>,
        untried: bool,
        deliver: impl FnOnce(Receipts) -> F,
    ) {
        self.unknown += 1;
        self.items += keys.len();
        let delivery = Delivery::start(keys, untried, deliver);
        let told = async |mut delivery: Delivery| Some((delivery.next().await?, delivery));
        self.streams.push(stream::unfold(delivery, told).boxed());
    }

    /// What becomes known next; none if nothing is under way.
    pub async fn next(&mut self) -> Option<Told> {
        let told = self.streams.next().await?;
        self.unknown -= usize::from(told.first);
        self.items -= told.keys.len();
        Some(told)
    }
}

/// A delivery that goes on in a task of its own: the courier awaits the store, too, and a delivery that
/// holds one of the store's connections must go on meanwhile, or the two would wait for each other.
struct Delivery {
    rest: HashSet<OrderId>,
    untried: bool,
    first: bool,
    receipts: mpsc::UnboundedReceiver<Receipt>,
    /// None once it has ended.
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Delivery {
    fn start<F: Future<Output = ()> + Send + 'static>(
        keys: Vec<OrderId>,
        untried: bool,
        deliver: impl FnOnce(Receipts) -> F,
    ) -> Self {
        // Holds at most one message for each key.
        let (tell, receipts) = mpsc::unbounded_channel();
        let task = Some(tokio::spawn(deliver(tell)));
        Self { rest: keys.into_iter().collect(), untried, first: true, receipts, task }
    }

    async fn next(&mut self) -> Option<Told> {
        let (keys, receipt) = match self.receipts.recv().await {
            Some(receipt) => {
                let settled = receipt.settled.iter().map(|(key, _)| key);
                let keys = settled.chain(receipt.failed.iter().map(|(key, _)| key));
                (keys.filter_map(|key| self.rest.take(key)).collect(), receipt)
            }
            None => self.end().await?,
        };
        let first = std::mem::take(&mut self.first);
        Some(Told { keys, untried: self.untried, receipt, first })
    }

    /// What nothing was told of: it has come to its end, or failed if the task has died.
    async fn end(&mut self) -> Option<(Vec<OrderId>, Receipt)> {
        let ended = self.task.take()?.await;
        let keys: Vec<OrderId> = self.rest.drain().collect();
        let mut receipt = Receipt::default();
        if let Err(died) = ended {
            receipt.failed = keys.iter().map(|key| (*key, died.to_string())).collect();
        }
        Some((keys, receipt))
    }
}
