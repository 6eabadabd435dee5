//! The life of an order, seen from outside.

use crate::server::{Server, command, get, order, place, until, until_status};
use serde_json::{Value, json};

#[tokio::test]
async fn an_order_passes_all_services_and_is_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), &[], &[]);
    let url = &server.url;
    let paid = place(url, &order(Some(" Success "))).await.expect("201");
    let declined = place(url, &order(Some("no money"))).await.expect("201");
    until_status(url, &paid, "FulfillmentScheduled").await;
    until_status(url, &declined, "PaymentFailed").await;
    let timeline = format!("{url}/orders/{paid}/timeline");
    let timeline = until(&timeline, "three events", |_, body| events(body).len() == 3).await;
    let types: Vec<&str> =
        events(&timeline).iter().filter_map(|event| event["eventType"].as_str()).collect();
    assert_eq!(types, ["OrderCreatedV1", "PaymentAuthorizedV1", "FulfillmentScheduledV1"]);
    for pair in events(&timeline).windows(2) {
        assert_eq!(pair[1]["causationId"], pair[0]["eventId"]);
        assert_eq!(pair[1]["correlationId"], pair[0]["correlationId"]);
    }
    let search = format!("{url}/orders/search?status=FulfillmentScheduled");
    let found = until(&search, "the order", |_, body| body["total"] == 1).await;
    assert_eq!(found["orders"][0]["id"], paid.as_str());
    let search = format!("{url}/orders/search?status=PaymentFailed");
    let found = until(&search, "the declined order", |_, body| body["total"] == 1).await;
    assert_eq!(found["orders"][0]["id"], declined.as_str());
}

fn events(timeline: &Value) -> &[Value] {
    timeline["events"].as_array().map_or(&[], Vec::as_slice)
}

#[tokio::test]
async fn services_started_one_after_the_other_each_move_an_order_one_step() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(dir.path(), &["--service", "order-service"], &[]);
    let id = place(&server.url, &order(Some("success"))).await.expect("201");
    assert_eq!(server.stop(), Some(0));
    for (service, path) in [("payment-worker", "payments"), ("fulfillment-worker", "fulfillment")] {
        let mut server = Server::start(dir.path(), &["--service", service], &[]);
        let events = format!("{}/events?topic={path}.events.v1&order={id}", server.url);
        until(&events, service, |_, body| body.to_string().contains(&id)).await;
        assert_eq!(server.stop(), Some(0));
    }
    let server = Server::start(dir.path(), &["--service", "order-service"], &[]);
    until_status(&server.url, &id, "FulfillmentScheduled").await;
}

#[tokio::test]
async fn two_servers_on_one_directory_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let _first = Server::start(dir.path(), &[], &[]);
    let second =
        command(dir.path()).args(["run", "--listen", "127.0.0.1:0"]).output().expect("an end");
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("data directory"), "{said}");
}

#[tokio::test]
async fn an_idempotency_key_is_answered_once_even_when_asked_twice_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), &[], &[]);
    let client = reqwest::Client::new();
    let ask = |body: Value| {
        let request = client.post(format!("{}/orders", server.url));
        request.header("Idempotency-Key", "one").json(&body).send()
    };
    let answers = futures::future::join_all((0..8).map(|_| ask(order(Some("success"))))).await;
    let mut ids = Vec::new();
    for answer in answers {
        let answer = answer.expect("an answer");
        assert_eq!(answer.status().as_u16(), 201);
        ids.push(answer.json::<Value>().await.expect("json")["id"].clone());
    }
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    let other = ask(order(Some("else"))).await.expect("an answer");
    assert_eq!(other.status().as_u16(), 422);
}

#[tokio::test]
async fn refused_requests_are_problems_that_say_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), &[], &[]);
    let client = reqwest::Client::new();
    let post = |kind: &str, body: String| {
        let request = client.post(format!("{}/orders", server.url));
        request.header("Content-Type", kind).body(body).send()
    };
    let blank = json!({"customerEmail": " ", "productType": "x", "country": "USA"}).to_string();
    for (kind, body, status) in [
        ("application/json", "{".to_owned(), 400),
        ("application/json", r#"{"vip":1}"#.to_owned(), 400),
        ("application/json", blank, 400),
        ("text/plain", "{}".to_owned(), 415),
        ("application/json", "x".repeat(70_000), 413),
    ] {
        let answer = post(kind, body).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem: Value = answer.json().await.expect("a problem");
        assert!(problem["detail"].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
    for (path, status) in
        [("nowhere", 404), ("orders/x", 400), ("orders/search?limit=0", 400), ("orders?x=1", 405)]
    {
        let (found, problem) = get(&format!("{}/{path}", server.url)).await;
        assert_eq!(
            (found, problem["status"].as_u64()),
            (status, Some(u64::from(status))),
            "{path}"
        );
    }
}
