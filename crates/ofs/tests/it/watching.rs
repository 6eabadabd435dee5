//! The command line against a real server: watching, searching, and the exit code of each way to end.

use crate::server::{get, order, place, place_all, until, until_status};
use crate::system::{System, json, lines};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

fn create<'a>(scenario: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let order = ["order", "create", "--email", "ada@example.com", "--product", "Phone"];
    [&order[..], &["--country", "gb", "--scenario", scenario], more].concat()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("a code")
}

/// The problem that a failed command tells programs.
fn problem(output: &Output) -> Value {
    assert!(output.stdout.is_empty(), "data on stdout: {:?}", lines(&output.stdout));
    serde_json::from_slice(&output.stderr).expect("a problem")
}

/// Those of `shown` that are `known`; other services may tell more.
fn only<'a>(known: &[&str], shown: &[&'a str]) -> Vec<&'a str> {
    shown.iter().copied().filter(|kind| known.contains(kind)).collect()
}

#[tokio::test]
async fn watching_a_new_order_shows_its_events_until_it_is_final() {
    let system = System::new();
    let server = system.start();
    for (scenario, end, exit) in [
        (
            "success",
            ["OrderCreatedV1", "PaymentAuthorizedV1", "FulfillmentScheduledV1"].as_slice(),
            0,
        ),
        ("no", ["OrderCreatedV1", "PaymentFailedV1"].as_slice(), 10),
    ] {
        let watched = system.ofs(Some(&server.url), &create(scenario, &["--watch"]));
        assert_eq!(code(&watched), exit, "{:?}", lines(&watched.stderr));
        let said = lines(&watched.stdout);
        assert!(said[0].starts_with("order 0"), "{said:?}");
        let shown: Vec<&str> =
            said[1..].iter().filter_map(|line| line.split("  ").nth(1)).collect();
        assert_eq!(only(end, &shown), end);
        let watched = system.ofs(Some(&server.url), &create(scenario, &["--watch", "--json"]));
        assert_eq!(code(&watched), exit);
        let said: Vec<Value> = lines(&watched.stdout)
            .iter()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let kinds: Vec<&str> =
            said[1..].iter().filter_map(|event| event["eventType"].as_str()).collect();
        assert_eq!(only(end, &kinds), end);
        let again = ["order", "watch", said[0]["id"].as_str().expect("an id")];
        assert_eq!(code(&system.ofs(Some(&server.url), &again)), exit);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_shown_while_the_order_is_still_under_way() {
    let system = System::new();
    let server = system.start();
    let mut watching = system
        .command()
        .args(create("sim:slow:1500ms", &["--watch", "--json"]))
        .env("OFS_SERVER", &server.url)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut shown = BufReader::new(watching.stdout.take().expect("stdout")).lines();
    let mut next = || -> Value {
        let line = shown.next().expect("a line").expect("text");
        serde_json::from_str(&line).expect("JSON")
    };
    let id = next()["id"].as_str().expect("an id").to_owned();
    assert_eq!(next()["eventType"], "OrderCreatedV1");
    let (_, order) = get(&format!("{}/orders/{id}", server.url)).await;
    assert_eq!(order["status"], "Created", "its creation was shown only after its payment");
    // Other services may tell of the order, too.
    while next()["eventType"] != "PaymentAuthorizedV1" {}
    while next()["eventType"] != "FulfillmentScheduledV1" {}
    assert_eq!(watching.wait().expect("an end").code(), Some(0));
}

#[tokio::test]
async fn each_way_to_fail_has_its_exit_code() {
    let system = System::new();
    let server = system.start();
    let unknown = "0198c0de-0000-7000-8000-000000000001";
    for (arguments, exit, kind) in [
        (vec!["order", "get", unknown], 3, "urn:ofs:problem:unknown-order"),
        (vec!["order", "watch", unknown], 3, "urn:ofs:problem:unknown-order"),
        (vec!["order", "timeline", unknown], 3, "urn:ofs:problem:unknown-order"),
        (vec!["order", "explain", unknown], 3, "urn:ofs:problem:unknown-order"),
        (vec!["order", "get", "seven"], 2, "urn:ofs:problem:invalid-path"),
        (vec!["order", "search", "--country", "USA"], 2, "urn:ofs:problem:invalid-query"),
        (vec!["order", "search", "--limit", "201"], 2, "urn:ofs:problem:invalid-query"),
        (vec!["parked", "show", "7"], 3, "urn:ofs:problem:not-found"),
        (vec!["parked", "retry", "7"], 3, "urn:ofs:problem:not-found"),
        (vec!["events", "tail", "--no-follow", "--from", "x"], 2, "urn:ofs:problem:invalid-query"),
        (create("sim:timeout:9", &["--watch", "--timeout", "300ms"]), 6, "urn:ofs:cli:timeout"),
        (create("no", &["--watch"]), 10, "urn:ofs:cli:order-failed"),
    ] {
        let output = system.ofs(Some(&server.url), &[&arguments[..], &["--json"]].concat());
        assert_eq!(code(&output), exit, "{arguments:?}");
        let said = lines(&output.stderr);
        let told: Value = serde_json::from_str(&said[said.len() - 1]).expect("a problem");
        assert_eq!(told["type"], kind, "{arguments:?}");
    }
    let keyed = |scenario| create(scenario, &["--idempotency-key", "k-1", "--json"]);
    let first = system.ofs(Some(&server.url), &keyed("success"));
    assert_eq!(code(&first), 0);
    let again = system.ofs(Some(&server.url), &keyed("success"));
    assert_eq!((code(&again), json(&again)), (0, json(&first)));
    let other = system.ofs(Some(&server.url), &keyed("else"));
    assert_eq!(code(&other), 4);
    assert_eq!(problem(&other)["type"], "urn:ofs:problem:idempotency-key-reused");
}

#[tokio::test]
async fn every_command_answers_programs_in_json_on_stdout_alone() {
    let system = System::new();
    let server = system.start();
    let id = place(&server.url, &order(Some("success"))).await.expect("201");
    until_status(&server.url, &id, "FulfillmentScheduled").await;
    until(&format!("{}/orders/search", server.url), "found", |_, page| page["total"] == 1).await;
    for (arguments, member) in [
        (create("success", &[]), "/correlationId"),
        (vec!["order", "get", &id], "/status"),
        (vec!["order", "search", "phone"], "/orders/0/id"),
        (vec!["order", "timeline", &id], "/events/0/eventType"),
        (vec!["order", "explain", &id], "/summary"),
        (vec!["parked", "list"], "/parked"),
        (vec!["parked", "retry", "--all"], "/resolved"),
        (vec!["pipeline"], "/services/3/service"),
        (vec!["index", "status"], "/active"),
        (vec!["index", "verify"], "/checked"),
        (vec!["index", "rebuild"], "/building"),
        (vec!["health"], "/ready"),
        (vec!["config", "show"], "/settings/0/key"),
        (vec!["config", "check"], "/ok"),
        (vec!["events", "tail", "--no-follow", "--max", "1"], "/event/eventId"),
    ] {
        let output = system.ofs(Some(&server.url), &[&arguments[..], &["--json"]].concat());
        assert_eq!(code(&output), 0, "{arguments:?}: {:?}", lines(&output.stderr));
        let told = json(&output);
        assert!(
            told.pointer(member).is_some_and(|value| !value.is_null()),
            "{arguments:?}: {told}"
        );
        assert!(output.stderr.is_empty(), "{arguments:?}: {:?}", lines(&output.stderr));
        let plain = system.ofs(Some(&server.url), &arguments);
        assert!(!plain.stdout.is_empty(), "{arguments:?}");
        let first = plain.stdout.first();
        assert!(first != Some(&b'{'), "{arguments:?} answers people in JSON");
    }
    drop(server);
    let migrated = system.ofs(None, &["migrate", "--json"]);
    assert_eq!((code(&migrated), &json(&migrated)["migrated"]), (0, &true.into()));
}

#[tokio::test]
async fn the_pages_that_the_command_line_names_hold_every_order() {
    let system = System::new();
    let server = system.start();
    let mut placed = place_all(&server.url, &["success"; 7]).await;
    until(&format!("{}/orders/search", server.url), "all", |_, page| page["total"] == 7).await;
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut arguments = vec!["order", "search", "--limit", "3", "--sort", "-createdAt"];
        arguments.extend(cursor.iter().flat_map(|cursor| ["--cursor", cursor.as_str()]));
        let page = system.ofs(Some(&server.url), &arguments);
        assert_eq!(code(&page), 0, "{:?}", lines(&page.stderr));
        let rows = lines(&page.stdout);
        found.extend(rows[1..].iter().filter_map(|row| row.split("  ").next().map(str::to_owned)));
        let next = lines(&page.stderr)
            .iter()
            .find_map(|line| line.strip_prefix("next page: --cursor ").map(str::to_owned));
        if next.is_none() {
            break;
        }
        cursor = next;
    }
    found.sort();
    placed.sort();
    assert_eq!(found, placed);
}
