//! The description of the surface is fresh, complete, and true.

use crate::api::Api;
use crate::server::{get, http, order, place, post, until, until_status};
use crate::system::{System, record};
use ofs_events::Topic;
use ofs_runtime::problem::Problem;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

fn kept() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    std::fs::read_to_string(path).expect("docs/openapi.json")
}

#[tokio::test]
async fn the_kept_description_is_what_the_program_prints_and_serves() {
    let system = System::new();
    let printed = system.ofs(None, &["openapi"]);
    let printed = String::from_utf8(printed.stdout).expect("text");
    let fresh = printed == kept();
    assert!(fresh, "docs/openapi.json is stale: `ofs openapi > docs/openapi.json`");
    let server = system.start();
    let served = Api::of(&server.url).await.described;
    let printed: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(served, printed);
}

#[test]
fn every_problem_type_is_described() {
    let described: Value = serde_json::from_str(&kept()).expect("JSON");
    let kinds = &described["components"]["schemas"]["Problem"]["properties"]["type"]["enum"];
    let kinds: Vec<&str> =
        kinds.as_array().expect("kinds").iter().filter_map(Value::as_str).collect();
    let known: Vec<_> = Problem::KINDS.iter().chain(ofs::services::problems()).collect();
    assert_eq!(kinds, known.iter().map(|kind| kind.uri).collect::<Vec<_>>());
    for kind in known {
        let status = kind.status.to_string();
        let described = described["paths"].as_object().expect("paths").values().any(|item| {
            let operations = item.as_object().expect("operations").values();
            operations.into_iter().any(|operation| !operation["responses"][&status].is_null())
        });
        assert!(described, "no route describes {status} ({})", kind.uri);
    }
}

/// A server with an order, and an event that is parked.
async fn furnished(system: &System) -> (crate::server::Server, BTreeMap<&'static str, String>) {
    drop(system.start());
    system.append(vec![record(Topic::Orders, Some(b"no id"), b"{garbage")]).await;
    let server = system.start();
    let id = place(&server.url, &order(Some("success"))).await.expect("201");
    until_status(&server.url, &id, "FulfillmentScheduled").await;
    let search = format!("{}/orders/search", server.url);
    until(&search, "a document", |_, page| page["total"] == 1).await;
    let parked = format!("{}/parked?service=payment-worker", server.url);
    let page = until(&parked, "one", |_, page| page["parked"][0]["id"].is_u64()).await;
    let parked = page["parked"][0]["id"].to_string();
    let new = json!({"name": "test", "scopes": ["pii"]});
    let (_, key) = post(&format!("{}/keys", server.url), Some(&new)).await;
    let key = key["id"].as_str().expect("an id").to_owned();
    (server, [("orders", id), ("parked", parked), ("keys", key)].into())
}

#[tokio::test]
async fn every_request_made_from_the_examples_works_and_is_answered_as_described() {
    let system = System::new();
    let (server, ids) = furnished(&system).await;
    let api = Api::of(&server.url).await;
    let operations = api.operations();
    assert!(operations.len() >= 22, "{}", operations.len());
    // Discarding is last: then nothing is left to be tried.
    let (last, first): (Vec<_>, Vec<_>) =
        operations.iter().partition(|operation| operation.path.ends_with("/discard"));
    for operation in first.into_iter().chain(last) {
        let answer = operation.request(&api, &server.url, &ids).send().await.expect("an answer");
        let status = answer.status();
        let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
        let body = answer.text().await.expect("text");
        let name = format!("{} {}", operation.method, operation.path);
        assert!(status.is_success(), "{name}: {status} {body}");
        let wrong = api.wrong_with(operation, status.as_u16(), &kind, &body);
        assert_eq!(wrong, None, "{name}: {body}");
    }
}

#[tokio::test]
async fn every_word_that_a_parameter_is_described_to_take_is_taken() {
    let system = System::new();
    let (server, _) = furnished(&system).await;
    let api = Api::of(&server.url).await;
    let mut taken = 0;
    for operation in api.operations() {
        for parameter in operation.parameters("query") {
            let name = parameter["name"].as_str().expect("a name");
            for word in api.words(&parameter["schema"]) {
                let url = format!("{}{}?{name}={word}", server.url, operation.path);
                let answer = http().request(operation.method.clone(), url).send().await;
                let status = answer.expect("an answer").status();
                assert!(status.is_success(), "{}?{name}={word}: {status}", operation.path);
                taken += 1;
            }
        }
    }
    assert!(taken >= 10, "{taken}");
}

#[tokio::test]
async fn the_documentation_works_without_the_internet() {
    let system = System::new();
    let server = system.start();
    let page = http().get(format!("{}/docs", server.url)).send().await.expect("an answer");
    assert_eq!(page.url().path(), "/docs/");
    let page = page.text().await.expect("text");
    let mut assets = Vec::new();
    for attribute in ["src=\"", "href=\""] {
        assets.extend(page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()));
    }
    assert!(assets.len() >= 4, "{page}");
    for asset in assets {
        assert!(!asset.contains("//"), "{asset} is fetched from elsewhere");
        let url = format!("{}/docs/{}", server.url, asset.trim_start_matches("./"));
        let answer = http().get(url).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200, "{asset}");
        assert!(!answer.bytes().await.expect("bytes").is_empty(), "{asset}");
    }
    let (status, script) = get(&format!("{}/docs/swagger-initializer.js", server.url)).await;
    let script = script.as_str().expect("a script");
    assert!(status == 200 && script.contains("../openapi.json"), "{script}");
    assert!(!script.contains("http://") && !script.contains("https://"), "{script}");
    let (status, missing) = get(&format!("{}/docs/nowhere.js", server.url)).await;
    assert_eq!((status, &missing["type"]), (404, &json!("urn:ofs:problem:unknown-route")));
}
