//! The operator's routes on the embedded engines, asked as a client asks.

mod house;
mod jobs;
mod leaderless;
mod rehearsing;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use futures::StreamExt;
use house::{ELSEWHERE, SERVICE, Unreachable, house, house_with, order, paid};
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn events_shows_every_record_and_says_why_one_is_no_event() {
    let house = house().await;
    house.append_paid(order(1)).await;
    house.append(&[0xff], &[0xfe, 0xff]).await;
    house.append_paid(order(2)).await;
    let lines = house.get("/events").await.lines();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["position"], "payments.events.v1/0@0");
    assert_eq!(lines[0]["key"], order(1).to_string());
    assert_eq!(lines[0]["event"]["payload"]["orderId"], order(1).to_string());
    assert_eq!(lines[0]["headers"]["eventType"], "PaymentAuthorizedV1");
    assert_eq!(lines[1]["raw"], json!({"encoding": "base64", "value": "/v8="}));
    assert_eq!(lines[1]["rawKey"], json!({"encoding": "base64", "value": "/w=="}));
    assert!(lines[1]["error"].as_str().expect("why").contains("envelope"));
    assert!(lines[1].get("event").is_none());
    let of_one = house.get(&format!("/events?order={}", order(2))).await.lines();
    assert_eq!(of_one.len(), 1);
    let from = house.get("/events?from=payments.events.v1/0@2").await.lines();
    assert_eq!(from, of_one);
    assert_eq!(house.get("/events?from=latest").await.text, "");
    assert_eq!(house.get("/events?topic=orders.events.v1").await.text, "");
}

#[tokio::test]
async fn wrong_parameters_are_refused_by_name() {
    let house = house().await;
    for (path, name) in [
        ("/events?topic=orders", "topic"),
        ("/events?from=17", "from"),
        ("/events?from=payments.events.v1/9@0", "from"),
        ("/events?topic=orders.events.v1&from=payments.events.v1/0@0", "from"),
        ("/events?offset=1", "offset"),
        ("/parked?limit=0", "limit"),
        ("/parked?limit=201", "limit"),
        ("/parked?cursor=x", "cursor"),
        ("/parked?service=billing", "service"),
        ("/parked?state=lost", "state"),
    ] {
        let answer = house.get(path).await;
        assert_eq!(answer.problem(), (400, "invalid-query".to_owned()), "{path}");
        assert_eq!(answer.json()["errors"][0]["pointer"], name, "{path}");
    }
    assert_eq!(house.get("/parked/x").await.problem(), (400, "invalid-path".to_owned()));
}

#[tokio::test]
async fn a_position_is_read_from_only_in_the_log_and_the_range_it_belongs_to() {
    let house = house().await;
    house.append_paid(order(1)).await;
    let [line] = &house.get("/events").await.lines()[..] else { panic!("one line") };
    let time = line["appendedAt"].as_str().expect("a time");
    let same = format!("/events?from=payments.events.v1/0@0~{time}");
    assert_eq!(house.get(&same).await.lines(), std::slice::from_ref(line));
    assert_eq!(house.get("/events?from=payments.events.v1/0@1").await.text, "", "the end");
    let again = "restored or made again";
    for (place, why) in [
        ("payments.events.v1/0@2", again),
        ("payments.events.v1/0@0~2026-01-01T00:00:00Z", again),
        ("payments.events.v1/0@1~2026-01-01T00:00:00Z", again),
        ("payments.events.v1/0@18446744073709551615", again),
        ("payments.events.v1/0@0~noon", "not an RFC 3339 time"),
        ("payments.events.v1/1@0", "no partition 1"),
    ] {
        let answer = house.get(&format!("/events?from={place}")).await;
        assert_eq!(answer.problem(), (400, "invalid-query".to_owned()), "{place}");
        assert!(answer.text.contains(why), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_live_reader_is_told_why_it_cannot_go_on() {
    let house = house().await;
    house.append_paid(order(1)).await;
    let others = ";orders.events.v1/0@0,fulfillment.events.v1/0@0";
    for (last, why) in [
        (format!("payments.events.v1/0@7{others}"), "restored or made again"),
        (format!("payments.events.v1/0@0~2026-01-01T00:00:00Z{others}"), "restored or made again"),
        (format!("payments.events.v1/3@0{others}"), "no partition 3"),
        ("payments.events.v1/0@0".to_owned(), "a reading without orders.events.v1"),
    ] {
        let request = Request::get("/events")
            .header("host", "x")
            .header("accept", "text/event-stream")
            .header("last-event-id", &last)
            .body(Body::empty());
        let answer = house.send(request.expect("request")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let mut body = answer.into_body().into_data_stream();
        let event = next_event(&mut body).await;
        assert!(event.starts_with("event: refused\nretry: "), "{event}");
        assert!(event.contains("invalid-header") && event.contains(why), "{event}");
        assert!(body.next().await.is_none(), "the answer ends");
    }
}

#[tokio::test]
async fn a_live_reader_that_reconnects_misses_nothing() {
    let house = house().await;
    house.append_paid(order(1)).await;
    let live = |last: Option<String>| {
        let request = Request::get("/events?from=earliest")
            .header("host", "x")
            .header("accept", "text/event-stream");
        let request = match last {
            Some(last) => request.header("last-event-id", last),
            None => request,
        };
        house.send(request.body(Body::empty()).expect("request"))
    };
    let mut body = live(None).await.into_body().into_data_stream();
    let first = next_event(&mut body).await;
    assert!(first.contains("payments.events.v1/0@0"));
    let id = first.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id");
    assert!(id.starts_with("payments.events.v1/0@0~20"), "{id}");
    drop(body);
    house.append_paid(order(2)).await;
    let mut body = live(Some(id.to_owned())).await.into_body().into_data_stream();
    let second = next_event(&mut body).await;
    assert!(second.contains(&order(2).to_string()), "{second}");
    house.append_paid(order(3)).await;
    assert!(next_event(&mut body).await.contains(&order(3).to_string()));
    house.app.draining.cancel();
    assert!(body.next().await.is_none(), "an endless answer ends with the process");
}

#[tokio::test]
async fn only_so_many_follow_the_log_at_once() {
    let house = house().await;
    let follow = async |path: &str| {
        let request = Request::get(path).header("host", "x").body(Body::empty());
        house.send(request.expect("a request")).await
    };
    let mut seats = Vec::new();
    for _ in 0..super::listeners::MOST {
        let answer = follow("/events?follow=true").await;
        assert_eq!(answer.status(), StatusCode::OK);
        seats.push(answer);
    }
    let refused = follow("/events?follow=true").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "5");
    assert_eq!(
        follow("/events").await.status(),
        StatusCode::OK,
        "who does not follow needs no seat"
    );
    seats.pop();
    assert_eq!(follow("/events?follow=true").await.status(), StatusCode::OK, "a seat that is left");
}

async fn next_event(body: &mut BodyDataStream) -> String {
    let mut text = String::new();
    while !text.ends_with("\n\n") {
        let chunk = body.next().await.expect("an event").expect("bytes");
        text.push_str(std::str::from_utf8(&chunk).expect("text"));
    }
    text
}

#[tokio::test]
async fn parked_events_are_listed_page_by_page_and_shown_byte_for_byte() {
    let house = house().await;
    for (owner, offset) in [(SERVICE, 1), (SERVICE, 2), (ELSEWHERE, 1)] {
        house.park(owner, offset, b"{broken").await;
    }
    let page = house.get("/parked?limit=2").await.json();
    assert_eq!(page["parked"].as_array().map(Vec::len), Some(2));
    assert_eq!(page["parked"][1]["behind"], page["parked"][0]["id"]);
    let cursor = page["nextCursor"].as_str().expect("a cursor");
    let rest = house.get(&format!("/parked?cursor={cursor}")).await.json();
    assert_eq!(rest["parked"][0]["service"], ELSEWHERE);
    assert_eq!(rest["nextCursor"], Value::Null);
    let found = house.get("/parked?reason=IN%20FULFILLMENT&state=parked").await.json();
    assert_eq!(found, rest);
    let shown = house.get(&format!("/parked/{}", page["parked"][0]["id"])).await.json();
    assert_eq!(shown["value"], json!({"encoding": "text", "value": "{broken"}));
    assert_eq!(shown["key"]["value"], order(1).to_string());
    assert_eq!(house.get("/parked/999").await.problem(), (404, "not-found".to_owned()));
}

#[tokio::test]
async fn a_retry_says_what_came_of_it() {
    let house = house().await;
    house.park(SERVICE, 1, &paid(order(1))).await;
    house.park(SERVICE, 2, b"{broken").await;
    house.park(ELSEWHERE, 1, b"{broken").await;
    let behind = house.post("/parked/2/retry", None).await;
    assert_eq!(behind.problem(), (409, "conflict".to_owned()));
    assert!(behind.json()["detail"].as_str().expect("detail").contains("parked event 1"));
    let resolved = house.post("/parked/1/retry", None).await;
    assert_eq!(resolved.json(), json!({"id": 1, "outcome": "resolved"}));
    assert_eq!(house.post("/parked/1/retry", None).await.problem().0, 409);
    let failed = house.post("/parked/2/retry", None).await;
    assert_eq!((failed.status, &failed.json()["outcome"]), (StatusCode::OK, &json!("failed")));
    let elsewhere = house.post("/parked/3/retry", None).await;
    assert!(elsewhere.json()["detail"].as_str().expect("detail").contains(ELSEWHERE));
    assert_eq!(house.post("/parked/9/retry", None).await.problem().0, 404);
    let new = json!({"action": "retry", "because": "to see"});
    assert_eq!(house.post("/parked/job", Some(new)).await.status, StatusCode::ACCEPTED);
    let job = house.job_that_ended().await;
    assert_eq!(
        (&job["state"], &job["total"], &job["more"]),
        (&json!("done"), &json!(2), &json!(false))
    );
    let outcomes = [&job["turns"][0]["outcome"], &job["turns"][1]["outcome"]];
    assert_eq!(outcomes, ["failed", "skipped"]);
    assert!(job["turns"][1]["reason"].as_str().expect("a reason").contains(ELSEWHERE));
}

#[tokio::test]
async fn giving_an_event_up_needs_a_reason() {
    let house = house().await;
    house.park(ELSEWHERE, 1, b"{broken").await;
    for body in [json!({"reason": " "}), json!({}), json!({"reason": "x".repeat(1001)})] {
        let refused = house.post("/parked/1/discard", Some(body)).await;
        assert_eq!(refused.problem(), (400, "invalid-request".to_owned()));
    }
    let reason = json!({"reason": "a test order"});
    let done = house.post("/parked/1/discard", Some(reason.clone())).await;
    assert_eq!(done.json(), json!({"id": 1, "state": "discarded"}));
    let shown = house.get("/parked?state=discarded").await.json();
    assert_eq!(shown["parked"][0]["id"], 1);
    assert_eq!(house.post("/parked/1/discard", Some(reason)).await.problem().0, 409);
}

#[tokio::test]
async fn what_cannot_be_reached_is_unknown_and_never_zero() {
    let house = house_with(|_| Arc::new(Unreachable)).await;
    let first = house.get("/pipeline").await.json();
    let topic = &first["services"][0]["topics"][0];
    assert_eq!((&topic["lagEvents"], &topic["lagSeconds"]), (&Value::Null, &Value::Null));
    assert!(topic["unreachableSince"].is_string());
    assert_eq!(first["services"][0]["outbox"]["rows"], 0);
    let ready = house.get("/health/ready").await;
    assert_eq!(ready.status, StatusCode::OK, "orders are taken without the log");
    assert_eq!(ready.json()["log"], "down");
    assert_eq!(house.get("/events").await.problem(), (503, "unavailable".to_owned()));
}

#[tokio::test]
async fn a_process_that_drains_is_alive_but_not_ready() {
    let house = house().await;
    let up = json!({"ready": true, "migrated": true, "store": "up", "log": "up", "index": "building",
        "draining": false, "troubles": {}});
    assert_eq!(house.get("/health/ready").await.json(), up);
    house.app.draining.cancel();
    let ready = house.get("/health/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["draining"]), (503, &json!(true)));
    assert_eq!(house.get("/health/live").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_documentation_is_served_from_the_binary() {
    let house = house().await;
    let described = house.get("/openapi.json").await.json();
    assert_eq!(described["openapi"], "3.1.0");
    assert_eq!(house.get("/docs").await.headers["location"], "/docs/");
    let page = house.get("/docs/").await;
    assert!(page.status.is_success() && !page.text.contains("https://"));
    assert!(house.get("/docs/swagger-initializer.js").await.text.contains("../openapi.json"));
    assert!(house.get("/docs/swagger-ui-bundle.js").await.status.is_success());
    assert_eq!(house.get("/metrics").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_rebuild_is_ordered_once() {
    let house = house().await;
    let first = house.post("/index/rebuild", None).await;
    assert_eq!(first.status, StatusCode::ACCEPTED);
    let again = house.post("/index/rebuild", None).await;
    assert_eq!(first.json(), again.json());
    let state = house.get("/index").await.json();
    assert_eq!(state["building"], first.json()["building"]);
    assert_eq!(house.post("/index/verify", None).await.problem().0, 503, "nothing is built yet");
}
