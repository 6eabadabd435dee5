//! The load: clients that place orders through the public API, and note when each was due, sent and
//! answered.

use super::super::client::Client;
use super::super::output;
use super::times::{Clock, Micros, micros};
use crate::failure::{Exit, Failure};
use futures::future::try_join_all;
use indicatif::ProgressBar;
use ofs_events::{OrderId, OrderStatus};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often a client that waits for its order's end asks.
const ASK: Duration = Duration::from_millis(1);
/// How long a client waits for an order's end before it goes on with the next.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a client stays away from a server that did not take its order.
const PAUSE: Duration = Duration::from_millis(100);

/// What is to be placed, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub clients: u32,
    pub amount: Amount,
    pub pace: Pace,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Amount {
    Orders(u64),
    For(Duration),
}

/// When a client places its next order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// When it is due: so many a second of all clients together.
    Rate(f64),
    /// When the last one is answered.
    Answer,
    /// When the last one's final status has been seen.
    Final,
}

/// An order that the server has taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub id: OrderId,
    pub due: Micros,
    pub sent: Micros,
    pub answered: Micros,
    /// When its final status was seen, by a client that waited for it.
    pub seen: Option<Micros>,
}

/// What came of the load.
#[derive(Debug, Default)]
pub(super) struct Placed {
    pub orders: Vec<Order>,
    /// Requests that were not answered with an order, by reason.
    pub failed: BTreeMap<String, u64>,
}

/// Places the orders.
///
/// # Errors
/// [`Failure`] if the server takes none at all.
pub(super) async fn run(
    client: &Client,
    load: &Load,
    product: &str,
    clock: Clock,
) -> Result<Placed, Failure> {
    let (next, bar) = (AtomicU64::new(0), output::progress(load.length()));
    let clients = (0..load.clients).map(|_| one(client, load, product, clock, (&next, &bar)));
    let mut all = Placed::default();
    for placed in try_join_all(clients).await? {
        all.orders.extend(placed.orders);
        for (reason, count) in placed.failed {
            *all.failed.entry(reason).or_default() += count;
        }
    }
    bar.finish_and_clear();
    match all.failed.first_key_value() {
        Some((reason, _)) if all.orders.is_empty() => {
            Err(Failure::new(Exit::Failed, format!("no order was taken: {reason}")))
        }
        _ => Ok(all),
    }
}

/// One client, until there is nothing more to place.
async fn one(
    client: &Client,
    load: &Load,
    product: &str,
    clock: Clock,
    (next, bar): (&AtomicU64, &ProgressBar),
) -> Result<Placed, Failure> {
    let mut placed = Placed::default();
    loop {
        let nth = next.fetch_add(1, Ordering::Relaxed);
        let due = load.due(nth).unwrap_or_else(|| clock.now());
        if load.amount.done(nth, due) >= load.length() {
            return Ok(placed);
        }
        bar.set_position(load.amount.done(nth, due));
        if !bar.is_hidden() {
            bar.set_message(output::rate(bar, nth));
        }
        tokio::time::sleep_until(clock.instant(due)).await;
        let sent = clock.now();
        match place(client, product).await {
            Ok(id) => {
                let answered = clock.now();
                let seen = match load.pace {
                    Pace::Final => final_status(client, id, clock).await?,
                    Pace::Rate(_) | Pace::Answer => None,
                };
                placed.orders.push(Order { id, due, sent, answered, seen });
            }
            Err(failure) if matches!(failure.exit, Exit::Usage) => return Err(failure),
            Err(failure) => {
                *placed.failed.entry(failure.to_string()).or_default() += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Load {
    /// Of the bar: orders, or microseconds.
    fn length(&self) -> u64 {
        match self.amount {
            Amount::Orders(orders) => orders,
            Amount::For(duration) => micros(duration).unsigned_abs(),
        }
    }

    /// When the `nth` order is due, if that is not up to the answers.
    fn due(&self, nth: u64) -> Option<Micros> {
        match self.pace {
            Pace::Rate(rate) => {
                #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
                let seconds = nth as f64 / rate;
                Some(micros(Duration::from_secs_f64(seconds)))
            }
            Pace::Answer | Pace::Final => None,
        }
    }
}

impl Amount {
    /// What is done when the order that is `placed`th is due.
    const fn done(self, placed: u64, due: Micros) -> u64 {
        match self {
            Amount::Orders(_) => placed,
            Amount::For(_) => due.unsigned_abs(),
        }
    }
}

/// Places one order of `product` whose payment will be authorized.
pub(super) async fn place(client: &Client, product: &str) -> Result<OrderId, Failure> {
    let order = json!({"customerEmail": "bench@example.com", "productType": product,
        "country": "US", "paymentScenario": "success"});
    let answer = client.post(&["orders"], &[], Some(&order)).await?;
    let id = answer["id"].as_str().and_then(|id| id.parse().ok());
    id.ok_or_else(|| Failure::new(Exit::Failed, format!("the answer names no order: {answer}")))
}

/// Waits for the order's end; none if it does not come in time.
async fn final_status(
    client: &Client,
    id: OrderId,
    clock: Clock,
) -> Result<Option<Micros>, Failure> {
    let (id, began) = (id.to_string(), clock.now());
    loop {
        let order = client.get(&["orders", &id], &[]).await?;
        let now = clock.now();
        let status = order.get("status").and_then(Value::as_str);
        if status.and_then(OrderStatus::named).is_some_and(OrderStatus::is_final) {
            return Ok(Some(now));
        }
        if now - began > micros(PATIENCE) {
            return Ok(None);
        }
        tokio::time::sleep(ASK).await;
    }
}
