//! `ofs bench`: what it measures of a real server, and what it says of it.

use crate::system::{System, json, lines};
use serde_json::Value;
use std::fs;

fn shares(report: &Value, what: &str) -> Vec<f64> {
    let shares = report["latencyMs"][what].as_object().expect("shares");
    shares.values().map(|value| value.as_f64().expect("a number")).collect()
}

async fn every_order_is_followed_to_its_end(system: System) {
    let server = system.start();
    let url = Some(server.url.as_str());
    let told =
        system.ofs(url, &["bench", "--orders", "300", "--clients", "16", "--limits", "--json"]);
    assert_eq!(told.status.code(), Some(0), "{:?}", lines(&told.stderr));
    let report = json(&told);
    for (what, count) in
        [("accepted", 300), ("lost", 0), ("doubled", 0), ("outOfOrder", 0), ("notFound", 0)]
    {
        assert_eq!(report["orders"][what], count, "{report:#}");
    }
    for what in ["accepted", "scheduled", "searchable"] {
        let shares = shares(&report, what);
        assert!(shares[0] > 0.0 && shares.is_sorted(), "{report:#}");
        assert!(report["ordersPerSecond"][what].as_f64().expect("a rate") > 0.0, "{report:#}");
    }
    for part in ["http", "log", "store", "index"] {
        assert!(report["limits"][part].as_f64().expect("a rate") > 0.0, "{report:#}");
    }
    let at = |what: &str, nth: usize| shares(&report, what)[nth];
    assert!(at("accepted", 0) < at("scheduled", 0) && at("scheduled", 4) < at("searchable", 4));

    assert_nothing_is_left(&system);

    let file = system.dir().join("before.json");
    fs::write(&file, &told.stdout).expect("written");
    let file = file.to_str().expect("a path");
    let rated = ["bench", "--rate", "100", "--duration", "2s", "--compare", file];
    let told = system.ofs(url, &rated);
    assert_eq!(told.status.code(), Some(0), "{:?}", lines(&told.stderr));
    let page = lines(&told.stdout);
    assert!(page[0].starts_with("log ") && !page[0].contains("unknown"), "{page:#?}");
    assert!(page[1].starts_with("200 orders, 64 clients, 100 orders/s"), "{page:#?}");
    let beside = page.iter().filter(|line| line.contains(" x ")).count();
    assert_eq!(beside, 3 + 3 * 5, "{page:#?}");
    assert!(page.iter().any(|line| line.starts_with("0 lost, 0 doubled")), "{page:#?}");
}

/// What was written to measure the engines is gone.
fn assert_nothing_is_left(system: &System) {
    let here = fs::read_dir(system.dir()).expect("the directory the command ran in");
    let names =
        here.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let left: Vec<_> = names.filter(|name| name.starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
    if let Some(urls) = system.servers() {
        let tables = urls.psql("SELECT tablename FROM pg_tables WHERE tablename LIKE 'bare%'");
        assert_eq!(tables.trim(), "");
    }
}

on_every_set! { every_order_is_followed_to_its_end }

#[tokio::test]
async fn a_client_that_follows_sees_each_end() {
    let system = System::new();
    let server = system.start();
    let follow = ["bench", "--clients", "2", "--orders", "20", "--follow", "--json"];
    let report = json(&system.ofs(Some(&server.url), &follow));
    assert!(shares(&report, "final status seen")[0] >= shares(&report, "accepted")[0]);
    assert_eq!(report["load"]["pace"], "final");
}

#[tokio::test]
async fn a_server_that_takes_no_order_is_no_benchmark() {
    let system = System::new();
    let server = system.start_with(&["--service", "search-indexer-worker"], &[]);
    let told = system.ofs(Some(&server.url), &["bench", "--orders", "10"]);
    assert_eq!(told.status.code(), Some(3), "{:?}", lines(&told.stderr));
    let mut stopped = server;
    assert_eq!(stopped.stop(), Some(0));
    let told = system.ofs(Some(&stopped.url), &["bench", "--orders", "10"]);
    assert_eq!(told.status.code(), Some(5), "{:?}", lines(&told.stderr));
}
