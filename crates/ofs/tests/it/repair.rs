//! `ofs repair`: what the store lost comes back from the log, and what the log lost from the store.

use crate::server::{PATIENCE, Server, get, place_all, post, until, until_status};
use crate::system::{SERVICES, System, json};
use ofs_events::{CorrelationId, Event, OrderCreatedV1, OrderId, Payload, PaymentAuthorizedV1};
use ofs_runtime::context::Context;
use ofs_runtime::log::Message;
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

pub const SCHEDULED: &str = "FulfillmentScheduled";

pub fn repair(system: &System, args: &[&str]) -> Value {
    let args = [&["--json", "repair"], args].concat();
    json(&system.ofs(None, &args))
}

pub fn ids(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

/// Waits until `service` owes nothing to the log.
pub async fn until_published(server: &Server, service: &str) {
    let owes_nothing = |pipeline: &Value| {
        let services = pipeline["services"].as_array().expect("services");
        let station = services.iter().find(|one| one["service"] == service).expect("it");
        station["outbox"]["rows"] == 0
    };
    until(&format!("{}/pipeline", server.url), "nothing owed", |_, body| owes_nothing(body)).await;
}

/// The first event of a new order, and the order.
fn first(payload: impl Fn(OrderId) -> Payload) -> (Event, String) {
    let context = Context::new("test");
    let (order, chain) = (OrderId(context.new_id()), CorrelationId(context.new_id()));
    (context.first(chain, payload(order)), order.to_string())
}

async fn an_order_that_only_the_log_knows_is_stored_again(system: System) {
    let known = {
        let mut server = system.start();
        let known = place_all(&server.url, &["success"]).await.remove(0);
        until_status(&server.url, &known, SCHEDULED).await;
        assert_eq!(server.stop(), Some(0));
        known
    };
    let (created, lost) = first(|order_id| {
        OrderCreatedV1 {
            order_id,
            customer_email: "user@example.com".to_owned(),
            product_type: "Phone".to_owned(),
            country: "US".to_owned(),
            payment_scenario: Some("success".to_owned()),
        }
        .into()
    });
    let (paid, orphan) = first(|order_id| PaymentAuthorizedV1 { order_id }.into());
    system.append(vec![Message::from(&created), Message::from(&paid)]).await;
    {
        let mut server = system.start();
        let search = format!("{}/orders/search?status={SCHEDULED}", server.url);
        until(&search, "the lost order", |_, body| body.to_string().contains(&lost)).await;
        assert_eq!(get(&format!("{}/orders/{lost}", server.url)).await.0, 404);
        assert_eq!(server.stop(), Some(0));
    }
    for _ in 0..2 {
        let found = repair(&system, &[]);
        assert_eq!(found["applied"], false);
        assert_eq!(ids(&found["restored"]), [lost.as_str()], "{found}");
        assert!(found["unrepairable"][&orphan].is_string(), "{found}");
    }
    let done = repair(&system, &["--apply"]);
    assert_eq!(ids(&done["restored"]), [lost.as_str()], "{done}");
    assert_eq!(repair(&system, &[])["restored"], serde_json::json!([]));
    let mut server = system.start();
    let order = until_status(&server.url, &lost, SCHEDULED).await;
    assert_eq!(order["createdAt"], created.occurred_at.to_string());
    until_status(&server.url, &known, SCHEDULED).await;
    assert_eq!(server.stop(), Some(0));
    assert_eq!(system.charges().len(), 2, "no customer is charged again");
}

on_every_set! { an_order_that_only_the_log_knows_is_stored_again }

fn files(dir: &Path, stem: &str) -> Vec<std::path::PathBuf> {
    ["", "-wal", "-shm"].map(|end| dir.join(format!("{stem}.db{end}"))).into()
}

/// Copies those that there are.
fn copy(files: &[std::path::PathBuf], to: &Path) {
    for file in files.iter().filter(|file| file.exists()) {
        std::fs::copy(file, to.join(file.file_name().expect("a name"))).expect("copied");
    }
}

#[tokio::test]
async fn events_that_a_lost_log_held_are_published_again() {
    let system = System::new();
    let orders = ["success", "sim:decline:no", "success", "success"];
    let placed = {
        let mut server =
            system.start_with(&["--service", "order-service", "--service", "payment-worker"], &[]);
        let placed = place_all(&server.url, &orders).await;
        for id in &placed {
            let url = format!("{}/orders/{id}", server.url);
            until(&url, "a payment", |_, order| order["status"] != "Created").await;
        }
        until_published(&server, "payment-worker").await;
        assert_eq!(server.stop(), Some(0));
        placed
    };
    for file in files(&system.data(), "log") {
        let _ = std::fs::remove_file(file);
    }
    let found = repair(&system, &[]);
    assert_eq!(found["republished"].as_array().map(Vec::len), Some(8), "{found}");
    assert_eq!(repair(&system, &["--apply"])["republished"], found["republished"]);
    assert_eq!(repair(&system, &[])["republished"], serde_json::json!([]), "it is owed now");
    let mut server = system.start();
    for (id, scenario) in placed.iter().zip(orders) {
        let end = if scenario == "success" { SCHEDULED } else { "PaymentFailed" };
        until_status(&server.url, id, end).await;
    }
    let search = format!("{}/orders/search?status={SCHEDULED}", server.url);
    until(&search, "three documents", |_, body| body["total"] == 3).await;
    assert_eq!(server.stop(), Some(0));
    assert_eq!(system.charges().len(), 4, "no customer is charged again");
    let found = repair(&system, &[]);
    assert_eq!(found["republished"], serde_json::json!([]), "{found}");
}

#[tokio::test]
async fn a_store_older_than_its_log_catches_up() {
    let system = System::new();
    let backup = tempfile::tempdir().expect("a directory");
    let run = async |scenarios: &[&str]| {
        let mut server = system.start();
        let placed = place_all(&server.url, scenarios).await;
        for id in &placed {
            until_status(&server.url, id, SCHEDULED).await;
        }
        assert_eq!(server.stop(), Some(0));
        placed
    };
    let mut placed = run(&["success"; 5]).await;
    let store = files(&system.data(), "store");
    copy(&store, backup.path());
    let after = run(&["success"; 5]).await;
    for file in &store {
        let _ = std::fs::remove_file(file);
    }
    copy(&files(backup.path(), "store"), &system.data());
    let found = repair(&system, &["--apply"]);
    assert_eq!(found["restored"].as_array().map(Vec::len), Some(5), "{found}");
    placed.extend(after);
    let mut server = system.start();
    for id in &placed {
        until_status(&server.url, id, SCHEDULED).await;
    }
    let search = format!("{}/orders/search?limit=1", server.url);
    until(&search, "all documents", |_, body| body["total"] == 10).await;
    until_the_index_agrees(&server).await;
    assert_eq!(server.stop(), Some(0));
    assert_eq!(system.charges().len(), 10, "no customer is charged again");
}

#[tokio::test]
async fn a_service_that_cannot_read_on_says_why_and_goes_on_after_a_repair() {
    let system = System::new();
    let mut server = system.start();
    let first = place_all(&server.url, &["success"]).await.remove(0);
    until_status(&server.url, &first, SCHEDULED).await;
    assert_eq!(server.stop(), Some(0));
    let mut alone = system.start_with(&["--service", "order-service"], &[]);
    let placed = place_all(&alone.url, &["success"; 3]).await;
    until_published(&alone, "order-service").await;
    assert_eq!(alone.stop(), Some(0));
    let log = rusqlite::Connection::open(system.data().join("log.db")).expect("the log");
    log.execute("DELETE FROM records", []).expect("gone");
    drop(log);

    let mut server = system.start();
    let ready = format!("{}/health/ready", server.url);
    let body = until(&ready, "not ready", |status, body| {
        status == 503 && body["troubles"]["payment-worker reads the log"].is_string()
    })
    .await;
    assert_eq!(body["store"], "up", "{body}");
    let metrics = get(&format!("{}/metrics", server.url)).await.1;
    let metrics = metrics.as_str().expect("text");
    for line in [
        "ofs_reading_stopped{service=\"payment-worker\"} 1",
        "ofs_reading_stopped{service=\"order-service\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert_eq!(server.stop(), Some(0));
    let done = repair(&system, &["--apply"]);
    assert_eq!(done["republished"].as_array().map(Vec::len), Some(3), "{done}");
    let server = system.start();
    for id in &placed {
        until_status(&server.url, id, SCHEDULED).await;
    }
    until(&format!("{}/health/ready", server.url), "ready", |status, _| status == 200).await;
}

/// Waits until every document is what its record says.
pub async fn until_the_index_agrees(server: &Server) {
    let began = Instant::now();
    loop {
        let (status, verified) = post(&format!("{}/index/verify", server.url), None).await;
        if status == 200 && verified["differences"] == 0 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{status} {verified}");
    }
}

/// Waits until a start finds what is missing, which `words` tell, and a repair has brought it back.
pub async fn until_missed_and_repaired(system: &System, words: &str, placed: &[String]) {
    let unready = async |system: &System| {
        let mut server = system.start();
        let ready = format!("{}/health/ready", server.url);
        let trouble = |body: &Value| body["troubles"]["store and log"].to_string();
        until(&ready, words, |status, body| status == 503 && trouble(body).contains(words)).await;
        assert_eq!(server.stop(), Some(0));
    };
    unready(system).await;
    unready(system).await;
    let found = repair(system, &[]);
    assert!(found["lost"].to_string().contains(words), "{found}");
    repair(system, &["--apply"]);
    assert_eq!(repair(system, &[])["lost"], serde_json::json!([]));
    let server = system.start();
    for id in placed {
        until_status(&server.url, id, SCHEDULED).await;
    }
    until(&format!("{}/health/ready", server.url), "ready", |status, _| status == 200).await;
}

async fn place_and_kill(system: &System) -> Vec<String> {
    place_and_kill_on(system.start(), system).await
}

async fn place_and_kill_on(mut server: Server, system: &System) -> Vec<String> {
    let placed = place_all(&server.url, &["success"; 40]).await;
    for id in &placed {
        until_status(&server.url, id, SCHEDULED).await;
    }
    for service in SERVICES {
        until_published(&server, service).await;
    }
    let sum = |file: &str, sql: &str| {
        let database = rusqlite::Connection::open(system.data().join(file)).expect(file);
        database.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a sum")
    };
    let told = sum("log.db", "SELECT sum(next_offset) FROM topics");
    let noted = || sum("store.db", "SELECT coalesce(sum(next_offset), 0) FROM log_ends");
    let numbered = || sum("store.db", "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'");
    // The notes are a little behind, those in the log more than those in the store.
    while noted() < told || noted_store(system) < numbered() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.kill();
    placed
}

#[tokio::test]
async fn a_log_that_is_gone_is_missed_at_the_start() {
    let system = System::new();
    let placed = place_and_kill(&system).await;
    for file in files(&system.data(), "log") {
        let _ = std::fs::remove_file(file);
    }
    let words = "the log has lost 40 records of orders.events.v1/0";
    until_missed_and_repaired(&system, words, &placed).await;
}

#[tokio::test]
async fn a_store_that_has_lost_only_documents_is_missed_at_the_start() {
    let system = System::new();
    let backup = tempfile::tempdir().expect("a directory");
    let others = SERVICES.into_iter().filter(|name| *name != "search-indexer-worker");
    let others: Vec<&str> = others.flat_map(|name| ["--service", name]).collect();
    let mut server = system.start_with(&others, &[]);
    let placed = place_all(&server.url, &["success"; 5]).await;
    for id in &placed {
        until_status(&server.url, id, SCHEDULED).await;
    }
    until_published(&server, "fulfillment-worker").await;
    assert_eq!(server.stop(), Some(0));
    copy(&files(&system.data(), "store"), backup.path());
    let before = noted_store(&system);

    let mut indexer = system.start_with(&["--service", "search-indexer-worker"], &[]);
    let search = format!("{}/orders/search?status={SCHEDULED}", indexer.url);
    until(&search, "all documents", |_, body| body["total"] == 5).await;
    let began = Instant::now();
    while noted_store(&system) == before {
        assert!(began.elapsed() < PATIENCE, "nothing is noted");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(indexer.stop(), Some(0));
    for file in files(&system.data(), "store") {
        let _ = std::fs::remove_file(file);
    }
    copy(&files(backup.path(), "store"), &system.data());
    until_missed_and_repaired(&system, "the store has lost its last writes", &placed).await;
    let mut server = system.start();
    until_the_index_agrees(&server).await;
    let search = format!("{}/orders/search?status={SCHEDULED}", server.url);
    until(&search, "all documents", |_, body| body["total"] == 5).await;
    assert_eq!(server.stop(), Some(0));
}

/// How far the store was, as the log has noted.
fn noted_store(system: &System) -> i64 {
    let log = rusqlite::Connection::open(system.data().join("log.db")).expect("the log");
    let sql = "SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'store_newest'";
    log.query_row(sql, [], |row| row.get(0)).expect("a number")
}

#[tokio::test]
async fn a_store_whose_last_writes_are_gone_is_missed_at_the_start() {
    let system = System::new();
    let wal = system.data().join("store.db-wal");
    let size = || std::fs::metadata(&wal).expect("a WAL").len();
    let server = system.start();
    let empty = size();
    let placed = place_and_kill_on(server, &system).await;
    let file = std::fs::OpenOptions::new().write(true).open(&wal).expect("the WAL");
    file.set_len(empty + (size() - empty) / 10 * 6).expect("cut");
    let words = "the store has lost its last writes";
    until_missed_and_repaired(&system, words, &placed).await;
}
