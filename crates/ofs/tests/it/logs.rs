//! Log lines: structured where asked for, the same names for the same things, and never anybody's
//! e-mail address.

use crate::bad_records::{created, order_id};
use crate::scrape::until_scrape;
use crate::server::{Server, events, get, http, order, place, post, until_status};
use crate::system::{System, readers, record};
use ofs_events::Topic;
use ofs_runtime::log::Message;
use serde_json::{Value, json};
use std::collections::HashSet;

const CANARY: &str = "canary.bird@cage.example";

/// Records that cannot be used and that hold the canary in every possible place.
fn bad_records() -> Vec<Message> {
    let good = String::from_utf8(created(1).encode()).expect("JSON");
    let good = good.replace("user@example.com", CANARY);
    let key = order_id(1).to_string();
    let text = format!("\"{CANARY}\"");
    let replaced = |from: &str, to: &str| {
        assert!(good.contains(from), "{good}");
        record(Topic::Orders, Some(key.as_bytes()), good.replace(from, to).as_bytes())
    };
    vec![
        record(Topic::Orders, Some(key.as_bytes()), CANARY.as_bytes()),
        record(Topic::Orders, Some(CANARY.as_bytes()), good.as_bytes()),
        record(Topic::Orders, None, good.as_bytes()),
        record(Topic::Payments, Some(key.as_bytes()), good.as_bytes()),
        replaced("OrderCreatedV1", CANARY),
        replaced("\"eventVersion\":1", &format!("\"eventVersion\":{text}")),
        replaced("\"eventId\":\"", &format!("\"eventId\":\"{CANARY}")),
        replaced("\"occurredAt\":\"", &format!("\"occurredAt\":\"{CANARY}")),
        replaced("\"causationId\":null", &format!("\"causationId\":{text}")),
        replaced("\"orderId\":\"", &format!("\"orderId\":\"{CANARY}")),
        replaced("\"country\":\"US\"", &format!("\"country\":{{{text}:1}}")),
        replaced("{\"eventId\"", &format!("{{{text}:x,\"eventId\"")),
        replaced("Phone", "a\\u0000b"),
    ]
}

/// Asks for things in ways that hold the canary, most of them wrong.
async fn ask_about_the_canary(url: &str) {
    let client = http();
    for path in [
        format!("/orders/{CANARY}"),
        format!("/orders/{CANARY}/timeline"),
        format!("/docs/{CANARY}"),
        format!("/{CANARY}"),
        format!("/ui/{CANARY}"),
        format!("/parked/{CANARY}"),
        format!("/orders/search?q={CANARY}"),
        format!("/orders/search?{CANARY}=1"),
        format!("/orders/search?status={CANARY}"),
        format!("/events?order={CANARY}"),
        format!("/parked?reason={CANARY}"),
    ] {
        get(&format!("{url}{path}")).await;
    }
    for body in [
        json!({"customerEmail": CANARY}),
        json!({CANARY: 1}),
        json!({"customerEmail": {"is": CANARY}, "productType": CANARY, "country": CANARY}),
    ] {
        assert_eq!(post(&format!("{url}/orders"), Some(&body)).await.0, 400);
    }
    let odd = client.post(format!("{url}/orders")).header("content-type", CANARY).body(CANARY);
    odd.header("x-request-id", CANARY).send().await.expect("an answer");
    let mut body = order(Some(CANARY));
    body["customerEmail"] = CANARY.into();
    for header in ["x-request-id", "idempotency-key", "idempotency-key"] {
        let asked = client.post(format!("{url}/orders")).json(&body).header(header, CANARY);
        assert_eq!(asked.send().await.expect("an answer").status().as_u16(), 201);
    }
}

/// A life with everything in it, logged at `level`; answers with what was logged.
async fn a_life(system: &System, level: &str) -> (Vec<String>, Vec<Value>) {
    drop(system.start());
    system.append(bad_records()).await;
    let mut server =
        system.start_with(&[], &[("OFS_LOGS_FORMAT", "json"), ("OFS_LOGS_LEVEL", level)]);
    let url = server.url.clone();
    for scenario in ["success", "declined", "sim:down:1"] {
        let mut order = order(Some(scenario));
        order["customerEmail"] = CANARY.into();
        let id = place(&url, &order).await.expect("201");
        let end = if scenario == "declined" { "PaymentFailed" } else { "FulfillmentScheduled" };
        until_status(&url, &id, end).await;
    }
    ask_about_the_canary(&url).await;
    let parked = until_parked(&url).await;
    let numbers = parked.iter().map(|one| one["id"].as_u64().expect("a number"));
    for (number, way) in numbers.zip(["retry", "discard"].into_iter().cycle()) {
        let reason = json!({"reason": format!("asked {CANARY}")});
        post(&format!("{url}/parked/{number}/{way}"), Some(&reason)).await;
    }
    let told = everything(&server).await;
    assert_eq!(server.stop(), Some(0));
    (server.said(), told)
}

async fn until_parked(url: &str) -> Vec<Value> {
    until_scrape(url, "bad records are parked, all else is handled", |scrape| {
        let lag = scrape.sum("ofs_lag_events");
        let owed = scrape.sum("ofs_owed");
        lag == 0.0 && owed == 0.0 && scrape.sum("ofs_parked") >= 26.0
    })
    .await;
    let (_, page) = get(&format!("{url}/parked?state=parked&limit=200")).await;
    page["parked"].as_array().expect("parked events").clone()
}

/// Every record of the log.
async fn everything(server: &Server) -> Vec<Value> {
    let mut told = Vec::new();
    for topic in Topic::ALL {
        told.extend(events(&server.url, topic.name()).await);
    }
    told
}

#[tokio::test]
async fn every_line_about_an_event_says_service_key_event_and_correlation() {
    let system = System::new();
    let (said, told) = a_life(&system, "debug").await;
    let banner = |line: &&String| {
        let start = ["ofs ", "  API ", "  Look ", "  Data ", "  Try ", "Ctrl-C "];
        !start.iter().any(|start| line.starts_with(start))
    };
    let parse = |line: &String| -> Value {
        serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"))
    };
    let lines: Vec<Value> = said.iter().filter(banner).map(parse).collect();
    let mut handled: HashSet<(String, String)> = HashSet::new();
    let words =
        ["handled", "parked", "parked for a while", "parked again", "resolved", "discarded"];
    let mut seen = HashSet::new();
    for line in &lines {
        let message = line["message"].as_str().unwrap_or_default();
        let Some(word) = words.iter().find(|word| **word == message) else {
            assert!(line["event"].is_null(), "a line about an event in other words: {line}");
            continue;
        };
        seen.insert(*word);
        assert!(line["service"].is_string(), "{line}");
        // A record that cannot be read has no event to name.
        let names = ["event", "correlation", "key"].map(|name| line[name].is_string());
        assert!(matches!(names, [true, true, true] | [false, false, _]), "{line}");
        if let (Some(service), Some(event)) = (line["service"].as_str(), line["event"].as_str()) {
            handled.insert((service.to_owned(), event.to_owned()));
        }
    }
    assert_eq!(seen.len(), words.len(), "{seen:?}");
    for record in told.iter().filter(|record| record["event"].is_object()) {
        let at = record["position"].as_str().expect("a position");
        let event = record["event"]["eventId"].as_str().expect("an id");
        let reads = |topics: &[Topic]| topics.iter().any(|topic| at.starts_with(topic.name()));
        for (service, _) in readers().iter().filter(|(_, topics)| reads(topics)) {
            let named = handled.contains(&((*service).to_owned(), event.to_owned()));
            assert!(named, "no line of {service} about {record}");
        }
    }
}

#[tokio::test]
async fn no_line_ever_holds_a_customers_e_mail_address() {
    let system = System::new();
    let (said, told) = a_life(&system, "trace").await;
    assert!(told.iter().any(|record| record.to_string().contains(CANARY)), "no canary in the log");
    assert!(said.len() > 100, "too few lines to tell");
    let singing: Vec<&String> = said.iter().filter(|line| line.contains("canary")).collect();
    assert!(singing.is_empty(), "{singing:#?}");
}

#[tokio::test]
async fn what_anyone_may_ask_for_never_counts_as_an_error_of_ours() {
    let system = System::new();
    let mut server = system.start();
    for path in ["/nothing", "/docs/nothing", "/ui/nothing", "/ui/nothing/at/all"] {
        assert_eq!(get(&format!("{}{path}", server.url)).await.0, 404, "{path}");
    }
    assert_eq!(server.stop(), Some(0));
    let said = server.said().join("\n");
    assert!(!said.contains("ERROR"), "{said}");
}
