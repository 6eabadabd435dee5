//! A payment gateway that is slow, silent, down, or loses its answer: each order is charged once, and
//! delays only itself.

use crate::scrape::until_scrape;
use crate::server::{Server, get, place_all, post, until, until_status};
use crate::system::System;
use ofs_events::Timestamp;
use serde_json::Value;
use std::collections::HashMap;

const MISBEHAVING: [&str; 4] = ["sim:slow:2s", "sim:timeout:3", "sim:down:5", "sim:lost-answer"];
const SCHEDULED: &str = "FulfillmentScheduled";

/// One line for each of `orders` in the ledger, and no other.
fn assert_charged_once(system: &System, orders: &[String]) {
    let mut lines: HashMap<String, usize> = HashMap::new();
    for charge in system.charges() {
        assert_eq!(charge["verdict"], "authorized");
        *lines.entry(charge["order"].as_str().expect("an order").to_owned()).or_default() += 1;
    }
    let expected: HashMap<String, usize> = orders.iter().map(|id| (id.clone(), 1)).collect();
    assert_eq!(lines, expected);
}

/// When the order reached its last status.
async fn ended_at(server: &Server, id: &str) -> Timestamp {
    let order = until_status(&server.url, id, SCHEDULED).await;
    order["updatedAt"].as_str().expect("a time").parse().expect("a time")
}

async fn an_order_with_a_misbehaving_gateway_delays_no_other_order_and_succeeds_by_itself(
    system: System,
) {
    // The payment worker finds all of them waiting, so that they come in one batch.
    let mut server = system.start_with(&["--service", "order-service"], &[]);
    let mut orders = place_all(&server.url, &MISBEHAVING).await;
    orders.extend(place_all(&server.url, &["success"; 20]).await);
    until_scrape(&server.url, "all are in the log", |scrape| {
        scrape.value("ofs_owed", &[("service", "order-service"), ("lane", "outbox")]) < 0.5
    })
    .await;
    assert_eq!(server.stop(), Some(0));
    let server = system.start();
    let (misbehaving, neighbours) = orders.split_at(MISBEHAVING.len());
    let mut last = None;
    for id in neighbours {
        last = last.max(Some(ended_at(&server, id).await));
    }
    let last = last.expect("neighbours");
    for (id, scenario) in misbehaving.iter().zip(MISBEHAVING) {
        let ended = ended_at(&server, id).await;
        assert!(ended > last, "{scenario} ended at {ended}, its last neighbour at {last}");
        let slow = scenario.contains("slow") || scenario.contains("timeout");
        let apart = ended.seconds_since(last);
        assert!(!slow || apart > 1.0, "{scenario} held up its neighbours: {apart} s apart");
    }
    assert_charged_once(&system, &orders);
    let (_, parked) = get(&format!("{}/parked?service=payment-worker", server.url)).await;
    let parked = parked["parked"].as_array().expect("parked events").clone();
    assert!(parked.iter().all(|one| one["state"] == "resolved"), "{parked:?}");
    let reason = |id: &String| {
        let mine = parked.iter().find(|one| one["order"] == id.as_str());
        mine.and_then(|one| one["reason"].as_str()).unwrap_or_default().to_owned()
    };
    for (id, said) in misbehaving.iter().zip(["did not answer in", "did not answer in", "503"]) {
        assert!(reason(id).contains(said), "{} should say {said}", reason(id));
    }
}

async fn a_misbehaving_gateway_charges_once_across_kills(system: System) {
    let brief = [("OFS_PAYMENT_GATEWAY_TIMEOUT", "300ms")];
    // Few failures each: attempts before a kill count, and each makes the next wait twice as long.
    let misbehaving = ["sim:slow:600ms", "sim:timeout:1", "sim:down:2", "sim:lost-answer"];
    let mut server = system.start_with(&[], &brief);
    let mut orders = place_all(&server.url, &misbehaving).await;
    for least in [0.0, 1.0, 2.0] {
        // Killed as soon as something waits for the gateway, a little later each time.
        until_scrape(&server.url, "something is parked or tried again", |scrape| {
            let parked = scrape.value("ofs_parked", &[("service", "payment-worker")]);
            parked >= 1.0 && scrape.sum("ofs_retries_total") >= least
        })
        .await;
        server.kill();
        server = system.start_with(&[], &brief);
        orders.extend(place_all(&server.url, &misbehaving).await);
    }
    for id in &orders {
        until_status(&server.url, id, SCHEDULED).await;
    }
    assert_charged_once(&system, &orders);
}

async fn a_gateway_that_dies_between_charge_and_commit_is_asked_again_and_charges_once(
    system: System,
) {
    for nth in ["1", "2", "3"] {
        let alone = ["--service", "payment-worker"];
        let mut server = system.start_with(&["--service", "order-service"], &[]);
        let placed = place_all(&server.url, &["success"]).await;
        until_scrape(&server.url, "it is in the log", |scrape| {
            scrape.value("ofs_owed", &[("service", "order-service"), ("lane", "outbox")]) < 0.5
        })
        .await;
        assert_eq!(server.stop(), Some(0));
        let before = system.charges().len();
        // Alone, its first commit is the one that follows its first charge.
        for _ in 0..2 {
            match system.try_start(&alone, &[("OFS_CRASH_AT", "commit.before:1")]) {
                Ok(mut server) => crate::crashes::wait_for_end(&mut server, "commit.before").await,
                Err(_) => continue,
            };
        }
        assert_eq!(system.charges().len(), before + 1, "round {nth}: charged once, not committed");
        let server = system.start();
        until_status(&server.url, &placed[0], SCHEDULED).await;
        assert_eq!(system.charges().len(), before + 1, "round {nth}");
        let line: Value = system.charges().pop().expect("a charge");
        assert_eq!(line["order"], placed[0].as_str());
    }
}

async fn many_orders_that_are_tried_again_at_once_do_not_stand_in_each_others_way(system: System) {
    let server = system.start();
    let mut orders = Vec::new();
    for _ in 0..8 {
        let scenarios: Vec<&str> = ["sim:down:1", "sim:lost-answer", "success"].repeat(20);
        orders.extend(place_all(&server.url, &scenarios).await);
    }
    for id in &orders {
        until_status(&server.url, id, SCHEDULED).await;
    }
    assert_charged_once(&system, &orders);
}

async fn an_event_whose_gateway_attempt_is_running_is_not_discarded(system: System) {
    let server = system.start_with(&[], &[("OFS_PAYMENT_GATEWAY_TIMEOUT", "4s")]);
    let orders = place_all(&server.url, &["sim:slow:12s"]).await;
    let tried = |_, body: &Value| body["parked"][0]["attempts"].as_u64() >= Some(1);
    let parked = format!("{}/parked?service=payment-worker", server.url);
    let page = until(&parked, "an attempt", tried).await;
    let discard = format!("{}/parked/{}/discard", server.url, page["parked"][0]["id"]);
    let reason = serde_json::json!({ "reason": "the customer is gone" });
    let (status, problem) = post(&discard, Some(&reason)).await;
    assert_eq!(status, 409, "{problem}");
    until_status(&server.url, &orders[0], SCHEDULED).await;
    assert_charged_once(&system, &orders);
}

on_every_set! {
    an_event_whose_gateway_attempt_is_running_is_not_discarded,
    an_order_with_a_misbehaving_gateway_delays_no_other_order_and_succeeds_by_itself,
    a_misbehaving_gateway_charges_once_across_kills,
    a_gateway_that_dies_between_charge_and_commit_is_asked_again_and_charges_once,
    many_orders_that_are_tried_again_at_once_do_not_stand_in_each_others_way,
}
