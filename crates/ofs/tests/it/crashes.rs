//! Whatever dies whenever: every order that was answered ends right, once.

use crate::server::{PATIENCE, Server, get, order, place, until};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// Places orders until the server is gone, or there are plenty; answers with those that were accepted.
async fn load(url: &str, seed: usize) -> Vec<(String, &'static str)> {
    let mut accepted = Vec::new();
    for nth in seed..seed + 300 {
        let (scenario, status) = match nth % 4 {
            0 => ("declined", "PaymentFailed"),
            1 => ("sim:lost-answer", "FulfillmentScheduled"),
            _ => ("success", "FulfillmentScheduled"),
        };
        match place(url, &order(Some(scenario))).await {
            Ok(id) => accepted.push((id, status)),
            Err(_) => return accepted,
        }
    }
    accepted
}

/// All events of a topic, as `GET /events` tells them.
async fn events(url: &str, topic: &str) -> Vec<Value> {
    let answer = reqwest::get(format!("{url}/events?topic={topic}")).await.expect("an answer");
    let text = answer.text().await.expect("lines");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

async fn assert_all_ends_right(url: &str, dir: &Path, accepted: &[(String, &'static str)]) {
    for (id, status) in accepted {
        let order = format!("{url}/orders/{id}");
        until(&order, status, |_, order| order["status"] == *status).await;
    }
    for topic in ["payments.events.v1", "fulfillment.events.v1"] {
        let mut by_order: HashMap<String, HashSet<String>> = HashMap::new();
        for line in events(url, topic).await {
            let event = &line["event"];
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            let order = text(&event["payload"]["orderId"]);
            by_order.entry(order).or_default().insert(text(&event["eventId"]));
        }
        let twice: Vec<_> = by_order.iter().filter(|(_, ids)| ids.len() > 1).collect();
        assert!(twice.is_empty(), "{topic}: {twice:?}");
    }
    let ledger = std::fs::read_to_string(dir.join("ledger")).expect("the ledger");
    let charged: Vec<Value> =
        ledger.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    let keys: HashSet<&str> = charged.iter().filter_map(|line| line["key"].as_str()).collect();
    assert_eq!(keys.len(), charged.len(), "an order was charged twice");
}

#[tokio::test]
async fn no_kill_at_any_moment_loses_or_doubles_an_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut accepted = Vec::new();
    for round in 0..8_u64 {
        let server = Server::start(dir.path(), &[], &[]);
        let url = server.url.clone();
        let clients = (0..4).map(|client| {
            let url = url.clone();
            tokio::spawn(async move { load(&url, client).await })
        });
        let clients: Vec<_> = clients.collect();
        // Dies at another moment each round: 30 to 450 ms into the load.
        tokio::time::sleep(Duration::from_millis(30 + round * 60)).await;
        server.kill();
        for client in clients {
            accepted.extend(client.await.expect("a client"));
        }
    }
    assert!(accepted.len() > 20, "the load was idle: {}", accepted.len());
    let server = Server::start(dir.path(), &[], &[]);
    assert_all_ends_right(&server.url, dir.path(), &accepted).await;
}

const SIGABRT: i32 = 6;

async fn wait_for_end(server: &mut Server, at: &str) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = server.ended() {
            return status;
        }
        assert!(began.elapsed() < PATIENCE, "{at} never fired");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn dying_at_any_named_point_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut accepted = Vec::new();
    for (nth, point) in ofs_runtime::crash::POINTS.iter().enumerate() {
        let at = format!("{point}:{}", 2 + nth % 3);
        match Server::try_start(dir.path(), &[], &[("OFS_CRASH_AT", &at)]) {
            Ok(mut server) => {
                accepted.extend(load(&server.url, nth).await);
                let status = wait_for_end(&mut server, &at).await;
                assert_eq!(status.signal(), Some(SIGABRT), "{at}: {status}");
            }
            Err(said) => assert!(said.contains("SIGABRT"), "{at}: {said}"),
        }
    }
    let server = Server::start(dir.path(), &[], &[]);
    assert_all_ends_right(&server.url, dir.path(), &accepted).await;
}

#[tokio::test]
async fn a_stop_under_load_is_clean_and_nothing_is_delivered_twice_after_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(dir.path(), &[], &[]);
    let url = server.url.clone();
    let client = tokio::spawn(async move { load(&url, 0).await });
    let search = format!("{}/orders/search", server.url);
    until(&search, "some orders", |_, body| body["total"].as_u64() > Some(20)).await;
    assert_eq!(server.stop(), Some(0));
    let accepted = client.await.expect("a client");
    let server = Server::start(dir.path(), &[], &[]);
    assert_all_ends_right(&server.url, dir.path(), &accepted).await;
    let (_, metrics) = get(&format!("{}/metrics", server.url)).await;
    let metrics = metrics.as_str().expect("text").to_owned();
    let duplicates: Vec<&str> = metrics
        .lines()
        .filter(|line| line.contains("outcome=\"duplicate\"") && !line.ends_with(" 0"))
        .collect();
    assert!(duplicates.is_empty(), "{duplicates:?}");
}
