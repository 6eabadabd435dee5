//! Whatever dies whenever: every order that was answered ends right, once.

use crate::server::{PATIENCE, Server, events, get, order, place, post, search_all, until};
use crate::system::System;
use serde_json::Value;
use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Accepted orders, and how each has to end.
pub type Accepted = Vec<(String, &'static str)>;

/// Places orders until the server is gone, or there are plenty.
pub async fn load(url: &str, seed: usize) -> Accepted {
    counted_load(url, seed, &AtomicUsize::new(0)).await
}

/// As [`load`]; counts each order as soon as it is accepted.
async fn counted_load(url: &str, seed: usize, count: &AtomicUsize) -> Accepted {
    let mut accepted = Vec::new();
    for nth in seed..seed + 300 {
        let (scenario, status) = match nth % 4 {
            0 => ("declined", "PaymentFailed"),
            1 => ("sim:lost-answer", "FulfillmentScheduled"),
            _ => ("success", "FulfillmentScheduled"),
        };
        match place(url, &order(Some(scenario))).await {
            Ok(id) => {
                accepted.push((id, status));
                count.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => return accepted,
        }
    }
    accepted
}

/// An event as the log holds it, at its first appearance.
struct First {
    id: String,
    kind: String,
    cause: Value,
    correlation: Value,
}

/// First appearances on `topic`, by order, each event once.
async fn first_appearances(url: &str, topic: &str) -> HashMap<String, Vec<First>> {
    let mut by_order: HashMap<String, Vec<First>> = HashMap::new();
    for line in events(url, topic).await {
        // A build that is older than an event cannot tell what it is.
        let Some(event) = line.get("event") else { continue };
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let firsts = by_order.entry(text(&event["payload"]["orderId"])).or_default();
        let id = text(&event["eventId"]);
        if firsts.iter().all(|first| first.id != id) {
            let (cause, correlation) =
                (event["causationId"].clone(), event["correlationId"].clone());
            firsts.push(First { id, kind: text(&event["eventType"]), cause, correlation });
        }
    }
    by_order
}

/// The one event that `topic` holds of `order`; none if there must be none.
fn only<'a>(
    topic: &'a HashMap<String, Vec<First>>,
    order: &str,
    kind: Option<&str>,
) -> Option<&'a First> {
    let firsts = topic.get(order).map_or(&[][..], Vec::as_slice);
    let kinds: Vec<&str> = firsts.iter().map(|first| first.kind.as_str()).collect();
    assert_eq!(kinds, Vec::from_iter(kind), "order {order}");
    firsts.first()
}

async fn assert_chains(url: &str, accepted: &Accepted) {
    let orders = first_appearances(url, "orders.events.v1").await;
    let payments = first_appearances(url, "payments.events.v1").await;
    let shipments = first_appearances(url, "fulfillment.events.v1").await;
    let follows = |effect: &First, cause: &First| {
        assert_eq!(effect.cause, cause.id.as_str());
        assert_eq!(effect.correlation, cause.correlation);
    };
    for (order, status) in accepted {
        let created = only(&orders, order, Some("OrderCreatedV1")).expect("created");
        assert_eq!(created.cause, Value::Null);
        if *status == "PaymentFailed" {
            follows(only(&payments, order, Some("PaymentFailedV1")).expect("declined"), created);
            only(&shipments, order, None);
        } else {
            let paid = only(&payments, order, Some("PaymentAuthorizedV1")).expect("paid");
            follows(paid, created);
            let shipped = only(&shipments, order, Some("FulfillmentScheduledV1"));
            follows(shipped.expect("scheduled"), paid);
        }
    }
    // Orders whose answer was lost with the process count too: decided once, or not yet.
    for (order, decisions) in &payments {
        assert!(orders.contains_key(order), "paid, but never created: {order}");
        assert_eq!(decisions.len(), 1, "order {order} was decided twice");
    }
}

async fn assert_all_are_found(url: &str, accepted: &Accepted) {
    // A kill may have come before the first index was complete.
    until(&format!("{url}/orders/search"), "an index", |status, _| status == 200).await;
    let began = Instant::now();
    loop {
        let found = search_all(url, "").await;
        let statuses: HashMap<&str, &Value> = found
            .iter()
            .map(|order| (order["id"].as_str().expect("an id"), &order["status"]))
            .collect();
        let missing = accepted
            .iter()
            .find(|(id, status)| statuses.get(id.as_str()).is_none_or(|found| *found != *status));
        let Some(missing) = missing else { return };
        assert!(began.elapsed() < PATIENCE, "search does not find {missing:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn assert_all_ends_right(system: &System, accepted: &Accepted) {
    let server = system.start();
    assert_all_end_right(system, &server.url, accepted).await;
}

/// Every accepted order has ended as it must, once, and is found; asked of the server at `url`.
pub async fn assert_all_end_right(system: &System, url: &str, accepted: &Accepted) {
    for (id, status) in accepted {
        let order = format!("{url}/orders/{id}");
        until(&order, status, |_, order| order["status"] == *status).await;
    }
    assert_all_are_found(url, accepted).await;
    assert_chains(url, accepted).await;
    let charged = system.charges();
    let mut keys: Vec<&str> = charged.iter().filter_map(|line| line["key"].as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), charged.len(), "an order was charged twice");
    let (status, verified) = post(&format!("{url}/index/verify"), None).await;
    assert_eq!((status, &verified["differences"]), (200, &Value::from(0)), "{verified}");
}

async fn no_kill_at_any_moment_loses_or_doubles_an_order(system: System) {
    let mut accepted = Vec::new();
    for round in 0..8 {
        let mut server = system.start();
        let count = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (url, count) = (server.url.clone(), Arc::clone(&count));
                tokio::spawn(async move { counted_load(&url, client, &count).await })
            })
            .collect();
        // Dies further into the load each round.
        let began = Instant::now();
        while count.load(Ordering::Relaxed) < 1 + round * 13 {
            assert!(began.elapsed() < PATIENCE, "the load is idle");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.kill();
        for client in clients {
            accepted.extend(client.await.expect("a client"));
        }
    }
    assert_all_ends_right(&system, &accepted).await;
}

const SIGABRT: i32 = 6;

pub async fn wait_for_end(server: &mut Server, at: &str) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = server.ended() {
            return status;
        }
        assert!(began.elapsed() < PATIENCE, "{at} never fired: {:#?}", server.said());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Dies at the `nth` pass of every kill point in turn, under load each time.
async fn die_everywhere(system: &System, nth: impl Fn(usize) -> usize) {
    let mut accepted = Vec::new();
    for (number, point) in ofs_runtime::crash::POINTS.iter().enumerate() {
        let at = format!("{point}:{}", nth(number));
        match system.try_start(&[], &[("OFS_CRASH_AT", &at)]) {
            Ok(mut server) => {
                let began = Instant::now();
                let status = loop {
                    accepted.extend(load(&server.url, number).await);
                    match server.ended() {
                        Some(status) => break status,
                        None => assert!(began.elapsed() < PATIENCE, "{at}: {:#?}", server.said()),
                    }
                };
                assert_eq!(status.signal(), Some(SIGABRT), "{at}: {status}");
            }
            // What the process before left undone brings it there before it listens.
            Err(said) => assert!(said.contains("SIGABRT"), "{at}: {said}"),
        }
    }
    assert_all_ends_right(system, &accepted).await;
}

async fn dying_at_any_named_point_loses_and_doubles_nothing(system: System) {
    die_everywhere(&system, |number| 1 + number % 3).await;
}

#[tokio::test]
async fn dying_at_any_named_point_in_the_middle_of_a_load_loses_and_doubles_nothing() {
    die_everywhere(&System::new(), |number| 7 + 3 * number).await;
}

async fn a_stop_under_load_is_clean_and_nothing_is_delivered_twice_after_it(system: System) {
    let mut server = system.start();
    let url = server.url.clone();
    let client = tokio::spawn(async move { load(&url, 0).await });
    let search = format!("{}/orders/search", server.url);
    until(&search, "some orders", |_, body| body["total"].as_u64() > Some(20)).await;
    let asked = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let accepted = client.await.expect("a client");
    let server = system.start();
    for (id, status) in &accepted {
        until(&format!("{}/orders/{id}", server.url), status, |_, order| {
            order["status"] == *status
        })
        .await;
    }
    let (_, metrics) = get(&format!("{}/metrics", server.url)).await;
    let metrics = metrics.as_str().expect("text").to_owned();
    let duplicates: Vec<&str> = metrics
        .lines()
        .filter(|line| line.contains("outcome=\"duplicate\"") && !line.ends_with(" 0"))
        .collect();
    assert!(duplicates.is_empty(), "{duplicates:?}");
    drop(server);
    assert_all_ends_right(&system, &accepted).await;
}

on_every_set! {
    dying_at_any_named_point_loses_and_doubles_nothing,
    no_kill_at_any_moment_loses_or_doubles_an_order,
    a_stop_under_load_is_clean_and_nothing_is_delivered_twice_after_it,
}
