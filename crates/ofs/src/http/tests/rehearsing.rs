//! A dry run of a payment: what the gateway has said is known, and it is never asked to charge.

use super::house::{SERVICE, house, order};
use ofs_events::{CorrelationId, OrderCreatedV1};
use ofs_runtime::books::Books;
use ofs_runtime::context::Context;
use ofs_runtime::parked::Retrier;
use payment_worker::gateway::{Charge, Gateway, IdempotencyKey};
use payment_worker::simulated::Simulated;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

pub(super) fn created(number: u8) -> Vec<u8> {
    let order = OrderCreatedV1 {
        order_id: order(number.into()).into(),
        customer_email: "user@example.com".to_owned(),
        product_type: "Phone".to_owned(),
        country: "US".to_owned(),
        payment_scenario: Some("success".to_owned()),
    };
    Context::new("order-service").first(CorrelationId(Uuid::from_u128(5)), order.into()).encode()
}

#[tokio::test]
async fn a_dry_run_decides_as_a_retry_would_and_never_charges() {
    let mut house = house().await;
    let gateway = Arc::new(Simulated::default());
    let service = payment_worker::service(gateway.clone(), Duration::from_secs(1));
    let books = Books::new(SERVICE, Arc::clone(&house.app.store));
    let mut retrier = Retrier::default();
    retrier.add(books, Arc::clone(&service.handler), Arc::clone(&service.rehearsal));
    house.app.retrier = retrier;
    house.park_order(SERVICE, 1, &created(1)).await;
    let page = house.get("/parked").await.json();
    let number = page["parked"][0]["id"].clone();
    let dry_run = format!("/parked/{number}/dry-run");

    let told = house.post(&dry_run, None).await.json();
    assert_eq!(told["outcome"], "wait", "{told}");
    let key = IdempotencyKey::authorize(order(1).into());
    assert_eq!(gateway.find(&key).await, Ok(None), "it was charged");

    let charge = Charge { order: order(1).into(), scenario: Some("success".to_owned()) };
    gateway.authorize(&key, &charge).await.expect("a verdict");
    let told = house.post(&dry_run, None).await.json();
    assert_eq!((&told["outcome"], &told["before"]), (&json!("change"), &Value::Null), "{told}");
    assert_eq!(told["after"]["status"], "Authorized", "{told}");
    assert_eq!(told["events"][0]["eventType"], "PaymentAuthorizedV1", "{told}");
    let shown = house.get(&format!("/ui/parked/{number}?dry-run=1")).await.text;
    assert!(shown.contains("A retry would handle it") && shown.contains("Authorized"), "{shown}");
    // Nothing was written: it is as it was, and a retry makes the decision that was told.
    assert_eq!(house.get("/parked").await.json(), page);
    let retried = house.post(&format!("/parked/{number}/retry"), None).await.json();
    assert_eq!(retried["outcome"], "resolved", "{retried}");
    let again = house.post(&dry_run, None).await;
    assert_eq!(again.problem(), (409, "conflict".to_owned()));
}
