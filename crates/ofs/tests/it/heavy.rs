//! Records as large as any that is read as an event: what is held of them in memory is bounded.

use crate::bad_records::{created, order_id};
use crate::server::{PATIENCE, parked, until};
use crate::system::{System, record};
use async_trait::async_trait;
use ofs_events::{OrderEvent, Payload, Topic};
use ofs_runtime::books::Books;
use ofs_runtime::budget::{BATCH_BYTES, BATCHES};
use ofs_runtime::context::Context;
use ofs_runtime::log::{Log, Message};
use ofs_runtime::service::{Delivery, Fault, Handler, Reaction};
use ofs_runtime::store::Record;
use ofs_runtime::trouble::Troubles;
use ofs_runtime::worker::Worker;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Bytes of each record.
const LARGE: usize = 200 * 1024;
/// Events, of many times the bytes that a worker may hold.
const EVENTS: u128 = 150;
/// The same of records that no service can read, which costs less time.
const UNREADABLE: u128 = 1_500;

/// The first event of order `number`, made large by what has no limit.
fn large(number: u128) -> Message {
    let mut event = created(number);
    if let Payload::Orders(OrderEvent::OrderCreatedV1(order)) = &mut event.payload {
        order.customer_email = format!("{}@example.com", "x".repeat(LARGE));
    }
    Message::from(&event)
}

fn unreadable(number: u128) -> Message {
    record(Topic::Orders, Some(order_id(number).to_string().as_bytes()), &[b'{'; LARGE])
}

/// Appends them a few at once.
async fn append(log: &dyn Log, messages: impl Iterator<Item = Message>) {
    let mut messages = messages.peekable();
    while messages.peek().is_some() {
        for answer in log.append(messages.by_ref().take(10).collect()).await {
            answer.expect("appended");
        }
    }
}

/// Handles nothing until it has been given all that a worker may hold.
struct Slow {
    in_hand: AtomicUsize,
    most: AtomicUsize,
    left: AtomicUsize,
    gate: Semaphore,
    done: CancellationToken,
}

#[async_trait]
impl Handler for Slow {
    fn topics(&self) -> &'static [Topic] {
        &[Topic::Orders]
    }

    async fn handle(
        &self,
        _: &Context,
        _: Option<&Record>,
        _: Delivery<'_>,
    ) -> Result<Reaction, Fault> {
        let held = LARGE * (1 + self.in_hand.fetch_add(1, Ordering::SeqCst));
        self.most.fetch_max(held, Ordering::SeqCst);
        if held >= BATCHES * BATCH_BYTES {
            self.gate.close();
        }
        let _ = self.gate.acquire().await;
        self.in_hand.fetch_sub(1, Ordering::SeqCst);
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.done.cancel();
        }
        Ok(Reaction::Ignore)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_decisions_are_slow_holds_a_bounded_number_of_bytes() {
    let system = System::new();
    let engines = system.engines().await;
    append(&*engines.log, (0..EVENTS).map(large)).await;
    let done = CancellationToken::new();
    let slow = Arc::new(Slow {
        in_hand: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
        left: AtomicUsize::new(EVENTS as usize),
        gate: Semaphore::new(0),
        done: done.clone(),
    });
    let books = Books::new("payment-worker", engines.store);
    let handler = Arc::clone(&slow) as Arc<dyn Handler>;
    let worker = Worker::new(books, handler, engines.log, Troubles::default());
    let worked = tokio::time::timeout(PATIENCE, worker.run(done)).await;
    worked.expect("all records are handled");
    let most = slow.most.load(Ordering::SeqCst);
    // What was polled last may weigh a batch, and the record that filled it.
    assert!(most <= (BATCHES + 1) * BATCH_BYTES + LARGE, "{most} bytes in hand");
}

/// The memory of process `id` that does not belong to a file, in KiB.
pub fn memory(id: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test]
async fn a_server_that_reads_large_records_keeps_its_memory() {
    let system = System::new();
    append(&*system.engines().await.log, (0..UNREADABLE).map(unreadable)).await;
    let server = system.start();
    let most = AtomicUsize::new(0);
    let all_parked = |_, pipeline: &Value| {
        most.fetch_max(memory(server.id()), Ordering::Relaxed);
        u128::from(parked(pipeline)) == 2 * UNREADABLE
    };
    until(&format!("{}/pipeline", server.url), "two services park all", all_parked).await;
    let most = most.into_inner() / 1024;
    assert!(most < 250, "{most} MiB");
}
