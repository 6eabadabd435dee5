//! Deliveries in progress, whose receipts come bit by bit, and how many there may be at once.

use super::{Receipt, Receipts};
use crate::budget::{self, BATCH_BYTES};
use futures::StreamExt;
use futures::stream::{self, BoxStream, SelectAll};
use ofs_events::Key;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Deliveries at once of which nothing is known yet.
const DELIVERIES: usize = 4;
/// How long a delivery keeps one that is not full waiting, so that what comes meanwhile goes together.
const GATHER: Duration = Duration::from_millis(250);
/// Batches at once of which a part is known: what is quick does not wait for what is slow.
const BATCHES: usize = 8;
/// Bytes at once.
const BYTES: usize = budget::BATCHES * BATCH_BYTES;

/// What has become of a part of a delivery.
pub(super) struct Told {
    /// What it is about.
    pub keys: Vec<Key>,
    /// Whether some of the delivery had not failed before.
    pub untried: bool,
    pub receipt: Receipt,
    first: bool,
    /// What it weighed.
    bytes: usize,
}

/// All that is under way.
#[derive(Default)]
pub(super) struct Deliveries {
    streams: SelectAll<BoxStream<'static, Told>>,
    /// Deliveries of which nothing is known yet.
    unknown: usize,
    /// Keys of which it is not known what became of them.
    items: usize,
    /// What these weigh.
    bytes: usize,
    /// When the last one started, and whether it took all that there was room for.
    last: Option<(Instant, bool)>,
}

impl Deliveries {
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether another one may start. While all fails, one at a time is enough to find out.
    pub fn has_room(&self, is_failing: bool, batch: usize) -> bool {
        let gathers = self.last.is_some_and(|(at, full)| !full && at.elapsed() < GATHER);
        let most = if is_failing || gathers { 1 } else { DELIVERIES };
        self.unknown < most && self.items + batch <= BATCHES * batch && self.bytes < BYTES
    }

    /// Starts the delivery of items with these keys and weights, some of which may be `untried`; it is
    /// `full` if more of them may be owed.
    pub fn start<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        items: Vec<(Key, usize)>,
        (untried, full): (bool, bool),
        deliver: impl FnOnce(Receipts) -> F,
    ) {
        self.last = Some((Instant::now(), full));
        let delivery = Delivery::start(items, untried, deliver);
        self.unknown += 1;
        self.items += delivery.rest.len();
        self.bytes += delivery.rest.values().sum::<usize>();
        let told = async |mut delivery: Delivery| Some((delivery.next().await?, delivery));
        self.streams.push(stream::unfold(delivery, told).boxed());
    }

    /// What becomes known next; none if nothing is under way.
    pub async fn next(&mut self) -> Option<Told> {
        let told = self.streams.next().await?;
        self.unknown -= usize::from(told.first);
        self.items -= told.keys.len();
        self.bytes -= told.bytes;
        Some(told)
    }
}

/// A delivery that goes on in a task of its own: the courier awaits the store, too, and a delivery that
/// holds one of the store's connections must go on meanwhile, or the two would wait for each other.
struct Delivery {
    /// What nothing was told of yet, and what it weighs.
    rest: HashMap<Key, usize>,
    untried: bool,
    first: bool,
    receipts: mpsc::UnboundedReceiver<Receipt>,
    /// None once it has ended.
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Delivery {
    fn start<F: Future<Output = ()> + Send + 'static>(
        items: Vec<(Key, usize)>,
        untried: bool,
        deliver: impl FnOnce(Receipts) -> F,
    ) -> Self {
        // Holds at most one message for each key.
        let (tell, receipts) = mpsc::unbounded_channel();
        let task = Some(tokio::spawn(deliver(tell)));
        Self { rest: items.into_iter().collect(), untried, first: true, receipts, task }
    }

    async fn next(&mut self) -> Option<Told> {
        let (told, receipt): (Vec<(Key, usize)>, Receipt) = match self.receipts.recv().await {
            Some(receipt) => {
                let settled = receipt.settled.iter().map(|(key, _)| key);
                let keys = settled.chain(receipt.failed.iter().map(|(key, _)| key));
                (keys.filter_map(|key| self.rest.remove_entry(key)).collect(), receipt)
            }
            None => self.end().await?,
        };
        let first = std::mem::take(&mut self.first);
        let (keys, weights): (Vec<Key>, Vec<usize>) = told.into_iter().unzip();
        let bytes = weights.into_iter().sum();
        Some(Told { keys, untried: self.untried, receipt, first, bytes })
    }

    /// What nothing was told of: it has come to its end, or failed if the task has died.
    async fn end(&mut self) -> Option<(Vec<(Key, usize)>, Receipt)> {
        let ended = self.task.take()?.await;
        let rest: Vec<(Key, usize)> = self.rest.drain().collect();
        let mut receipt = Receipt::default();
        if let Err(died) = ended {
            receipt.failed = rest.iter().map(|(key, _)| (*key, died.to_string())).collect();
        }
        Some((rest, receipt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn key(number: u128) -> Key {
        Key(Uuid::from_u128(number))
    }

    fn item(number: u128) -> (Key, usize) {
        (key(number), 10)
    }

    fn failed(number: u128) -> Receipt {
        Receipt { failed: vec![(key(number), "why".to_owned())], ..Receipt::default() }
    }

    async fn all(deliveries: &mut Deliveries) -> Vec<Vec<Key>> {
        let mut told = Vec::new();
        while let Some(next) = deliveries.next().await {
            told.push(next.keys);
        }
        told
    }

    #[tokio::test]
    async fn what_is_slow_takes_no_place_once_something_is_known() {
        let mut deliveries = Deliveries::default();
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        deliveries.start(vec![item(1), item(2)], (true, true), |receipts| async move {
            receipts.send(failed(1)).expect("a courier");
            gone.await.expect("a sign");
            receipts.send(failed(2)).expect("a courier");
        });
        assert!(!deliveries.has_room(true, 1), "one is under way");
        let first = deliveries.next().await.expect("a part");
        assert_eq!(first.keys, [key(1)]);
        assert!(deliveries.has_room(true, 1));
        go.send(()).expect("it waits");
        assert_eq!(all(&mut deliveries).await.concat(), [key(2)]);
    }

    #[tokio::test]
    async fn at_the_end_nothing_is_under_way_though_an_order_came_twice() {
        let mut deliveries = Deliveries::default();
        for _ in 0..100 {
            deliveries.start(
                vec![item(1), item(1), item(2)],
                (true, true),
                |receipts| async move {
                    receipts.send(failed(1)).expect("a courier");
                },
            );
            assert_eq!(all(&mut deliveries).await.concat(), [key(1), key(2)]);
            assert_eq!((deliveries.items, deliveries.bytes, deliveries.unknown), (0, 0, 0));
        }
    }

    #[tokio::test]
    async fn what_a_dead_task_has_not_told_of_has_failed() {
        let mut deliveries = Deliveries::default();
        deliveries.start(vec![item(1), item(2)], (true, true), |receipts| async move {
            receipts.send(failed(1)).expect("a courier");
            panic!("dies");
        });
        deliveries.next().await.expect("what it told");
        let last = deliveries.next().await.expect("the rest");
        assert_eq!(last.receipt.failed.first().map(|(key, _)| *key), Some(key(2)));
        assert_eq!(last.keys, [key(2)]);
    }

    #[tokio::test]
    async fn what_comes_while_a_delivery_is_under_way_goes_together_but_does_not_wait_for_ever() {
        let mut deliveries = Deliveries::default();
        let start = |deliveries: &mut Deliveries, number, full| {
            deliveries.start(vec![item(number)], (true, full), |receipts| async move {
                std::future::pending::<()>().await;
                drop(receipts);
            });
        };
        start(&mut deliveries, 1, true);
        assert!(deliveries.has_room(false, 1), "more of a full one is owed");
        start(&mut deliveries, 2, false);
        assert!(!deliveries.has_room(false, 1), "what comes now gathers");
        deliveries.last = Instant::now().checked_sub(GATHER).map(|at| (at, false));
        assert!(deliveries.has_room(false, 1), "it has gathered for long enough");
    }

    #[tokio::test]
    async fn what_is_heavy_takes_the_room_of_many() {
        let mut deliveries = Deliveries::default();
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        deliveries.start(vec![(key(1), BYTES), (key(2), 1)], (true, true), |receipts| async move {
            receipts.send(failed(2)).expect("a courier");
            gone.await.expect("a sign");
            receipts.send(failed(1)).expect("a courier");
        });
        deliveries.next().await.expect("the light one");
        assert!(!deliveries.has_room(false, 512), "the heavy one is under way");
        go.send(()).expect("it waits");
        deliveries.next().await.expect("the heavy one");
        assert!(deliveries.has_room(false, 512));
    }
}
