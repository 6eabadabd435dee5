//! The life of an order, seen from outside.

use crate::server::{events, get, http, order, place, place_all, until, until_status};
use crate::system::{System, of_the_contract};
use serde_json::Value;
use std::collections::BTreeSet;

fn members<'a>(body: &'a Value, name: &str) -> &'a [Value] {
    body[name].as_array().map_or(&[], Vec::as_slice)
}

async fn an_order_passes_all_services_and_is_found(system: System) {
    let server = system.start();
    let url = &server.url;
    let paid = place(url, &order(Some(" Success "))).await.expect("201");
    let declined = place(url, &order(Some("no money"))).await.expect("201");
    until_status(url, &paid, "FulfillmentScheduled").await;
    until_status(url, &declined, "PaymentFailed").await;
    let timeline = format!("{url}/orders/{paid}/timeline");
    let three = |_, body: &Value| of_the_contract(&body["events"]).len() == 3;
    let timeline = until(&timeline, "three events", three).await;
    let told = of_the_contract(&timeline["events"]);
    let types: Vec<&str> = told.iter().filter_map(|event| event["eventType"].as_str()).collect();
    assert_eq!(types, ["OrderCreatedV1", "PaymentAuthorizedV1", "FulfillmentScheduledV1"]);
    for pair in told.windows(2) {
        assert_eq!(pair[1]["causationId"], pair[0]["eventId"]);
        assert_eq!(pair[1]["correlationId"], pair[0]["correlationId"]);
    }
    for (status, id) in [("FulfillmentScheduled", &paid), ("PaymentFailed", &declined)] {
        let search = format!("{url}/orders/search?status={status}");
        let found = until(&search, status, |_, body| body["total"] == 1).await;
        assert_eq!(found["orders"][0]["id"], id.as_str());
    }
}

async fn an_order_has_a_timeline_as_soon_as_it_is_accepted(system: System) {
    let server = system.start();
    for _ in 0..100 {
        let id = place(&server.url, &order(Some("success"))).await.expect("201");
        let (status, timeline) = get(&format!("{}/orders/{id}/timeline", server.url)).await;
        assert_eq!(status, 200, "{timeline}");
        assert_eq!(timeline["events"][0]["eventType"], "OrderCreatedV1", "{timeline}");
        let order = until_status(&server.url, &id, "FulfillmentScheduled").await;
        let (_, timeline) = get(&format!("{}/orders/{id}/timeline", server.url)).await;
        let told = of_the_contract(&timeline["events"]);
        assert_eq!(told.len(), 3, "{order} but {timeline}");
        let ids: BTreeSet<&str> = told.iter().filter_map(|one| one["eventId"].as_str()).collect();
        assert_eq!(ids.len(), 3, "{timeline}");
    }
}

async fn services_started_one_after_the_other_each_move_an_order_one_step(system: System) {
    let mut server = system.start_with(&["--service", "order-service"], &[]);
    let id = place(&server.url, &order(Some("success"))).await.expect("201");
    let (_, timeline) = get(&format!("{}/orders/{id}/timeline", server.url)).await;
    let [created] = members(&timeline, "events") else { panic!("{timeline}") };
    assert_eq!(created["eventType"], "OrderCreatedV1");
    assert_eq!(created["position"], Value::Null, "it has not been read yet");
    assert_eq!(server.stop(), Some(0));
    for (service, topic) in [("payment-worker", "payments"), ("fulfillment-worker", "fulfillment")]
    {
        let mut server = system.start_with(&["--service", service], &[]);
        let told = format!("{}/events?topic={topic}.events.v1&order={id}", server.url);
        until(&told, service, |_, body| body.to_string().contains(&id)).await;
        assert_eq!(server.stop(), Some(0));
    }
    let server = system.start_with(&["--service", "order-service"], &[]);
    until_status(&server.url, &id, "FulfillmentScheduled").await;
}

async fn an_order_with_the_four_contract_fields_makes_exactly_the_contracts_event(system: System) {
    let server = system.start_with(&["--service", "order-service"], &[]);
    let id = place(&server.url, &order(None)).await.expect("201");
    let url = format!("{}/events?topic=orders.events.v1", server.url);
    until(&url, "the event", |_, body| body.to_string().contains(&id)).await;
    let record = events(&server.url, "orders.events.v1").await.remove(0);
    let event = &record["event"];
    let names = |value: &Value| {
        value.as_object().expect("an object").keys().cloned().collect::<Vec<String>>()
    };
    let envelope = "eventId eventType eventVersion occurredAt correlationId causationId payload";
    assert_eq!(names(event), envelope.split(' ').collect::<Vec<_>>());
    let payload = "orderId customerEmail productType country paymentScenario";
    assert_eq!(names(&event["payload"]), payload.split(' ').collect::<Vec<_>>());
    assert_eq!(event["payload"]["paymentScenario"], Value::Null);
    assert_eq!(event["causationId"], Value::Null);
    assert_eq!(record["key"], id.as_str());
    assert_eq!(record["headers"]["eventType"], "OrderCreatedV1");
    assert_eq!(record["headers"]["correlationId"], event["correlationId"]);
}

#[tokio::test]
async fn orders_whose_workers_were_away_longer_than_the_log_is_kept_are_handled() {
    let system = System::new();
    let kept = [("OFS_LOG_RETENTION", "1ms")];
    let mut alone = system.start_with(&["--service", "order-service"], &kept);
    let ids = place_all(&alone.url, &["success"; 3]).await;
    let told = format!("{}/events?topic=orders.events.v1", alone.url);
    let all = |_, body: &Value| ids.iter().all(|id| body.to_string().contains(id));
    until(&told, "three events", all).await;
    assert_eq!(alone.stop(), Some(0));
    let mut alone = system.start_with(&["--service", "order-service"], &kept);
    until(&format!("{}/health/ready", alone.url), "ready", |status, _| status == 200).await;
    assert_eq!(alone.stop(), Some(0));
    let server = system.start_with(&[], &kept);
    for id in &ids {
        until_status(&server.url, id, "FulfillmentScheduled").await;
    }
}

#[tokio::test]
async fn the_address_alone_leads_to_the_documentation() {
    let system = System::new();
    let server = system.start();
    let page = http().get(&server.url).send().await.expect("an answer");
    assert_eq!(page.status(), 200);
    assert_eq!(page.url().path(), "/docs/");
}

on_every_set! {
    an_order_passes_all_services_and_is_found,
    an_order_has_a_timeline_as_soon_as_it_is_accepted,
    services_started_one_after_the_other_each_move_an_order_one_step,
    an_order_with_the_four_contract_fields_makes_exactly_the_contracts_event,
}
