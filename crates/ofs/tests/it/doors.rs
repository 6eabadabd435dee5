//! Who may do what: every route with every scope, keys from their making to their end, and what those
//! see who may not see e-mail addresses.

use crate::api::{Api, Operation};
use crate::server::{PATIENCE, Server, http, order};
use crate::system::{System, json as printed, record};
use ofs_events::Topic;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub const SCOPES: [&str; 6] =
    ["orders:read", "orders:write", "events:read", "operate", "admin", "pii"];
pub const REQUIRED: (&str, &str) = ("OFS_AUTH_MODE", "required");
const CANARY: &str = "canary.bird@cage.example";

/// Makes a key in the store of a stopped system, or on any on servers.
pub fn key(system: &System, scopes: &[&str]) -> Value {
    let mut args = vec!["keys", "create", "--name", "test", "--json"];
    scopes.iter().for_each(|scope| args.extend(["--scope", scope]));
    let made = system.ofs(None, &args);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    printed(&made)
}

pub fn text(key: &Value) -> &str {
    key["key"].as_str().expect("a key")
}

/// A key for each scope, and one for all.
fn keys(system: &System) -> (BTreeMap<&'static str, Value>, Value) {
    let each = SCOPES.iter().map(|scope| (*scope, key(system, &[scope]))).collect();
    (each, key(system, &SCOPES))
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("text");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

pub async fn get(url: &str, key: &Value) -> (u16, Value) {
    answer(http().get(url).bearer_auth(text(key))).await
}

async fn place(server: &Server, key: &Value, order: &Value) -> String {
    let request = http().post(format!("{}/orders", server.url)).bearer_auth(text(key));
    let (status, placed) = answer(request.json(order)).await;
    assert_eq!(status, 201, "{placed}");
    placed["id"].as_str().expect("an id").to_owned()
}

async fn until(url: &str, key: &Value, what: &str, done: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let (_, body) = get(url, key).await;
        if done(&body) {
            return body;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: {body}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The scope that `operation` needs; none if anyone may ask.
pub fn needed<'a>(operation: &Operation<'a>) -> Option<&'a str> {
    let security = operation.value["security"].as_array().expect("what it needs");
    let open = security.iter().any(|one| one.as_object().is_some_and(serde_json::Map::is_empty));
    if open { None } else { Some(security[0]["key"][0].as_str().expect("a scope")) }
}

async fn every_route_wants_its_own_scope_and_no_other(system: System) {
    let (each, _) = keys(&system);
    let server = system.start_with(&[], &[REQUIRED]);
    let api = Api::of(&server.url).await;
    let id = "0198c0de-0000-7000-8000-000000000001".to_owned();
    let ids = [("orders", id.clone()), ("keys", id), ("parked", "1".to_owned())].into();
    let mut tried = BTreeMap::<u16, usize>::new();
    for operation in api.operations() {
        let name = format!("{} {}", operation.method, operation.path);
        let request = || operation.request(&api, &server.url, &ids);
        let needed = needed(&operation);
        let answered = request().send().await.expect("an answer");
        let challenge = answered.headers().get("www-authenticate").cloned();
        let status = answered.status().as_u16();
        let unknown = [None, Some("Basic dTpw"), Some("Bearer x"), Some("Bearer ")];
        if needed.is_some() {
            assert_eq!(status, 401, "{name}");
            assert!(challenge.expect("a challenge").to_str().expect("text").starts_with("Bearer"));
        } else {
            assert!(status < 400, "{name}: {status}");
        }
        for header in unknown {
            let mut asked = request();
            if let Some(header) = header {
                asked = asked.header("authorization", header);
            }
            let (status, problem) = answer(asked).await;
            assert_eq!(status == 401, needed.is_some(), "{name}, {header:?}: {problem}");
        }
        for (scope, key) in &each {
            let (status, problem) = answer(request().bearer_auth(text(key))).await;
            *tried.entry(status).or_default() += 1;
            let Some(needed) = needed.filter(|needed| needed != scope) else {
                assert!(![401, 403].contains(&status), "{name} with {scope}: {problem}");
                continue;
            };
            assert_eq!(status, 403, "{name} with {scope}: {problem}");
            assert_eq!(problem["type"], "urn:ofs:problem:missing-scope", "{name}");
            let detail = problem["detail"].as_str().expect("words");
            assert!(detail.contains(&format!("`{needed}`")), "{detail}");
        }
    }
    assert!(tried[&403] > 80 && tried[&200] >= 12, "{tried:?}");
}

async fn a_key_is_made_used_listed_and_revoked(system: System) {
    let admin = key(&system, &["admin"]);
    let server = system.start_with(&[], &[REQUIRED]);
    // Where the servers are shared, another process of the same system knows nothing of the first.
    let other = system.try_start(&[], &[REQUIRED]).ok();
    let file = system.dir().join("admin.key");
    std::fs::write(&file, format!("{}\n", text(&admin))).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let ofs = |args: &[&str]| {
        let output =
            system.ofs(Some(&server.url), &[&["--api-key-file", file, "--json"], args].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        printed(&output)
    };
    let made = ofs(&["keys", "create", "--name", "shop", "--scope", "operate", "--expires", "1h"]);
    assert_eq!((&made["name"], &made["scopes"]), (&json!("shop"), &json!(["operate"])));
    assert!(made["expiresAt"].is_string(), "{made}");
    let urls: Vec<String> =
        [Some(&server), other.as_ref()].into_iter().flatten().map(|s| s.url.clone()).collect();
    for url in &urls {
        assert_eq!(get(&format!("{url}/pipeline"), &made).await.0, 200);
        // With another secret the same id is worth nothing.
        let mut forged = made.clone();
        forged["key"] = text(&made).replace(&text(&made)[37..41], "beef").into();
        assert_eq!(get(&format!("{url}/pipeline"), &forged).await.0, 401);
    }
    let listed = ofs(&["keys", "list"]);
    let shop = listed["keys"].as_array().expect("keys").iter().find(|key| key["name"] == "shop");
    let shop = shop.expect("the key");
    assert!(shop["lastUsedAt"].is_string() && shop["revokedAt"].is_null(), "{shop}");
    assert!(!listed.to_string().contains(&text(&made)[37..]), "the secret is shown once");
    let id = made["id"].as_str().expect("an id");
    assert!(ofs(&["keys", "revoke", id])["revokedAt"].is_string());
    let began = Instant::now();
    for url in &urls {
        while get(&format!("{url}/pipeline"), &made).await.0 != 401 {
            assert!(began.elapsed() < Duration::from_secs(5), "{url} still takes the key");
        }
    }
    let (_, problem) = get(&format!("{}/pipeline", server.url), &made).await;
    assert!(problem["detail"].as_str().expect("words").contains("has been revoked"), "{problem}");
}

async fn without_pii_no_answer_holds_an_address(system: System) {
    drop(system.start());
    let bad = [CANARY.to_owned(), format!("{{\"customerEmail\":\"{CANARY}\",\"x\":1}}")];
    let bad = bad.iter().map(|bad| record(Topic::Orders, Some(CANARY.as_bytes()), bad.as_bytes()));
    system.append(bad.collect()).await;
    let (_, all) = keys(&system);
    let blind = key(&system, &SCOPES[..5]);
    let server = system.start_with(&[], &[REQUIRED]);
    let mut new = order(Some(CANARY));
    new["customerEmail"] = CANARY.into();
    new["productType"] = format!("gift for {CANARY}").into();
    let id = place(&server, &blind, &new).await;
    let search = format!("{}/orders/search", server.url);
    until(&search, &all, "the document", |page| page["total"] == 1).await;
    let parked = format!("{}/parked?service=payment-worker", server.url);
    let page = until(&parked, &all, "parked", |page| page["parked"][1]["id"].is_u64()).await;
    let mut seen = 0;
    let mut paths: Vec<String> = [
        "orders/search",
        "events",
        "parked",
        "pipeline",
        "index",
        "index/refused",
        "keys",
        "audit",
    ]
    .map(str::to_owned)
    .into();
    paths.extend([format!("orders/{id}"), format!("orders/{id}/timeline")]);
    for parked in page["parked"].as_array().expect("parked") {
        paths.push(format!("parked/{}", parked["id"]));
    }
    paths.push(format!("orders/{CANARY}"));
    for path in paths {
        let url = format!("{}/{path}", server.url);
        let holds = |body: &Value| body.to_string().contains("canary");
        seen += usize::from(holds(&get(&url, &all).await.1));
        let (status, body) = get(&url, &blind).await;
        assert!(status < 500 && status != 403, "{path}: {status} {body}");
        assert!(!holds(&body), "{path}: {body}");
    }
    assert!(seen >= 5, "only {seen} answers hold it at all");
    let (_, masked) = get(&format!("{}/orders/{id}", server.url), &blind).await;
    assert_eq!((&masked["customerEmail"], &masked["country"]), (&json!("***"), &json!("US")));
    let url = format!("{search}?q=canary");
    assert_eq!(get(&url, &all).await.1["total"], 1);
    let (status, problem) = get(&url, &blind).await;
    assert_eq!(status, 403, "{problem}");
    assert!(problem["detail"].as_str().expect("words").contains("`pii`"), "{problem}");
    let live = http().get(format!("{}/events?follow=false", server.url));
    let live = live.bearer_auth(text(&blind)).header("accept", "text/event-stream");
    let (status, live) = answer(live).await;
    let live = live.as_str().expect("lines").to_owned();
    assert!(status == 200 && live.contains("OrderCreatedV1") && !live.contains("canary"), "{live}");
}

async fn idempotency_keys_of_two_clients_do_not_meet(system: System) {
    let [one, two] = [(); 2].map(|()| key(&system, &["orders:write"]));
    let server = system.start_with(&[], &[REQUIRED]);
    let mut placed = Vec::new();
    for (key, product) in [(&one, "Phone"), (&two, "Book"), (&one, "Phone"), (&two, "Book")] {
        let mut order = order(None);
        order["productType"] = product.into();
        let request = http().post(format!("{}/orders", server.url)).bearer_auth(text(key));
        let (status, body) = answer(request.header("idempotency-key", "k").json(&order)).await;
        assert_eq!(status, 201, "{body}");
        placed.push(body["id"].clone());
    }
    assert_ne!(placed[0], placed[1]);
    assert_eq!(placed[..2], placed[2..]);
}

async fn what_people_do_is_in_the_audit_trail(system: System) {
    // Its groups are left, so that one can be moved.
    assert_eq!(system.start().stop(), Some(0));
    let records = [1, 2].map(|_| record(Topic::Orders, None, b"{garbage"));
    system.append(records.into()).await;
    let (each, all) = keys(&system);
    let reset = ["events", "reset", "--group", "payment-worker-v1", "--to", "earliest"];
    let reset = system.ofs(None, &reset);
    assert!(reset.status.success(), "{}", String::from_utf8_lossy(&reset.stderr));
    let mut server = system.start_with(&[], &[REQUIRED, ("OFS_LOGS_LEVEL", "debug")]);
    let url = server.url.clone();
    let parked = format!("{url}/parked?service=payment-worker");
    let page = until(&parked, &all, "parked", |page| page["parked"][1]["id"].is_u64()).await;
    let id = |at: usize| page["parked"][at]["id"].to_string();
    let post = async |path: String, body: Option<Value>| {
        let request = http().post(format!("{url}/{path}")).bearer_auth(text(&all));
        let request = body.iter().fold(request, |request, body| request.json(body));
        let (status, answer) = answer(request).await;
        assert!(status < 300, "{path}: {answer}");
    };
    post(format!("parked/{}/retry", id(0)), None).await;
    let reason = json!({ "reason": format!("asked for by {CANARY}") });
    post(format!("parked/{}/discard", id(1)), Some(reason)).await;
    post("index/rebuild".to_owned(), None).await;
    let revoked = each["pii"]["id"].as_str().expect("an id");
    post(format!("keys/{revoked}/revoke"), None).await;
    for _ in 0..50 {
        assert_eq!(answer(http().get(format!("{url}/keys"))).await.0, 401);
    }
    assert_eq!(get(&format!("{url}/keys"), &each["operate"]).await.0, 403);
    let trail = format!("{url}/audit?limit=200");
    let refused = |trail: &Value| {
        let entries = trail["entries"].as_array().into_iter().flatten();
        entries.filter(|noted| noted["entry"]["action"] == "refused").count()
    };
    let trail = until(&trail, &all, "refusals", |trail| refused(trail) >= 2).await;
    assert!(refused(&trail) < 6, "a flood is a few entries: {trail}");
    assert_eq!(server.stop(), Some(0));
    let verified = printed(&system.ofs(None, &["audit", "verify", "--json"]));
    assert_eq!(verified["findings"], json!([]), "{verified}");
    let listed = system.ofs(None, &["audit", "list", "--limit", "200", "--json"]);
    let listed = printed(&listed);
    let entries: Vec<&Value> = listed["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|noted| &noted["entry"])
        .collect();
    let of = |action: &str| entries.iter().filter(|entry| entry["action"] == action).count();
    let actions = ["key.create", "key.revoke", "events.reset", "parked.retry", "parked.discard"];
    assert_eq!(actions.map(of), [7, 1, 1, 1, 1], "{listed}");
    assert_eq!(of("index.rebuild"), 1);
    let discard = entries.iter().find(|entry| entry["action"] == "parked.discard").expect("it");
    let who = format!("key {} (test)", all["id"].as_str().expect("an id"));
    assert_eq!((&discard["who"], &discard["from"]), (&json!(who), &json!("127.0.0.1")));
    assert_eq!(
        (&discard["subject"], &discard["reason"]),
        (&json!(id(1)), &json!("asked for by ***"))
    );
    let whole = listed.to_string();
    assert!(!whole.contains("canary"), "{whole}");
    let said = server.said().join("\n");
    for key in each.values().chain([&all]) {
        assert!(!whole.contains(&text(key)[37..]), "a secret is in the trail");
        assert!(!said.contains(&text(key)[37..]), "a secret is in the log lines");
    }
}

#[tokio::test]
async fn a_browser_sends_its_key_in_a_cookie_from_our_own_pages_alone() {
    let system = System::new();
    let key = key(&system, &["orders:read", "orders:write", "pii"]);
    let server = system.start_with(&[], &[REQUIRED]);
    let cookie = format!("theme=dark; ofs-key={}", text(&key));
    for (method, site, status) in [
        (Method::GET, None, 200),
        (Method::GET, Some("same-origin"), 200),
        (Method::GET, Some("none"), 200),
        (Method::GET, Some("cross-site"), 401),
        (Method::GET, Some("same-site"), 401),
        (Method::POST, Some("same-origin"), 201),
        (Method::POST, Some("cross-site"), 403),
        (Method::POST, Some("same-site"), 401),
        (Method::POST, None, 401),
    ] {
        let path = if method == Method::GET { "/orders/search" } else { "/orders" };
        let request = http().request(method.clone(), format!("{}{path}", server.url));
        let mut request = request.header("cookie", &cookie);
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        if method == Method::POST {
            request = request.json(&order(None));
        }
        assert_eq!(answer(request).await.0, status, "{method} {site:?}");
    }
}

#[tokio::test]
async fn a_key_that_expires_is_refused_from_then_on() {
    let system = System::new();
    let args = ["keys", "create", "--name", "short", "--scope", "operate", "--expires", "4s"];
    let made = printed(&system.ofs(None, &[&args[..], &["--json"]].concat()));
    let server = system.start_with(&[], &[REQUIRED]);
    let url = format!("{}/pipeline", server.url);
    let problem = until(&url, &made, "expired", |body| body["status"] == 401).await;
    assert!(problem["detail"].as_str().expect("words").contains("has expired"), "{problem}");
}

#[tokio::test]
async fn keys_of_a_running_server_are_made_through_it_and_never_behind_it() {
    let system = System::new();
    let admin = key(&system, &["admin"]);
    let server = system.start_with(&[], &[REQUIRED]);
    // The server's address is not given, and it is not the default one.
    let args = ["keys", "create", "--name", "x", "--scope", "pii"];
    let mut nowhere = system.command();
    nowhere.args(args).env_remove("OFS_SERVER");
    let nowhere = nowhere.output().expect("an end");
    let said = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(!nowhere.status.success() && said.contains("another ofs process"), "{said}");
    // The key comes in a variable, too.
    let mut there = system.command();
    there.args(args).env("OFS_SERVER", &server.url).env("OFS_API_KEY", text(&admin));
    let there = there.output().expect("an end");
    assert!(there.status.success(), "{}", String::from_utf8_lossy(&there.stderr));
    let without = system.ofs(Some(&server.url), &args);
    let said = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(!without.status.success() && said.contains("OFS_API_KEY"), "{said}");
}

#[tokio::test]
async fn the_first_key_is_printed_once_and_the_demo_sends_a_key() {
    let system = System::new();
    let mut server = system.start_with(&["--print-first-key"], &[REQUIRED]);
    let began = Instant::now();
    let first = loop {
        let said = server.said();
        let line = said.iter().find_map(|line| line.trim().strip_prefix("Key "));
        if let Some(key) = line.and_then(|line| line.split_whitespace().next()) {
            break json!({ "key": key });
        }
        assert!(began.elapsed() < PATIENCE, "{said:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(get(&format!("{}/keys", server.url), &first).await.0, 200);
    assert_eq!(server.stop(), Some(0));
    let variables = [REQUIRED, ("OFS_API_KEY", text(&first))];
    let mut server = system.start_with(&["--print-first-key", "--demo=50"], &variables);
    let search = format!("{}/orders/search", server.url);
    until(&search, &first, "orders", |page| page["total"].as_u64() > Some(3)).await;
    server.stop();
    assert!(server.said().iter().all(|line| !line.contains("Key ")), "{:?}", server.said());
}

on_every_set! {
    every_route_wants_its_own_scope_and_no_other,
    a_key_is_made_used_listed_and_revoked,
    without_pii_no_answer_holds_an_address,
    idempotency_keys_of_two_clients_do_not_meet,
    what_people_do_is_in_the_audit_trail,
}
