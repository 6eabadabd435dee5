//! Everything is delivered again, with and without the inbox: nothing changes, nothing is published.

use crate::scrape::{Scrape, until_scrape};
use crate::server::{Server, events, place_all, post, until};
use crate::system::{System, json, lines, readers, readers_of, record};
use ofs_events::Topic;
use serde_json::Value;

async fn settled(server: &Server, orders: &[String]) {
    for id in orders {
        let order = format!("{}/orders/{id}", server.url);
        let is_final = |_: u16, order: &Value| {
            ["PaymentFailed", "FulfillmentScheduled"].iter().any(|end| order["status"] == *end)
        };
        until(&order, "its end", is_final).await;
    }
    let pipeline = format!("{}/pipeline", server.url);
    let idle = |_: u16, view: &Value| {
        let services = view["services"].as_array().into_iter().flatten();
        let waits = |service: &Value| {
            let topics = service["topics"].as_array().into_iter().flatten();
            service["outbox"]["rows"] != 0
                || service["index"]["rows"] != 0
                || topics.into_iter().any(|topic| topic["lagEvents"] != 0)
        };
        !services.into_iter().any(waits)
    };
    until(&pipeline, "nothing waits", idle).await;
}

/// What the log holds, every record of it.
async fn everything(url: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for topic in Topic::ALL {
        all.extend(events(url, topic.name()).await);
    }
    all
}

fn reset_all(system: &System) {
    for (service, topics) in readers() {
        let group = format!("{service}-v1");
        let done =
            system.ofs(None, &["events", "reset", "--group", &group, "--to", "earliest", "--json"]);
        assert_eq!(done.status.code(), Some(0), "{:?}", lines(&done.stderr));
        let told = json(&done);
        assert_eq!(told["group"], group.as_str());
        assert_eq!(told["topics"].as_array().map(Vec::len), Some(topics.len()));
    }
}

/// Every record of the log was handled once more, and none of them made anything happen.
fn assert_nothing_happened(scrape: &Scrape, log: &[Value]) {
    for (service, topics) in readers() {
        for topic in topics {
            let on = |line: &&Value| {
                line["position"].as_str().is_some_and(|at| at.starts_with(topic.name()))
            };
            let count = log.iter().filter(on).count();
            let consumed = scrape.consumed(service, topic.name());
            assert_eq!(consumed, count as f64, "{service} {topic}");
            for outcome in ["processed", "parked"] {
                let handled = scrape.handled(service, topic.name(), outcome);
                assert_eq!(handled, 0.0, "{service} {topic} {outcome}");
            }
        }
    }
}

async fn delivering_everything_again_changes_and_publishes_nothing(system: System) {
    let mut server = system.start();
    let scenarios = ["success", "declined", "sim:lost-answer", "sim:down:2", "success", "", "x"];
    let mut orders = place_all(&server.url, &scenarios).await;
    orders.extend(place_all(&server.url, &["success"; 20]).await);
    settled(&server, &orders).await;
    assert_eq!(server.stop(), Some(0));
    // Records that are parked, one of them given up, are part of everything.
    let broken = |key: &[u8]| record(Topic::Orders, Some(key), b"{broken");
    system.append(vec![broken(orders[0].as_bytes()), broken(b"no order")]).await;
    let mut server = system.start();
    let parked = format!("{}/parked?state=parked", server.url);
    let both = 2 * readers_of(Topic::Orders).len();
    let both = |_: u16, page: &Value| page["parked"].as_array().map(Vec::len) == Some(both);
    let page = until(&parked, "every reader parks both", both).await;
    let parked = page["parked"].as_array().expect("parked events").iter();
    for given_up in parked.filter(|parked| parked["order"] == orders[0].as_str()) {
        let discard = format!("{}/parked/{}/discard", server.url, given_up["id"]);
        let reason = serde_json::json!({"reason": "a test"});
        assert_eq!(post(&discard, Some(&reason)).await.0, 200);
    }
    settled(&server, &orders).await;
    let log = everything(&server.url).await;
    assert_eq!(server.stop(), Some(0));
    let (records, ends) = (system.records().await, system.ends().await);
    for forget in [false, true] {
        if forget {
            system.empty_the_inbox();
        }
        reset_all(&system);
        let mut server = system.start();
        let all: usize = readers()
            .iter()
            .map(|(_, topics)| {
                let on = |line: &&Value| {
                    topics.iter().any(|topic| {
                        line["position"].as_str().is_some_and(|at| at.starts_with(topic.name()))
                    })
                };
                log.iter().filter(on).count()
            })
            .sum();
        let done = |scrape: &Scrape| scrape.sum("ofs_events_consumed_total") >= all as f64;
        let scrape = until_scrape(&server.url, "all is read again", done).await;
        settled(&server, &orders).await;
        assert_nothing_happened(&scrape, &log);
        assert_eq!(everything(&server.url).await, log, "something new was published");
        let (status, verified) = post(&format!("{}/index/verify", server.url), None).await;
        assert_eq!((status, &verified["differences"]), (200, &0.into()), "{verified}");
        assert_eq!(server.stop(), Some(0));
        assert_eq!(system.records().await, records, "a record changed");
        assert_eq!(system.ends().await, ends, "the log grew");
        assert_eq!(system.charges().len(), orders.len(), "an order was charged twice");
    }
}

on_every_set! {
    delivering_everything_again_changes_and_publishes_nothing,
}
