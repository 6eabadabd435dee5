//! Search: every filter, sort and page of it, counts of facets, and how far behind it says it is.

use crate::server::{get, http, place, place_all, search_all, until};
use crate::system::{System, of_the_contract};
use serde_json::{Value, json};
use std::cell::Cell;
use std::time::Duration;

fn new_order(email: &str, product: &str, country: &str, scenario: &str) -> Value {
    json!({"customerEmail": email, "productType": product, "country": country,
        "paymentScenario": scenario})
}

/// A small house of orders, all final and indexed; as `GET /orders/{id}` tells them, oldest first.
async fn orders(url: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for (email, product, country, scenario) in [
        ("ada@example.com", "Phone", "GB", "success"),
        ("bob.smith@example.org", "Big Phone", "US", "success"),
        ("eve@mallory.test", "Laptop", "DE", "declined"),
        ("ada@mallory.test", "Camera", "US", "success"),
        ("zoë@example.com", "Kaffeemühle", "DE", "declined"),
        ("ada@example.com", "Phone", "US", "declined"),
        ("carol@example.com", "Headphones", "JP", "success"),
    ] {
        let order = new_order(email, product, country, scenario);
        let id = place(url, &order).await.expect("201");
        let is_final = |_: u16, order: &Value| {
            ["PaymentFailed", "FulfillmentScheduled"].iter().any(|end| order["status"] == *end)
        };
        all.push(until(&format!("{url}/orders/{id}"), "its end", is_final).await);
    }
    let found = |_: u16, body: &Value| {
        let open = body["facets"]["status"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|count| count["value"] == "Created" || count["value"] == "PaymentAuthorized");
        body["total"] == all.len() && !open && body["lagSeconds"] == 0.0
    };
    until(&format!("{url}/orders/search"), "all orders", found).await;
    all
}

fn text<'a>(order: &'a Value, member: &str) -> &'a str {
    order[member].as_str().expect("a string")
}

fn ids<'a>(orders: impl IntoIterator<Item = &'a Value>) -> Vec<&'a str> {
    orders.into_iter().map(|order| text(order, "id")).collect()
}

async fn each_filter_finds_exactly_the_orders_it_describes(system: System) {
    let server = system.start();
    let url = &server.url;
    let all = orders(url).await;
    let at = |nth: usize, member: &str| text(&all[nth], member).to_owned();
    let cases: Vec<(String, Vec<usize>)> = [
        (format!("q={}", at(2, "id")), vec![2]),
        ("q=ada".to_owned(), vec![0, 3, 5]),
        ("q=ada%20mallory".to_owned(), vec![3]),
        ("q=ADA@EXAMPLE.COM".to_owned(), vec![0, 5]),
        ("q=smith".to_owned(), vec![1]),
        ("q=phone".to_owned(), vec![0, 1, 5]),
        ("q=head".to_owned(), vec![6]),
        ("q=kaffeem%C3%BChle".to_owned(), vec![4]),
        ("q=nowhere".to_owned(), vec![]),
        ("status=PaymentFailed".to_owned(), vec![2, 4, 5]),
        ("status=FulfillmentScheduled".to_owned(), vec![0, 1, 3, 6]),
        ("status=Created".to_owned(), vec![]),
        ("country=de".to_owned(), vec![2, 4]),
        ("productType=phone".to_owned(), vec![0, 5]),
        ("productType=Big%20Phone".to_owned(), vec![1]),
        (format!("createdAfter={}", at(4, "createdAt")), vec![4, 5, 6]),
        (format!("createdBefore={}", at(2, "createdAt")), vec![0, 1]),
        (
            format!("createdAfter={}&createdBefore={}", at(1, "createdAt"), at(3, "createdAt")),
            vec![1, 2],
        ),
        ("q=ada&status=PaymentFailed&country=US&productType=Phone".to_owned(), vec![5]),
        ("q=ada&country=JP".to_owned(), vec![]),
        ("country=jp&country=DE".to_owned(), vec![2, 4, 6]),
        ("status=Created&status=PaymentFailed&country=DE&country=US".to_owned(), vec![2, 4, 5]),
        ("productType=camera&q=ada&productType=PHONE".to_owned(), vec![0, 3, 5]),
    ]
    .into();
    for (query, expected) in cases {
        let (status, page) = get(&format!("{url}/orders/search?sort=createdAt&{query}")).await;
        assert_eq!(status, 200, "{query}: {page}");
        let expected: Vec<&str> = expected.iter().map(|nth| text(&all[*nth], "id")).collect();
        assert_eq!(ids(page["orders"].as_array().expect("orders")), expected, "{query}");
        assert_eq!(page["total"], expected.len(), "{query}");
    }
    let typed = "order search --country JP --country de --sort createdAt --json";
    let typed: Vec<&str> = typed.split(' ').collect();
    let found = crate::system::json(&system.ofs(Some(url), &typed));
    let expected = [at(2, "id"), at(4, "id"), at(6, "id")];
    assert_eq!(ids(found["orders"].as_array().expect("orders")), expected);
}

async fn pages_in_each_sort_hold_every_order_once_and_facets_count_all_of_them(system: System) {
    let server = system.start();
    let url = &server.url;
    let all = orders(url).await;
    for (sort, member, newest_first) in [
        ("createdAt", "createdAt", false),
        ("-createdAt", "createdAt", true),
        ("updatedAt", "updatedAt", false),
        ("-updatedAt", "updatedAt", true),
    ] {
        let mut expected: Vec<&Value> = all.iter().collect();
        expected.sort_by_key(|order| text(order, member));
        if newest_first {
            expected.reverse();
        }
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let query = format!("sort={sort}&limit=3{cursor}");
            let (_, page) = get(&format!("{url}/orders/search?{query}")).await;
            assert_eq!(page["total"], all.len());
            found.extend(page["orders"].as_array().expect("orders").iter().cloned());
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(ids(&found), ids(expected), "{sort}");
    }
    let (_, page) = get(&format!("{url}/orders/search?limit=1")).await;
    let status = json!([{"value": "FulfillmentScheduled", "count": 4},
        {"value": "PaymentFailed", "count": 3}]);
    assert_eq!(page["facets"]["status"], status);
    let country = &page["facets"]["country"];
    assert_eq!(country[0], json!({"value": "US", "count": 3}));
    assert_eq!(country[1], json!({"value": "DE", "count": 2}));
    assert_eq!(country.as_array().map(Vec::len), Some(4));
    let (_, page) = get(&format!("{url}/orders/search?country=US&limit=1")).await;
    assert_eq!(page["facets"]["country"], json!([{"value": "US", "count": 3}]));
    let (_, page) = get(&format!("{url}/orders/search?limit=3")).await;
    let cursor = text(&page, "nextCursor");
    let (status, problem) = get(&format!("{url}/orders/search?country=US&cursor={cursor}")).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("cursor")));
}

async fn a_found_order_says_what_the_order_itself_says(system: System) {
    let server = system.start();
    let all = orders(&server.url).await;
    let found = search_all(&server.url, "sort=createdAt&").await;
    for (found, order) in found.iter().zip(&all) {
        for member in
            "id customerEmail productType country status createdAt correlationId".split(' ')
        {
            assert_eq!(found[member], order[member], "{member}");
        }
        let timeline = found["timeline"].as_array().expect("a timeline");
        let times = |entry: &Value| text(entry, "occurredAt").to_owned();
        assert_eq!(timeline.iter().map(times).max().as_deref(), found["updatedAt"].as_str());
        let known = of_the_contract(&found["timeline"]).into_iter().map(times);
        assert_eq!(known.max().as_deref(), order["updatedAt"].as_str());
        let id = text(order, "id");
        let (_, told) = get(&format!("{}/orders/{id}/timeline", server.url)).await;
        assert_eq!(told["events"].as_array(), Some(timeline));
    }
}

/// Whatever is not found yet is still on its way, or happened after `asOf`: that is the promise.
/// Answers with how often something was not found.
async fn assert_promises_hold(url: &str, rounds: usize) -> usize {
    let client = http();
    let mut behind = 0;
    for nth in 0..rounds {
        let order = new_order(&format!("c{nth}@example.com"), "Phone", "US", "success");
        let answer = client.post(format!("{url}/orders")).json(&order).send().await.expect("201");
        let placed: Value = answer.json().await.expect("json");
        let answered = ofs_runtime::context::Context::new("test").now();
        let id = text(&placed, "id").to_owned();
        loop {
            let asked = client.get(format!("{url}/orders/search?q={id}")).send();
            let page: Value = asked.await.expect("200").json().await.expect("json");
            let as_of: ofs_events::Timestamp = text(&page, "asOf").parse().expect("a time");
            let lag = page["lagSeconds"].as_f64().expect("a number");
            assert!(lag >= 0.0, "{page}");
            if page["total"] == 1 {
                break;
            }
            let told = lag > 0.0 || as_of <= answered;
            assert!(told, "{id} was accepted before {as_of} and is not found: {page}");
            behind += 1;
        }
    }
    behind
}

async fn search_never_claims_to_know_what_it_cannot_find(system: System) {
    let slow = [("OFS_SEARCH_COMMIT_INTERVAL", "500ms")];
    let server = system.start_with(&[], &slow);
    let search = format!("{}/orders/search", server.url);
    until(&search, "an index", |status, _| status == 200).await;
    let behind = assert_promises_hold(&server.url, 8).await;
    assert!(behind > 0, "search was never behind");
    until(&search, "it catches up", |_, body| body["lagSeconds"] == 0.0).await;
}

async fn what_waited_on_its_way_is_found_before_search_claims_to_know_it(system: System) {
    let mut alone = system.start_with(&["--service", "order-service"], &[]);
    let ids = place_all(&alone.url, &["success"; 40]).await;
    let (_, last) = get(&format!("{}/orders/{}", alone.url, ids[39])).await;
    let last: ofs_events::Timestamp = text(&last, "createdAt").parse().expect("a time");
    // What waits may be taken for newer by as long as its commit took.
    let (commit, wait) = (3, Duration::from_secs(5));
    let latest = last.plus_seconds(commit);
    assert_eq!(alone.stop(), Some(0));
    tokio::time::sleep(wait).await;
    let slow = [("OFS_SEARCH_COMMIT_INTERVAL", "500ms")];
    let server = system.start_with(&[], &slow);
    let behind = Cell::new(0);
    until(&format!("{}/orders/search?limit=1", server.url), "all orders", |_, page| {
        let found = page["total"] == ids.len();
        if let Some(as_of) = page["asOf"].as_str().filter(|_| !found) {
            behind.set(behind.get() + 1);
            assert!(as_of.parse::<ofs_events::Timestamp>().expect("a time") <= latest, "{page}");
        }
        found
    })
    .await;
    assert!(behind.get() > 0, "search was never behind");
}

async fn a_new_system_answers_searches_from_the_start(system: System) {
    let server = system.start();
    let (status, page) = get(&format!("{}/orders/search", server.url)).await;
    assert_eq!((status, &page["total"]), (200, &json!(0)), "{page}");
    assert!(page["asOf"].is_string(), "{page}");
    assert_eq!(get(&format!("{}/health/ready", server.url)).await.1["index"], "up");
}

on_every_set! {
    a_new_system_answers_searches_from_the_start,
    each_filter_finds_exactly_the_orders_it_describes,
    pages_in_each_sort_hold_every_order_once_and_facets_count_all_of_them,
    a_found_order_says_what_the_order_itself_says,
    search_never_claims_to_know_what_it_cannot_find,
    what_waited_on_its_way_is_found_before_search_claims_to_know_it,
}
