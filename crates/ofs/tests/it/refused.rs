//! Orders whose document the index refuses: kept apart, counted, shown, pushed again.

use crate::rebuild::{found, house_of, tamper};
use crate::scrape::until_scrape;
use crate::server::{get, post, until};
use crate::system::{System, json, lines};
use ofs_events::Key;
use serde_json::{Value, json};

/// Stops the server, gives a record another `createdAt` without telling the index, and starts again.
async fn change(
    system: &System,
    mut server: crate::server::Server,
    order: Key,
    at: &Value,
) -> crate::server::Server {
    assert_eq!(server.stop(), Some(0));
    tamper(&system.engines().await, order, |body| body["createdAt"] = at.clone()).await;
    system.start()
}

/// Waits until nothing is being built or owed, and `refused` orders are refused.
async fn until_refused(url: &str, refused: u64) -> Value {
    let settled = |_: u16, index: &Value| {
        index["building"].is_null() && index["owed"] == 0 && index["refused"] == refused
    };
    until(&format!("{url}/index"), "the index is settled", settled).await
}

async fn an_order_that_the_index_refuses_is_kept_apart_and_pushed_again(system: System) {
    let server = system.start();
    let all = house_of(&server.url, 3).await;
    let bad: Key = all.first().expect("an order").parse().expect("an id");
    let (_, before) = get(&format!("{}/orders/{bad}", server.url)).await;
    let server = change(&system, server, bad, &json!("yesterday")).await;
    let url = server.url.clone();
    let (_, old) = get(&format!("{url}/index")).await;
    assert_eq!(post(&format!("{url}/index/rebuild"), None).await.0, 202);
    // It ends all the same.
    let new = until_refused(&url, 1).await;
    assert_ne!(new["active"], old["active"]);
    let mut others = all.clone();
    others.remove(&bad.to_string());
    assert_eq!(found(&server).await, others);
    let (_, page) = get(&format!("{url}/index/refused")).await;
    let [refused] = page["refused"].as_array().expect("a list").as_slice() else {
        panic!("{page}")
    };
    assert_eq!((&refused["order"], &page["nextCursor"]), (&json!(bad), &Value::Null));
    assert!(refused["reason"].as_str().expect("words").contains("createdAt"), "{refused}");
    until_scrape(&url, "it is counted", |scrape| {
        (scrape.value("ofs_refused", &[("service", "search-indexer-worker")]) - 1.0).abs() < 0.5
    })
    .await;
    let verified = system.ofs(Some(&url), &["index", "verify", "--json"]);
    assert_eq!(verified.status.code(), Some(1), "{:?}", lines(&verified.stderr));
    let told = json(&verified);
    assert_eq!((&told["differences"], &told["refused"]), (&json!(0), &json!(1)), "{told}");
    let retry = || system.ofs(Some(&url), &["index", "refused", "--retry", "--json"]);
    assert_eq!(json(&retry())["pushed"], 1);
    until_refused(&url, 1).await;
    let server = change(&system, server, bad, &before["createdAt"]).await;
    let url = server.url.clone();
    until_refused(&url, 1).await;
    let (status, pushed) = post(&format!("{url}/index/refused/retry"), None).await;
    assert_eq!((status, &pushed["pushed"]), (202, &json!(1)));
    until_refused(&url, 0).await;
    assert_eq!(found(&server).await, all);
    let verified = system.ofs(Some(&url), &["index", "verify"]);
    assert_eq!(verified.status.code(), Some(0), "{:?}", lines(&verified.stderr));
    for (query, wrong) in [("limit=0", "limit"), ("cursor=x", "cursor")] {
        let (status, problem) = get(&format!("{url}/index/refused?{query}")).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!(wrong)));
    }
}

on_every_set! {
    an_order_that_the_index_refuses_is_kept_apart_and_pushed_again,
}
