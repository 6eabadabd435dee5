//! Records in the log that cannot be used: each is parked with its bytes and a reason, and delays
//! nothing but its own order.

use crate::scrape::Watch;
use crate::server::{self, get, place_all, post, until, until_status};
use crate::system::{System, json, of_the_contract, readers_of, record};
use ofs_events::{CorrelationId, Event, OrderCreatedV1, OrderId, PaymentAuthorizedV1, Topic};
use ofs_runtime::context::Context;
use ofs_runtime::log::Message;
use serde_json::Value;
use uuid::Uuid;

pub fn order_id(number: u128) -> OrderId {
    OrderId(Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0000 + number))
}

/// A sound first event of order `number`.
pub fn created(number: u128) -> Event {
    let order = OrderCreatedV1 {
        order_id: order_id(number),
        customer_email: "user@example.com".to_owned(),
        product_type: "Phone".to_owned(),
        country: "US".to_owned(),
        payment_scenario: Some("success".to_owned()),
    };
    Context::new("test").first(CorrelationId(Uuid::from_u128(number)), order.into())
}

fn text(number: u128) -> String {
    String::from_utf8(created(number).encode()).expect("JSON")
}

fn on_orders(number: u128, value: impl AsRef<[u8]>) -> Message {
    record(Topic::Orders, Some(order_id(number).to_string().as_bytes()), value.as_ref())
}

struct Bad {
    record: Message,
    /// The reason says this.
    reason: &'static str,
    /// A newer build may know it.
    newer: bool,
}

fn bad(record: Message, reason: &'static str) -> Bad {
    Bad { record, reason, newer: false }
}

/// One of each kind, each of another order, from 1 on.
fn each_kind() -> Vec<Bad> {
    let paid = PaymentAuthorizedV1 { order_id: order_id(14) };
    let paid = Context::new("test").first(CorrelationId(Uuid::from_u128(14)), paid.into());
    let newer = |record, reason| Bad { record, reason, newer: true };
    let replaced = |number: u128, from: &str, to: &str| {
        let good = text(number);
        assert!(good.contains(from), "{good}");
        on_orders(number, good.replace(from, to))
    };
    vec![
        bad(on_orders(1, [0, 0xff, 0xfe, 0x9c, b'{']), "it is not a JSON object"),
        bad(on_orders(2, b"{\"eventId\": tru"), "not an event envelope: EOF while parsing"),
        bad(replaced(3, "\"eventVersion\":1", "\"eventVersion\":\"one\""), "eventVersion: "),
        bad(replaced(4, "\"eventId\"", "\"id\""), "missing field `eventId`"),
        bad(replaced(5, "\"customerEmail\"", "\"mail\""), "missing field `customerEmail`"),
        bad(replaced(6, "\"US\"", "7"), "the payload is not a OrderCreatedV1: country: "),
        newer(
            replaced(7, "OrderCreatedV1", "OrderMislaidV1"),
            "OrderMislaidV1 version 1 is unknown",
        ),
        newer(replaced(8, "\"eventVersion\":1", "\"eventVersion\":2"), "version 2 is unknown"),
        bad(record(Topic::Orders, None, text(9).as_bytes()), "the record has no key"),
        bad(record(Topic::Orders, Some(b"\xff\x00"), text(10).as_bytes()), "not an order id"),
        bad(on_orders(11, text(111)), "but the payload is about"),
        bad(on_orders(12, "\u{1}".repeat(1 << 20)), "1048576 bytes long"),
        bad(on_orders(13, "[".repeat(100_000)), "it is not a JSON object"),
        bad(
            on_orders(14, paid.encode()),
            "PaymentAuthorizedV1 does not belong on orders.events.v1",
        ),
        bad(replaced(15, "Phone", "a\\u0000b"), "U+0000"),
        bad(on_orders(16, ""), "the record has no value"),
        bad(on_orders(17, format!("{{\"a\":{}", "{\"a\":".repeat(40_000))), "EOF"),
        bad(replaced(18, "{\"eventId\"", "{\"eventVersion\":1,\"eventId\""), "duplicate field"),
        newer(replaced(19, "OrderCreatedV1", "a\\u0000b"), "event type (not a name)"),
    ]
}

async fn parked(url: &str, query: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = get(&format!("{url}/parked?limit=200&{query}{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        all.extend(page["parked"].as_array().expect("parked events").iter().cloned());
        let Some(next) = page["nextCursor"].as_str() else { return all };
        cursor = format!("&cursor={next}");
    }
}

async fn until_parked(url: &str, count: usize) {
    let all = |_: u16, view: &Value| server::parked(view) == count as u64;
    until(&format!("{url}/pipeline"), "all are parked", all).await;
}

/// The bytes that `GET /parked/{id}` shows.
fn bytes(raw: &Value) -> Vec<u8> {
    let value = raw["value"].as_str().expect("a value");
    match raw["encoding"].as_str() {
        Some("text") => value.as_bytes().to_vec(),
        Some("base64") => base64(value),
        other => panic!("{other:?}"),
    }
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sextet = |digit: u8| ALPHABET.iter().position(|known| *known == digit);
    let sextets: Vec<usize> = text.bytes().map_while(sextet).collect();
    let byte = |at: usize| {
        let (first, shift) = (at * 8 / 6, at * 8 % 6);
        let bits = sextets[first] << 6 | sextets[first + 1];
        u8::try_from((bits >> (4 - shift)) & 0xff).expect("a byte")
    };
    (0..sextets.len() * 6 / 8).map(byte).collect()
}

async fn every_kind_of_bad_record_is_parked_with_its_bytes_and_a_reason_and_delays_nobody(
    system: System,
) {
    drop(system.start());
    let kinds = each_kind();
    // An event with an unknown member is valid, however deep the member is.
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let good = text(50).replace("{\"eventId\"", &format!("{{\"trace\":{deep},\"eventId\""));
    let mut records: Vec<Message> = kinds.iter().map(|bad| bad.record.clone()).collect();
    records.push(on_orders(50, good));
    system.append(records).await;
    let server = system.start();
    let url = &server.url;
    let watch = Watch::over(url);
    for id in place_all(url, &["success"; 20]).await {
        until_status(url, &id, "FulfillmentScheduled").await;
    }
    let deep = format!("{url}/orders/search?q={}&status=FulfillmentScheduled", order_id(50));
    until(&deep, "the deep one", |_, body| body["total"] == 1).await;
    until_parked(url, kinds.len() * readers_of(Topic::Orders).len()).await;
    for reader in readers_of(Topic::Orders) {
        let listed = parked(url, &format!("service={reader}")).await;
        for listed in &listed {
            let reason = listed["reason"].as_str().expect("a reason");
            let (_, shown) = get(&format!("{url}/parked/{}", listed["id"])).await;
            let raw_key = Some(&shown["key"]).filter(|key| !key.is_null()).map(bytes);
            let value = bytes(&shown["value"]);
            let same = |bad: &&Bad| {
                bad.record.value == value && bad.record.key.as_deref() == raw_key.as_deref()
            };
            let bad = kinds.iter().find(same).expect("the bytes that were appended");
            assert!(reason.contains(bad.reason), "`{reason}` should say `{}`", bad.reason);
            assert!(reason.len() < 200, "{reason}");
            assert_eq!(listed["unknownType"], bad.newer, "{reason}");
            assert_eq!((&listed["nextAt"], &listed["behind"]), (&Value::Null, &Value::Null));
            let key = bad.record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
            assert_eq!(listed["order"].as_str(), key, "{reason}");
        }
        assert_eq!(listed.len(), kinds.len());
    }
    assert!(watch.end().await > 5, "too few scrapes to tell");
    // `ofs events tail` shows them all, too.
    let tail = system.ofs(Some(url), &["events", "tail", "--no-follow", "--json"]);
    let tail = String::from_utf8(tail.stdout).expect("text");
    let told: Vec<Value> =
        tail.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(told.len() > kinds.len() + 60, "{}", told.len());
}

/// Garbage of order 1, then three sound events of it, and one sound event of order 2.
async fn a_queue(system: &System) -> Vec<Event> {
    drop(system.start());
    let sound = [created(1), created(1), created(1)];
    let mut records = vec![on_orders(1, "{garbage")];
    records.extend(sound.iter().map(|event| on_orders(1, event.encode())));
    records.push(on_orders(2, created(2).encode()));
    system.append(records).await;
    sound.into()
}

async fn later_events_of_an_order_wait_behind_its_bad_record_and_go_on_in_order(system: System) {
    let sound = a_queue(&system).await;
    let server = system.start();
    let url = &server.url;
    let other = format!("{url}/orders/search?q={}&status=FulfillmentScheduled", order_id(2));
    until(&other, "the other order", |_, body| body["total"] == 1).await;
    until_parked(url, 4 * readers_of(Topic::Orders).len()).await;
    for reader in readers_of(Topic::Orders) {
        let queue = parked(url, &format!("service={reader}&order={}", order_id(1))).await;
        let ids: Vec<u64> = queue.iter().map(|one| one["id"].as_u64().expect("a number")).collect();
        assert!(queue[1..].iter().all(|later| later["behind"] == ids[0]), "{queue:?}");
        for (later, event) in queue[1..].iter().zip(&sound) {
            assert_eq!(later["eventId"], event.id.to_string(), "in the order of the log");
        }
        let (status, problem) = post(&format!("{url}/parked/{}/retry", ids[2]), None).await;
        assert_eq!((status, &problem["type"]), (409, &"urn:ofs:problem:conflict".into()));
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains(&format!("parked event {} ", ids[0])), "{detail}");
        let (status, tried) = post(&format!("{url}/parked/{}/retry", ids[0]), None).await;
        assert_eq!((status, &tried["outcome"]), (200, &"failed".into()), "{tried}");
        let discard = format!("{url}/parked/{}/discard", ids[0]);
        let no_reason = serde_json::json!({"reason": "  "});
        assert_eq!(post(&discard, Some(&no_reason)).await.0, 400);
        let reason = serde_json::json!({"reason": "a rehearsal"});
        assert_eq!(post(&discard, Some(&reason)).await.0, 200);
        until(&format!("{url}/parked?service={reader}&state=resolved"), "the rest", |_, page| {
            page["parked"].as_array().map(Vec::len) == Some(3)
        })
        .await;
        let closed = parked(url, &format!("service={reader}")).await;
        let at = |one: &Value| one["closedAt"].as_str().expect("a time").to_owned();
        assert!(closed.windows(2).all(|pair| at(&pair[0]) <= at(&pair[1])), "{closed:?}");
        assert_eq!(closed[0]["state"], "discarded");
        assert!(closed[0]["reason"].as_str().is_some_and(|why| why.ends_with("a rehearsal")));
        for (path, body) in [("retry", None), ("discard", Some(&reason))] {
            let (status, _) = post(&format!("{url}/parked/{}/{path}", ids[0]), body).await;
            assert_eq!(status, 409, "{path} of a closed one");
        }
    }
    let timeline = format!("{url}/orders/{}/timeline", order_id(1));
    let all = |_: u16, body: &Value| of_the_contract(&body["events"]).len() == 5;
    let told = until(&timeline, "its whole life", all).await;
    let count = |kind: &str| {
        let events = told["events"].as_array().into_iter().flatten();
        events.filter(|event| event["eventType"] == kind).count()
    };
    assert_eq!((count("OrderCreatedV1"), count("PaymentAuthorizedV1")), (3, 1));
    assert_eq!(
        system.charges().iter().filter(|line| line["order"] == order_id(1).to_string()).count(),
        1
    );
}

async fn the_command_line_lists_shows_retries_and_discards_what_is_parked(system: System) {
    a_queue(&system).await;
    let server = system.start();
    until_parked(&server.url, 4 * readers_of(Topic::Orders).len()).await;
    let ofs = |args: &[&str]| {
        let output = system.ofs(Some(&server.url), &[&["parked"], args, &["--json"]].concat());
        (output.status.code().expect("a code"), output)
    };
    let order = order_id(1).to_string();
    let of = ["list", "--service", "payment-worker", "--state", "parked", "--order", &order];
    let (code, listed) = ofs(&of);
    let listed = json(&listed)["parked"].as_array().expect("parked events").clone();
    assert_eq!((code, listed.len()), (0, 4));
    let (head, later) = (listed[0]["id"].to_string(), listed[1]["id"].to_string());
    let (code, shown) = ofs(&["show", &head]);
    assert_eq!((code, &json(&shown)["value"]["value"]), (0, &"{garbage".into()));
    assert_eq!(ofs(&["show", "999999"]).0, 3);
    let (code, refused) = ofs(&["retry", &later]);
    let problem: Value = serde_json::from_slice(&refused.stderr).expect("a problem");
    assert_eq!((code, &problem["type"]), (4, &"urn:ofs:problem:conflict".into()));
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains(&head)), "{problem}");
    let (code, tried) = ofs(&["retry", &head]);
    assert_eq!((code, &json(&tried)["outcome"]), (1, &"failed".into()));
    let (code, all) = ofs(&["retry", "--all", "--service", "payment-worker"]);
    assert_eq!((code, &json(&all)["failed"]), (1, &1.into()));
    assert_eq!(ofs(&["discard", &head]).0, 2, "it needs a reason");
    assert_eq!(ofs(&["discard", &head, "--reason", " "]).0, 2, "it needs a reason in words");
    let (code, done) = ofs(&["discard", &head, "--reason", "garbage"]);
    assert_eq!((code, &json(&done)["state"]), (0, &"discarded".into()));
    assert_eq!(ofs(&["discard", &head, "--reason", "garbage"]).0, 4);
    let (code, closed) = ofs(&["list", "--state", "discarded"]);
    assert_eq!((code, &json(&closed)["parked"][0]["id"]), (0, &listed[0]["id"]));
    let resolved = format!("{}/parked?service=payment-worker&state=resolved", server.url);
    let rest = |_: u16, page: &Value| page["parked"].as_array().map(Vec::len) == Some(3);
    until(&resolved, "what waited goes on", rest).await;
}

on_every_set! {
    every_kind_of_bad_record_is_parked_with_its_bytes_and_a_reason_and_delays_nobody,
    later_events_of_an_order_wait_behind_its_bad_record_and_go_on_in_order,
    the_command_line_lists_shows_retries_and_discards_what_is_parked,
}
