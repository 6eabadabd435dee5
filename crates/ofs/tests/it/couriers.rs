//! Couriers whose receiver refuses: all of it, some of it for ever, or some of it for a while.

use crate::server::PATIENCE;
use crate::system::System;
use async_trait::async_trait;
use ofs_events::{Key, Topic};
use ofs_runtime::agreement::Agreement;
use ofs_runtime::books::Books;
use ofs_runtime::courier::{Courier, Lane, OutboxLane, Receipt, Receipts};
use ofs_runtime::log::{
    self, Bounds, Lag, Layout, Log, Message, Position, Reader, Received, Reset, Subscription,
};
use ofs_runtime::metrics;
use ofs_runtime::store::{Error, Record, Settled};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A receiver of orders; those with an odd number never arrive, and the others are owed no more then.
#[derive(Default)]
struct Receiver {
    owed: Mutex<BTreeSet<Key>>,
    deliveries: Mutex<Vec<Instant>>,
    /// After how many deliveries, or when nothing else is owed, the courier is stopped.
    most: usize,
    stop: CancellationToken,
}

struct Refusing(Arc<Receiver>);

fn is_refused(key: &Key) -> bool {
    key.0.as_u128() % 2 == 1
}

#[async_trait]
impl Lane for Refusing {
    type Item = Key;

    const NAME: metrics::LaneName = metrics::LaneName::Retry;
    const SLOTS: u16 = 0;
    const BATCH: usize = 100;

    fn bell<'a>(&self, books: &'a Books) -> &'a Notify {
        &books.bell().retry
    }

    fn key(item: &Key) -> Key {
        *item
    }

    async fn owed(&self, _: &Books, _: &[u16], skip: &[Key]) -> Result<Vec<Key>, Error> {
        let skip: BTreeSet<&Key> = skip.iter().collect();
        let owed = self.0.owed.lock().expect("what is owed");
        Ok(owed.iter().filter(|key| !skip.contains(key)).take(Self::BATCH).copied().collect())
    }

    async fn deliver(&self, _: &Books, items: Vec<Key>, receipts: &Receipts) {
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
        // At the end the courier does not wait for it.
        let _ = receipts.send(receipt);
    }
}

/// Carries `orders` until the receiver says stop.
async fn carry(orders: impl Iterator<Item = u128>, most: usize) -> Arc<Receiver> {
    let system = System::new();
    let books = Books::new("payment-worker", system.engines().await.store);
    let owed = orders.map(|nth| Key(Uuid::from_u128(nth))).collect();
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

/// A log that takes nothing of orders with an odd number while it is closed; it only takes.
struct HalfClosed {
    closed: AtomicBool,
    taken: Mutex<BTreeSet<Key>>,
}

impl HalfClosed {
    /// How many orders it has taken: with odd numbers, and with others.
    fn counts(&self) -> (usize, usize) {
        let taken = self.taken.lock().expect("what is taken");
        let odd = taken.iter().filter(|key| is_refused(key)).count();
        (odd, taken.len() - odd)
    }
}

fn down<T>() -> Result<T, log::Error> {
    Err(log::Error::Unavailable("it only takes".to_owned()))
}

#[async_trait]
impl Log for HalfClosed {
    async fn append(&self, messages: Vec<Message>) -> Vec<Result<Position, log::Error>> {
        let at = Position { topic: Topic::Orders, partition: 0, offset: 0 };
        let mut taken = self.taken.lock().expect("what is taken");
        for message in &messages {
            let key = String::from_utf8_lossy(message.key.as_deref().expect("a key")).into_owned();
            taken.insert(key.parse().expect("an order"));
        }
        vec![Ok(at); messages.len()]
    }

    fn takes(&self, _: Topic, key: Key) -> bool {
        !(is_refused(&key) && self.closed.load(Ordering::SeqCst))
    }

    async fn subscribe(&self, _: &str, _: &[Topic]) -> Result<Box<dyn Subscription>, log::Error> {
        down()
    }

    async fn read(&self, _: Topic, _: u32, _: u64, _: usize) -> Result<Vec<Received>, log::Error> {
        down()
    }

    async fn bounds(&self, _: Topic) -> Result<Vec<Bounds>, log::Error> {
        down()
    }

    async fn lag(&self, _: &str, _: &[Topic]) -> Result<Vec<Lag>, log::Error> {
        down()
    }

    async fn reset(&self, _: &str, _: &[Topic], _: Reset) -> Result<(), log::Error> {
        down()
    }

    async fn groups(&self) -> Result<Vec<String>, log::Error> {
        down()
    }

    async fn forget(&self, _: &str) -> Result<(), log::Error> {
        down()
    }

    async fn prepare(&self, _: Layout) -> Result<(), log::Error> {
        down()
    }

    async fn tidy(&self, _: Duration, _: &[Reader]) -> Result<(), log::Error> {
        down()
    }
}

async fn owe(books: &Books, orders: impl Iterator<Item = u128>) {
    let mut commit = books.blank();
    for nth in orders {
        let key = Key(Uuid::from_u128(nth));
        commit.records.push(Record::next(None, key, "Created", &json!({}), books.context().now()));
        commit.outgoing.push(Message {
            topic: Topic::Orders,
            key: Some(key.to_string().into()),
            event_id: None,
            headers: Vec::new(),
            value: "{}".into(),
        });
    }
    books.commit(commit).await.expect("committed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_does_not_take_now_waits_alone_and_is_not_forgotten() {
    let system = System::new();
    let store = system.engines().await.store;
    let books = Books::new("order-service", Arc::clone(&store));
    // All that waits stands before all that does not.
    owe(&books, (1..6_000).step_by(2)).await;
    owe(&books, (2..=2_000).step_by(2)).await;
    let log = Arc::new(HalfClosed { closed: AtomicBool::new(true), taken: Mutex::default() });
    let stop = CancellationToken::new();
    let agreement = Agreement::new(store, log.clone());
    let courier = Courier::new(books.clone(), OutboxLane::new(log.clone(), agreement));
    let carrying = tokio::spawn(courier.run(stop.clone()));
    let mut next = 1_000_000;
    let mut until = async |count: usize| {
        let began = Instant::now();
        loop {
            let (refused, others) = log.counts();
            if refused == count && others >= 1_000 {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{refused} and {others}");
            // New ones come all the time.
            owe(&books, std::iter::once(next)).await;
            next += 2;
        }
    };
    until(0).await;
    log.closed.store(false, Ordering::SeqCst);
    until(3_000).await;
    stop.cancel();
    carrying.await.expect("it ends");
}

/// A log that has been sent something, and never says what became of it.
struct Mute(Semaphore);

#[async_trait]
impl Log for Mute {
    async fn append(&self, _: Vec<Message>) -> Vec<Result<Position, log::Error>> {
        self.0.add_permits(1);
        std::future::pending().await
    }

    async fn subscribe(&self, _: &str, _: &[Topic]) -> Result<Box<dyn Subscription>, log::Error> {
        down()
    }

    async fn read(&self, _: Topic, _: u32, _: u64, _: usize) -> Result<Vec<Received>, log::Error> {
        down()
    }

    async fn bounds(&self, _: Topic) -> Result<Vec<Bounds>, log::Error> {
        down()
    }

    async fn lag(&self, _: &str, _: &[Topic]) -> Result<Vec<Lag>, log::Error> {
        down()
    }

    async fn reset(&self, _: &str, _: &[Topic], _: Reset) -> Result<(), log::Error> {
        down()
    }

    async fn groups(&self) -> Result<Vec<String>, log::Error> {
        down()
    }

    async fn forget(&self, _: &str) -> Result<(), log::Error> {
        down()
    }

    async fn prepare(&self, _: Layout) -> Result<(), log::Error> {
        down()
    }

    async fn tidy(&self, _: Duration, _: &[Reader]) -> Result<(), log::Error> {
        down()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_what_becomes_of_a_delivery_that_hangs() {
    let system = System::new();
    let store = system.engines().await.store;
    let books = Books::new("order-service", Arc::clone(&store));
    owe(&books, 1..2).await;
    let log = Arc::new(Mute(Semaphore::new(0)));
    let agreement = Agreement::new(Arc::clone(&store), log.clone());
    let courier = Courier::new(books, OutboxLane::new(log.clone(), agreement));
    let stop = CancellationToken::new();
    let carrying = tokio::spawn(courier.run(stop.clone()));
    log.0.acquire().await.expect("it is sent").forget();
    stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(8), carrying).await;
    ended.expect("it ends in time").expect("without a panic");
    let owed = store.depths().await.expect("depths").outbox;
    assert_eq!(owed[0].rows, 1, "the next process sends it again");
}
