//! Metrics: their names and labels are documented, they begin at zero, and their law always holds.

use crate::scrape::{Scrape, Watch, until_scrape};
use crate::server::{http, place_all, until_status};
use crate::system::System;
use ofs_runtime::metrics::LaneName;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Names and labels of all metrics.
type Names = BTreeMap<String, BTreeSet<String>>;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).expect(path)
}

/// The texts between backticks.
fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of the table in the operator's manual.
fn documented() -> Names {
    let manual = read("docs/operations.md");
    let rows = manual.lines().filter(|line| line.starts_with("| `ofs_"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').collect();
        assert!(cells.len() == 5 && !cells[3].trim().is_empty(), "{line}");
        (quoted(cells[1]).pop_first().expect("a name"), quoted(cells[2]))
    };
    rows.map(row).collect()
}

/// What a scrape shows, histograms by the name of the whole.
fn shown(scrape: &Scrape) -> Names {
    let mut names = Names::new();
    for (name, samples) in &scrape.0 {
        let whole = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| name.strip_suffix(part).filter(|name| name.ends_with("_seconds")));
        let labels = names.entry(whole.unwrap_or(name).to_owned()).or_default();
        let given = samples.iter().flat_map(|(labels, _)| labels.keys());
        labels.extend(given.filter(|label| *label != "le").cloned());
    }
    names.retain(|name, _| name.starts_with("ofs_"));
    names
}

#[tokio::test]
async fn the_manual_lists_exactly_the_metrics_there_are_from_the_start_and_they_are_zero() {
    let source = read("crates/ofs-runtime/src/metrics.rs");
    let named = source.split('"').filter(|text| {
        text.starts_with("ofs_")
            && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase())
    });
    let named: BTreeSet<&str> = named.collect();
    let documented = documented();
    assert_eq!(named, documented.keys().map(String::as_str).collect());
    let system = System::new();
    let server = system.start();
    let scrape = Scrape::of(&http(), &server.url).await;
    assert_eq!(shown(&scrape), documented);
    for (name, samples) in scrape.0.iter().filter(|(name, _)| name.ends_with("_total")) {
        // The first commit makes the index; all others follow from orders and requests.
        let begins = |labels: &BTreeMap<String, String>| {
            name == "ofs_commits_total" && labels["service"] == "search-indexer-worker"
        };
        let nothing = samples.iter().all(|(labels, value)| *value == 0.0 || begins(labels));
        assert!(nothing || name.starts_with("process_"), "{name}: {samples:?}");
    }
    let (services, lanes) = (ofs::services::NAMES.len(), LaneName::ALL.len());
    let reads = scrape.0["ofs_events_consumed_total"].len();
    assert_eq!(scrape.0["ofs_events_handled_total"].len(), reads * 4);
    assert_eq!(scrape.0["ofs_retries_total"].len(), services * 2);
    assert_eq!(scrape.0["ofs_commits_total"].len(), services * 4);
    assert_eq!(scrape.0["ofs_deliveries_total"].len(), services * lanes * 3);
}

#[tokio::test]
async fn what_was_consumed_is_what_was_handled_at_every_scrape_under_load() {
    let system = System::new();
    let server = system.start();
    let watches = [Watch::over(&server.url), Watch::over(&server.url)];
    let mut placed = Vec::new();
    for _ in 0..6 {
        placed.extend(place_all(&server.url, &["success", "sim:down:1", "declined"]).await);
        placed.extend(place_all(&server.url, &["success"; 20]).await);
    }
    let count = placed.len() as f64;
    let (declined, failed) = (6.0, 6.0);
    let all = |scrape: &Scrape| {
        scrape.handled("search-indexer-worker", "fulfillment.events.v1", "processed")
            >= count - declined
    };
    let scrape = until_scrape(&server.url, "all are scheduled and found", all).await;
    let handled = |service, topic, outcome| scrape.handled(service, topic, outcome);
    assert_eq!(handled("payment-worker", "orders.events.v1", "processed"), count - failed);
    assert_eq!(handled("payment-worker", "orders.events.v1", "parked"), failed);
    assert_eq!(handled("fulfillment-worker", "payments.events.v1", "ignored"), declined);
    assert_eq!(scrape.value("ofs_retries_total", &[("outcome", "resolved")]), failed);
    assert_eq!(
        scrape.value("ofs_http_requests_total", &[("route", "/orders"), ("status", "201")]),
        count
    );
    for id in &placed[..1] {
        until_status(&server.url, id, "FulfillmentScheduled").await;
    }
    for watch in watches {
        assert!(watch.end().await > 5, "too few scrapes to tell");
    }
}
