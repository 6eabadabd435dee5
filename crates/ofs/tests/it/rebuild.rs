//! The index rebuilt without a gap, and compared with the records.

use crate::crashes::wait_for_end;
use crate::server::{Server, get, http, order, place_all, post, search_all, until};
use crate::system::{System, json, lines};
use ofs::engines::Engines;
use ofs_events::Key;
use ofs_runtime::index::{Document, Target};
use ofs_runtime::store::{Commit, Record};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use uuid::Uuid;

const INDEXER: &str = "search-indexer-worker";

/// Places `count` orders and waits until all of them are final and found, and no index is being built:
/// the first one may be found in before it is noted as done.
pub async fn house_of(url: &str, count: usize) -> BTreeSet<String> {
    let mut placed = BTreeSet::new();
    while placed.len() < count {
        let some = vec!["success"; (count - placed.len()).min(50)];
        placed.extend(place_all(url, &some).await);
    }
    let search = format!("{url}/orders/search?status=FulfillmentScheduled");
    until(&search, "all orders", |_, body| body["total"] == count).await;
    let built = |_, index: &Value| index["building"].is_null();
    until(&format!("{url}/index"), "the first index", built).await;
    placed
}

/// Searches all the time until told to stop; answers with how often.
async fn search_on(url: String, least: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> usize {
    let client = http();
    let mut searches = 0;
    while !stop.load(Ordering::Relaxed) {
        let known = least.load(Ordering::Relaxed);
        let answer = client.get(format!("{url}/orders/search?limit=1")).send().await;
        let answer = answer.expect("an answer");
        let status = answer.status().as_u16();
        let page: Value = answer.json().await.expect("json");
        assert_eq!(status, 200, "search number {searches}: {page}");
        let total = page["total"].as_u64().expect("a number");
        assert!(total >= known, "search number {searches} finds {total} of {known} orders");
        searches += 1;
    }
    searches
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_find_every_order_at_any_moment_of_a_rebuild() {
    let system = System::new();
    let server = system.start();
    let url = &server.url;
    house_of(url, 200).await;
    let (least, stop) = (Arc::new(AtomicU64::new(200)), Arc::new(AtomicBool::new(false)));
    let searching: Vec<_> = (0..3)
        .map(|_| tokio::spawn(search_on(url.clone(), Arc::clone(&least), Arc::clone(&stop))))
        .collect();
    let mut generations = BTreeSet::new();
    for round in 1..=6_u64 {
        let (system, at) = (&system, url.as_str());
        let rebuilt = tokio::task::block_in_place(|| {
            system.ofs(Some(at), &["index", "rebuild", "--wait", "--json"])
        });
        assert_eq!(rebuilt.status.code(), Some(0), "{:?}", lines(&rebuilt.stderr));
        let state = json(&rebuilt);
        generations.insert(state["active"].to_string());
        assert_eq!(state["building"], Value::Null);
        // Orders that come in between are found too, in the old generation and in the new one.
        place_all(url, &["success"; 5]).await;
        let total = 200 + 5 * round;
        let search = format!("{url}/orders/search?limit=1");
        until(&search, "new orders", |_, body| body["total"] == total).await;
        least.store(total, Ordering::Relaxed);
    }
    stop.store(true, Ordering::Relaxed);
    for searching in searching {
        assert!(searching.await.expect("no gap") > 20, "too few searches to tell");
    }
    assert_eq!(generations.len(), 6, "each rebuild makes a generation of its own");
    let verified = system.ofs(Some(url), &["index", "verify", "--json"]);
    assert_eq!(verified.status.code(), Some(0));
    assert_eq!(json(&verified)["checked"], 230);
}

async fn a_rebuild_whose_process_is_killed_goes_on_after_the_restart(system: System) {
    let mut server = system.start();
    let all = house_of(&server.url, 120).await;
    for point in ["push.before:1", "push.after:1", "settle.before:1", "commit.after:2"] {
        server.kill();
        let building = order_and_die(&system, point).await;
        server = system.start();
        let state = format!("{}/index", server.url);
        let done =
            |_: u16, state: &Value| state["building"].is_null() && state["active"] == building;
        until(&state, "the rebuild goes on", done).await;
        assert_eq!(found(&server).await, all, "after {point}");
    }
    let (_, verified) = post(&format!("{}/index/verify", server.url), None).await;
    assert_eq!((&verified["checked"], &verified["differences"]), (&120.into(), &0.into()));
}

/// Orders a rebuild from a server that dies at `point`; answers with the generation it was building.
async fn order_and_die(system: &System, point: &str) -> Value {
    loop {
        // What the process before left undone may bring it to the point before it has answered.
        let Ok(mut server) = system.try_start(&[], &[("OFS_CRASH_AT", point)]) else { continue };
        let asked = http().post(format!("{}/index/rebuild", server.url)).send().await;
        let answer = match asked {
            Ok(answer) => answer.json::<Value>().await.ok(),
            Err(_) => None,
        };
        wait_for_end(&mut server, point).await;
        if let Some(answer) = answer {
            return answer["building"].clone();
        }
    }
}

pub async fn found(server: &Server) -> BTreeSet<String> {
    let found = search_all(&server.url, "").await;
    found.iter().map(|order| order["id"].as_str().expect("an id").to_owned()).collect()
}

/// Changes a record of the indexer without telling the index.
pub async fn tamper(engines: &Engines, key: Key, change: impl FnOnce(&mut Value)) {
    let before = Key(Uuid::from_u128(key.0.as_u128() - 1));
    let page = engines.store.scan(INDEXER, Some(before), 1).await.expect("records");
    let record = page.into_iter().find(|record| record.key == key);
    let mut body: Value = record.as_ref().map_or(Value::Null, |one| one.read().expect("json"));
    change(&mut body);
    let now = ofs_runtime::context::Context::new(INDEXER).now();
    let record = Record::next(record.as_ref(), key, "tampered", &body, now);
    let commit = Commit { owner: INDEXER.to_owned(), records: vec![record], ..Commit::default() };
    engines.store.commit(commit).await.expect("committed");
}

#[tokio::test]
async fn an_index_that_another_build_made_in_another_way_is_made_anew_by_itself() {
    let system = System::new();
    let mut server = system.start();
    let all = house_of(&server.url, 3).await;
    let (_, before) = get(&format!("{}/index", server.url)).await;
    assert_eq!(server.stop(), Some(0));
    let old = before["active"].as_str().expect("a name");
    let layout = system.data().join("index/targets").join(old).join("layout");
    assert!(layout.exists(), "it says how it is made");
    std::fs::write(layout, "1").expect("written");
    let server = system.start();
    let rebuilt =
        |_: u16, now: &Value| now["active"].is_string() && now["active"] != before["active"];
    until(&format!("{}/index", server.url), "the new one", rebuilt).await;
    assert_eq!(found(&server).await, all);
}

async fn verify_names_each_document_that_is_not_what_its_record_says(system: System) {
    let mut server = system.start();
    let url = server.url.clone();
    let orders = house_of(&url, 5).await;
    let agreed = system.ofs(Some(&url), &["index", "verify", "--json"]);
    assert_eq!((agreed.status.code(), &json(&agreed)["checked"]), (Some(0), &Value::from(5)));
    let (_, state) = get(&format!("{url}/index")).await;
    assert_eq!(server.stop(), Some(0));
    let changed: Key = orders.first().expect("an order").parse().expect("an id");
    let (only_record, only_document) = (Key(Uuid::from_u128(1)), Key(Uuid::from_u128(u128::MAX)));
    {
        let engines = system.engines().await;
        tamper(&engines, changed, |body| {
            body["country"] = "XX".into();
            body["customerEmail"] = Value::Null;
        })
        .await;
        tamper(&engines, only_record, |body| *body = order(None)).await;
        let active = Target(state["active"].as_str().expect("a name").to_owned());
        let body = serde_json::json!({"id": only_document, "status": "Created"});
        let document = Document { id: only_document, version: 1, body };
        engines.index.put(&active, &[document]).await.expect("put");
    }
    let server = system.start();
    let verified = system.ofs(Some(&server.url), &["index", "verify", "--json"]);
    assert_eq!(verified.status.code(), Some(1), "{:?}", lines(&verified.stderr));
    let told = json(&verified);
    assert_eq!(told["differences"], 3, "{told}");
    assert_eq!(told["missing"], serde_json::json!([only_record]));
    assert_eq!(told["extra"], serde_json::json!([only_document]));
    let different = &told["different"][0];
    assert_eq!(different["id"], changed.to_string());
    assert_eq!(different["members"], serde_json::json!(["country", "customerEmail"]));
    assert!(different["recordVersion"].as_u64() > different["indexVersion"].as_u64());
    let rebuilt = system.ofs(Some(&server.url), &["index", "rebuild", "--wait"]);
    assert_eq!(rebuilt.status.code(), Some(0), "{:?}", lines(&rebuilt.stderr));
    let verified = system.ofs(Some(&server.url), &["index", "verify"]);
    assert_eq!(verified.status.code(), Some(0), "{:?}", lines(&verified.stdout));
}

on_every_set! {
    a_rebuild_whose_process_is_killed_goes_on_after_the_restart,
    verify_names_each_document_that_is_not_what_its_record_says,
}
