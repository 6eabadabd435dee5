//! Consumer groups without members: listed, and forgotten on request.

use crate::server::{place_all, until_status};
use crate::system::{System, json};
use ofs_events::Topic;
use ofs_runtime::log::Reset;
use serde_json::Value;

const GIVEN_UP: &str = "a-report-of-last-year";

/// Every group, and the service whose it is.
fn groups(system: &System) -> Vec<(String, Value)> {
    let listed = json(&system.ofs(None, &["events", "groups", "--json"]));
    let one = |group: &Value| {
        assert!(group["lagEvents"].is_u64(), "{group}");
        (group["group"].as_str().expect("a name").to_owned(), group["service"].clone())
    };
    listed["groups"].as_array().expect("groups").iter().map(one).collect()
}

/// Exit code and stderr of `ofs events forget`.
fn forget(system: &System, args: &[&str]) -> (Option<i32>, String) {
    let done = system.ofs(None, &[&["events", "forget", "--group"], args].concat());
    (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
}

async fn a_group_that_was_given_up_is_forgotten_and_a_service_is_not(system: System) {
    let mut server = system.start();
    let order = place_all(&server.url, &["success"]).await.remove(0);
    until_status(&server.url, &order, "FulfillmentScheduled").await;
    let (code, said) = forget(&system, &["payment-worker-v1", "--force"]);
    assert_ne!(code, Some(0), "its member is alive: {said}");
    assert_eq!(server.stop(), Some(0));
    {
        let engines = system.engines().await;
        engines.log.reset(GIVEN_UP, &[Topic::Orders], Reset::Earliest).await.expect("moved");
    }
    let listed = groups(&system);
    assert_eq!(listed.len(), crate::system::SERVICES.len() + 1, "{listed:?}");
    assert!(listed.contains(&(GIVEN_UP.to_owned(), Value::Null)), "{listed:?}");
    assert!(listed.contains(&("payment-worker-v1".to_owned(), "payment-worker".into())));

    let (code, said) = forget(&system, &["a-report"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(GIVEN_UP), "it names those there are: {said}");
    let (code, said) = forget(&system, &["payment-worker-v1"]);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("--force"), "{said}");
    assert_eq!(groups(&system), listed, "nothing is forgotten yet");
    assert_eq!(forget(&system, &[GIVEN_UP]).0, Some(0));
    assert_eq!(forget(&system, &["payment-worker-v1", "--force"]).0, Some(0));
    let left: Vec<String> = groups(&system).into_iter().map(|(group, _)| group).collect();
    let known = crate::system::SERVICES.iter().filter(|service| **service != "payment-worker");
    let mut known: Vec<String> = known.map(|service| format!("{service}-v1")).collect();
    known.sort_unstable();
    assert_eq!(left, known);
    let trail = system.ofs(None, &["audit", "list", "--json"]);
    let trail = String::from_utf8_lossy(&trail.stdout).into_owned();
    assert!(trail.contains("events.forget") && trail.contains(GIVEN_UP), "{trail}");

    // What the service had handled is read again, and recognized.
    let mut server = system.start();
    let another = place_all(&server.url, &["success"]).await.remove(0);
    until_status(&server.url, &another, "FulfillmentScheduled").await;
    assert_eq!(server.stop(), Some(0));
    assert_eq!(system.charges().len(), 2);
    assert_eq!(groups(&system).len(), crate::system::SERVICES.len());
}

on_every_set! { a_group_that_was_given_up_is_forgotten_and_a_service_is_not }
