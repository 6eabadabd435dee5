//! A full disk: what would need room is refused with when to come back, all else goes on, and so does
//! the rest once there is room again.

use crate::scrape::{Scrape, until_scrape};
use crate::server::{Server, get, http, order, place, search_all, until, until_status};
use crate::system::{SmallDisk, System};
use reqwest::Response;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Orders as large as they may be, so that little room is filled soon.
fn large(nth: usize) -> Value {
    let mut body = order(Some(&format!("success{}", " ".repeat(20_000))));
    body["customerEmail"] = format!("{nth}{}@example.com", "x".repeat(300)).into();
    body
}

async fn ask(url: &str, nth: usize) -> Response {
    http().post(format!("{url}/orders")).json(&large(nth)).send().await.expect("an answer")
}

/// Places orders until one is refused for want of room; answers with those that were accepted.
async fn fill(url: &str) -> Vec<String> {
    let mut accepted = Vec::new();
    for nth in 0..20_000 {
        let answer = ask(url, nth).await;
        if answer.status().as_u16() == 201 {
            let placed: Value = answer.json().await.expect("JSON");
            accepted.push(placed["id"].as_str().expect("an id").to_owned());
            continue;
        }
        assert_refused(answer).await;
        assert!(accepted.len() > 3, "refused from the start");
        return accepted;
    }
    panic!("the disk never filled up");
}

async fn assert_refused(answer: Response) {
    assert_eq!(answer.status().as_u16(), 503);
    let wait: u64 =
        answer.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = answer.json().await.expect("JSON");
    assert_eq!(problem["type"], "urn:ofs:problem:storage-full", "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("disk")), "{problem}");
}

const DELIVERIES: &str = "ofs_deliveries_total";
const LATER: [(&str, &str); 2] = [("lane", "outbox"), ("outcome", "later")];

/// How many events could not be delivered.
async fn later(url: &str) -> f64 {
    Scrape::of(&http(), url).await.value(DELIVERIES, &LATER)
}

async fn assert_reads_go_on(url: &str, accepted: &[String]) {
    for id in [accepted.first(), accepted.last()].into_iter().flatten() {
        let (status, order) = get(&format!("{url}/orders/{id}")).await;
        assert_eq!((status, &order["id"]), (200, &Value::from(id.as_str())), "{order}");
    }
    for path in ["/orders/search", "/pipeline", "/parked", "/metrics", "/health/live", "/index"] {
        assert_eq!(get(&format!("{url}{path}")).await.0, 200, "{path}");
    }
    assert_eq!(get(&format!("{url}/health/ready")).await.0, 200);
    assert_eq!(get(&format!("{url}/events?topic=orders.events.v1")).await.0, 200);
}

/// What cannot be written now is done again after the next start; nothing waits for it.
fn assert_stops_cleanly(server: &mut Server) {
    let began = Instant::now();
    assert_eq!(server.stop(), Some(0), "{:#?}", server.said());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

async fn assert_all_end_right(server: &Server, accepted: &[String]) {
    for id in accepted {
        until_status(&server.url, id, "FulfillmentScheduled").await;
    }
    let search = format!("{}/orders/search?status=FulfillmentScheduled&limit=1", server.url);
    until(&search, "all are found", |_, page| {
        page["total"].as_u64() >= Some(accepted.len() as u64)
    })
    .await;
    let found = search_all(&server.url, "status=FulfillmentScheduled&").await;
    let is_found = |id: &&String| found.iter().any(|order| order["id"] == id.as_str());
    assert_eq!(accepted.iter().filter(is_found).count(), accepted.len());
}

#[tokio::test]
async fn a_full_store_refuses_orders_and_answers_reads_and_a_larger_one_ends_all_orders_right() {
    let system = System::new();
    let mut server = system.start_with(&[], &[("OFS_STORE_MAX_PAGES", "300")]);
    until(&format!("{}/orders/search", server.url), "an index", |status, _| status == 200).await;
    let accepted = fill(&server.url).await;
    assert_reads_go_on(&server.url, &accepted).await;
    assert_stops_cleanly(&mut server);
    let server = system.start_with(&[], &[("OFS_STORE_MAX_PAGES", "100000")]);
    place(&server.url, &large(0)).await.expect("there is room again");
    assert_all_end_right(&server, &accepted).await;
    assert_eq!(system.charges().len(), accepted.len() + 1);
}

#[tokio::test]
async fn a_full_log_keeps_orders_in_the_outbox_and_search_says_that_it_is_behind() {
    let system = System::new();
    let mut server = system.start_with(&[], &[("OFS_LOG_MAX_PAGES", "60")]);
    until(&format!("{}/orders/search", server.url), "an index", |status, _| status == 200).await;
    let mut accepted = Vec::new();
    let mut full = false;
    while !full {
        accepted
            .push(place(&server.url, &large(accepted.len())).await.expect("the store has room"));
        let (_, view) = get(&format!("{}/pipeline", server.url)).await;
        let waits = &view["services"].as_array().expect("services")[0]["outbox"]["ageSeconds"];
        // A busy machine is slow, too; only a log that is full refuses.
        full = waits.as_f64().expect("known") > 0.5 && later(&server.url).await > 0.0;
        assert!(accepted.len() < 2_000, "the log never filled up");
    }
    assert_reads_go_on(&server.url, &accepted).await;
    let (_, last) = get(&format!("{}/orders/{}", server.url, accepted[accepted.len() - 1])).await;
    assert_eq!(last["status"], "Created");
    let search = format!("{}/orders/search", server.url);
    until(&search, "search knows", |_, page| page["lagSeconds"].as_f64() > Some(0.5)).await;
    let began = Instant::now();
    let failed = |scrape: &Scrape| scrape.value(DELIVERIES, &LATER) > 30.0;
    until_scrape(&server.url, "many deliveries fail", failed).await;
    assert_stops_cleanly(&mut server);
    let said = server.said();
    let warnings = said.iter().filter(|line| line.contains("not delivered, will try again"));
    let (warnings, most) = (warnings.count() as u64, 3 * (2 + began.elapsed().as_secs() / 10));
    assert!(warnings <= most, "{warnings} warnings, one in 10 s for each service is enough");
    let server = system.start_with(&[], &[("OFS_LOG_MAX_PAGES", "100000")]);
    assert_all_end_right(&server, &accepted).await;
}

#[tokio::test]
async fn the_same_process_goes_on_by_itself_when_the_disk_has_room_again() {
    let system = System::new();
    let Some(disk) = SmallDisk::mount(&system, 8 << 20) else {
        eprintln!("skipped: this user may not mount a small disk");
        return;
    };
    let server = system.start();
    until(&format!("{}/orders/search", server.url), "an index", |status, _| status == 200).await;
    let early = place(&server.url, &large(0)).await.expect("there is room");
    until_status(&server.url, &early, "FulfillmentScheduled").await;
    disk.fill();
    let mut accepted = fill_or_nothing(&server.url).await;
    accepted.push(early);
    assert_reads_go_on(&server.url, &accepted).await;
    disk.make_room();
    let mut placed = None;
    while placed.is_none() {
        placed = place(&server.url, &large(1)).await.ok();
    }
    accepted.extend(placed);
    assert_all_end_right(&server, &accepted).await;
    let (status, verified) =
        crate::server::post(&format!("{}/index/verify", server.url), None).await;
    assert_eq!((status, &verified["differences"]), (200, &0.into()), "{verified}");
}

/// As [`fill`]; the disk may be full already.
async fn fill_or_nothing(url: &str) -> Vec<String> {
    let mut accepted = Vec::new();
    for nth in 0..2_000 {
        let answer = ask(url, nth).await;
        if answer.status().as_u16() != 201 {
            assert_refused(answer).await;
            return accepted;
        }
        let placed: Value = answer.json().await.expect("JSON");
        accepted.push(placed["id"].as_str().expect("an id").to_owned());
    }
    panic!("the disk never filled up");
}
