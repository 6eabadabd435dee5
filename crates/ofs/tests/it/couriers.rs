//! Couriers whose receiver refuses: all of it, or some of it for ever.

use crate::server::PATIENCE;
use crate::system::System;
use async_trait::async_trait;
use ofs_events::OrderId;
use ofs_runtime::books::Books;
use ofs_runtime::courier::{Courier, Lane, Receipt, Receipts};
use ofs_runtime::metrics;
use ofs_runtime::store::{Error, Settled};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A receiver of orders; those with an odd number never arrive, and the others are owed no more then.
#[derive(Default)]
struct Receiver {
    owed: Mutex<BTreeSet<OrderId>>,
    deliveries: Mutex<Vec<Instant>>,
    /// After how many deliveries, or when nothing else is owed, the courier is stopped.
    most: usize,
    stop: CancellationToken,
}

struct Refusing(Arc<Receiver>);

fn is_refused(key: &OrderId) -> bool {
    key.0.as_u128() % 2 == 1
}

#[async_trait]
impl Lane for Refusing {
    type Item = OrderId;

    const NAME: metrics::Lane = metrics::Lane::Retry;
    const SLOTS: u16 = 0;
    const BATCH: usize = 100;

    fn bell<'a>(&self, books: &'a Books) -> &'a Notify {
        &books.bell().retry
    }

    fn key(item: &OrderId) -> OrderId {
        *item
    }

    async fn owed(&self, _: &Books, _: &[u16], skip: &[OrderId]) -> Result<Vec<OrderId>, Error> {
        let skip: BTreeSet<&OrderId> = skip.iter().collect();
        let owed = self.0.owed.lock().expect("what is owed");
        Ok(owed.iter().filter(|key| !skip.contains(key)).take(Self::BATCH).copied().collect())
    }

    async fn deliver(&self, _: &Books, items: Vec<OrderId>, receipts: &Receipts) {
        let receiver = &self.0;
        let mut deliveries = receiver.deliveries.lock().expect("deliveries");
        deliveries.push(Instant::now());
        let mut owed = receiver.owed.lock().expect("what is owed");
        let mut receipt = Receipt::default();
        for key in items {
            if is_refused(&key) {
                receipt.failed.push((key, "refused".to_owned()));
            } else {
                owed.remove(&key);
                receipt.settled.push((key, Settled::Resolved(1)));
            }
        }
        if deliveries.len() >= receiver.most
            || owed.iter().all(is_refused) && !receipt.settled.is_empty()
        {
            receiver.stop.cancel();
        }
        receipts.send(receipt).expect("a courier");
    }
}

/// Carries `orders` until the receiver says stop.
async fn carry(orders: impl Iterator<Item = u128>, most: usize) -> Arc<Receiver> {
    let system = System::new();
    let books = Books::new("payment-worker", system.engines().await.store);
    let owed = orders.map(|nth| OrderId(Uuid::from_u128(nth))).collect();
    let receiver = Arc::new(Receiver { owed: Mutex::new(owed), most, ..Receiver::default() });
    let courier = Courier::new(books, Refusing(Arc::clone(&receiver)));
    let carried = tokio::time::timeout(PATIENCE, courier.run(receiver.stop.clone())).await;
    carried.expect("everything that can arrive arrives");
    receiver
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_courier_to_whom_nothing_is_taken_tries_less_and_less_often() {
    let receiver = carry((1..4_000).step_by(2), 8).await;
    let deliveries = receiver.deliveries.lock().expect("deliveries");
    // Four may start before the first is refused. Of the rests after them each is at least a tenth of
    // its ceiling, which doubles from 50 ms on.
    let least = Duration::from_millis((4..7).map(|nth| (50 << nth) / 10).sum());
    let took = deliveries[7].duration_since(deliveries[4]);
    assert!(took >= least, "{took:?}, and at least {least:?} of rest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_are_refused_for_ever_do_not_hold_up_the_others() {
    let receiver = carry(1..=4_000, usize::MAX).await;
    let owed = receiver.owed.lock().expect("what is owed");
    assert_eq!(owed.len(), 2_000, "all others have arrived");
}
