//! What an earlier build has written is opened, and goes on. The files in `tests/before` were made by the
//! build before topics, keys and deadlines: six orders, one of which a gateway that is down still holds.

use crate::server::{get, order, place, until, until_status};
use crate::servers::shared;
use crate::system::System;
use ofs_events::Key;
use ofs_runtime::log::Message;
use serde_json::{Value, json};
use std::path::Path;
use uuid::Uuid;

fn text(name: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/before");
    std::fs::read_to_string(directory.join(name)).expect(name)
}

/// The events that were in the log.
fn messages() -> Vec<Message> {
    text("events.ndjson").lines().map(message).collect()
}

fn message(line: &str) -> Message {
    let record: Value = serde_json::from_str(line).expect("a record");
    let (topic, _) =
        record["position"].as_str().and_then(|at| at.split_once('/')).expect("a position");
    let headers = record["headers"].as_object().expect("headers");
    let headers = headers
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned()));
    let id: Uuid = serde_json::from_value(record["event"]["eventId"].clone()).expect("an id");
    Message {
        topic: topic.parse().expect("a topic"),
        key: record["key"].as_str().map(|key| key.to_owned().into()),
        event_id: Some(ofs_events::EventId(id)),
        headers: headers.collect(),
        value: record["event"].to_string().into(),
    }
}

/// All orders are as they were, are found, and new ones pass beside them.
async fn goes_on(system: System) {
    let before = system.records().await;
    let orders = before.iter().filter(|((owner, _), _)| *owner == "order-service");
    let orders: Vec<(Key, String)> =
        orders.map(|((_, key), record)| (*key, record.status.clone())).collect();
    assert_eq!(orders.len(), 6);
    let server = system.start();
    for (key, status) in &orders {
        let (answer, body) = get(&format!("{}/orders/{key}", server.url)).await;
        assert_eq!((answer, &body["status"]), (200, &json!(status)));
    }
    let id = place(&server.url, &order(Some("success"))).await.expect("201");
    until_status(&server.url, &id, "FulfillmentScheduled").await;
    let search = format!("{}/orders/search?q=example", server.url);
    until(&search, "all are found", |_, page| page["total"] == 7).await;
    let waiting = format!("{}/orders/search?status=Created", server.url);
    let page = until(&waiting, "one waits", |_, page| page["total"] == 1).await;
    let slow = page["orders"][0]["id"].as_str().expect("an id");
    let parked = format!("{}/parked?order={slow}", server.url);
    let attempts = |page: &Value| page["parked"][0]["attempts"].as_u64().expect("attempts");
    let known = attempts(&get(&parked).await.1);
    until(&parked, "it is tried again", |_, page| attempts(page) > known).await;
    drop(server);
    let after = system.records().await;
    for (key, record) in before {
        assert!(after[&key].version >= record.version, "{key:?}");
        assert_eq!(after[&key].status, record.status, "{key:?}");
    }
}

#[tokio::test]
async fn a_data_directory_of_an_earlier_build_goes_on() {
    let system = System::new();
    std::fs::create_dir_all(system.data()).expect("a directory");
    for (database, dump) in [("store.db", "store.sql"), ("log.db", "log.sql")] {
        let database = rusqlite::Connection::open(system.data().join(database)).expect("a file");
        database.execute_batch(&text(dump)).expect(dump);
    }
    goes_on(system).await;
}

#[tokio::test]
async fn a_database_and_topics_of_an_earlier_build_go_on() {
    let Some(servers) = shared() else { return };
    let servers = servers.for_one_test();
    servers.psql(&text("postgres.sql"));
    let system = System::on(servers);
    system.append(messages()).await;
    goes_on(system).await;
}
