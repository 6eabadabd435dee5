//! `Idempotency-Key`: a request that is repeated is answered as the first one was, and does nothing.

use crate::server::{events, get, http, order, until};
use crate::system::System;
use reqwest::Response;
use serde_json::{Value, json};
use std::collections::HashSet;

async fn ask(url: &str, key: &str, body: &Value) -> reqwest::Result<Response> {
    let request = http().post(format!("{url}/orders"));
    request.header("Idempotency-Key", key).json(body).send().await
}

/// Status, whether it was a replay, and the body.
async fn answer(answer: Response) -> (u16, bool, Value) {
    let replayed = answer.headers().get("idempotency-replayed").is_some_and(|told| told == "true");
    (answer.status().as_u16(), replayed, answer.json().await.expect("json"))
}

async fn placed(url: &str, orders: usize) {
    let search = format!("{url}/orders/search");
    until(&search, "all orders", |_, body| body["total"] == orders).await;
    let told = events(url, "orders.events.v1").await;
    let ids: HashSet<&str> =
        told.iter().filter_map(|record| record["event"]["eventId"].as_str()).collect();
    assert_eq!(ids.len(), orders);
}

async fn a_repeated_request_gets_the_first_answer_and_says_so(system: System) {
    let server = system.start();
    let body = order(Some("success"));
    let first = ask(&server.url, "k-1", &body).await.expect("an answer");
    let location = first.headers()["location"].clone();
    let (status, replayed, told) = answer(first).await;
    assert_eq!((status, replayed), (201, false));
    let same = json!({"country": " us ", "productType": "Phone ", "paymentScenario": "success",
        "customerEmail": "user@example.com"});
    for repeated in [&body, &same] {
        let again = ask(&server.url, "k-1", repeated).await.expect("an answer");
        assert_eq!(again.headers()["location"], location);
        assert_eq!(answer(again).await, (201, true, told.clone()));
    }
    let other = ask(&server.url, "k-1", &order(Some("else"))).await.expect("an answer");
    assert_eq!(other.headers()["content-type"], "application/problem+json");
    let (status, replayed, problem) = answer(other).await;
    assert_eq!((status, replayed), (422, false));
    assert_eq!(problem["type"], "urn:ofs:problem:idempotency-key-reused");
    let (status, _, another) =
        answer(ask(&server.url, "k-2", &body).await.expect("an answer")).await;
    assert!(status == 201 && another["id"] != told["id"]);
    placed(&server.url, 2).await;
}

async fn of_simultaneous_requests_one_is_first_and_all_others_are_told_its_answer(system: System) {
    let server = system.start();
    let body = order(Some("success"));
    for round in 0..5 {
        let key = format!("round-{round}");
        let asked = (0..8).map(|_| ask(&server.url, &key, &body));
        let mut answers = Vec::new();
        for asked in futures::future::join_all(asked).await {
            answers.push(answer(asked.expect("an answer")).await);
        }
        assert!(answers.iter().all(|(status, _, told)| (*status, told) == (201, &answers[0].2)));
        let first = answers.iter().filter(|(_, replayed, _)| !replayed).count();
        assert_eq!(first, 1, "{answers:?}");
    }
    placed(&server.url, 5).await;
}

async fn a_request_whose_answer_died_with_the_process_is_answered_after_the_restart(
    system: System,
) {
    let body = order(Some("success"));
    // With the order service alone, every commit of an order is a pass of this point.
    let alone = ["--service", "order-service"];
    let server = system.start_with(&alone, &[("OFS_CRASH_AT", "commit.after:2")]);
    let first = ask(&server.url, "before", &body).await.expect("an answer");
    let (status, _, before) = answer(first).await;
    assert_eq!(status, 201);
    ask(&server.url, "lost", &body).await.expect_err("it died before it could answer");
    let server = system.start();
    let (status, replayed, told) =
        answer(ask(&server.url, "lost", &body).await.expect("201")).await;
    assert_eq!((status, replayed), (201, true), "{told}");
    assert_ne!(told["id"], before["id"]);
    let again = answer(ask(&server.url, "lost", &body).await.expect("201")).await;
    assert_eq!(again.2["id"], told["id"]);
    placed(&server.url, 2).await;
    let id = told["id"].as_str().expect("an id");
    assert_eq!(get(&format!("{}/orders/{id}", server.url)).await.0, 200);
}

async fn a_request_that_died_before_its_commit_is_a_new_one_after_the_restart(system: System) {
    let body = order(Some("success"));
    let alone = ["--service", "order-service"];
    let server = system.start_with(&alone, &[("OFS_CRASH_AT", "commit.before:1")]);
    ask(&server.url, "lost", &body).await.expect_err("it died before it could answer");
    let server = system.start();
    let (status, replayed, _) = answer(ask(&server.url, "lost", &body).await.expect("201")).await;
    assert_eq!((status, replayed), (201, false));
    placed(&server.url, 1).await;
}

async fn a_key_that_is_too_long_or_unreadable_is_refused_and_nothing_is_stored(system: System) {
    let server = system.start();
    let body = order(Some("success"));
    for key in [&"k".repeat(256), "", "\"\"", "two words", "schlüssel"] {
        let refused = ask(&server.url, key, &body).await.expect("an answer");
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
        let (status, _, problem) = answer(refused).await;
        assert_eq!(status, 400, "{key}");
        assert_eq!(problem["type"], "urn:ofs:problem:invalid-header");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains("Idempotency-Key")));
    }
    let (status, ..) = answer(ask(&server.url, &"k".repeat(255), &body).await.expect("201")).await;
    assert_eq!(status, 201);
    placed(&server.url, 1).await;
}

on_every_set! {
    a_repeated_request_gets_the_first_answer_and_says_so,
    of_simultaneous_requests_one_is_first_and_all_others_are_told_its_answer,
    a_request_whose_answer_died_with_the_process_is_answered_after_the_restart,
    a_request_that_died_before_its_commit_is_a_new_one_after_the_restart,
    a_key_that_is_too_long_or_unreadable_is_refused_and_nothing_is_stored,
}
