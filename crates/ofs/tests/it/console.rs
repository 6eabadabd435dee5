//! The console, as a person without script uses it: by reading, by links, by forms.

use crate::browser::{until_page, visit};
use crate::server::{get, http, order, place, place_all, until, until_status};
use crate::system::{System, record};
use ofs_events::Topic;
use serde_json::{Value, json};

const PAGES: [&str; 10] = [
    "/",
    "/ui/orders",
    "/ui/orders?view=attention",
    "/ui/orders?status=Created&status=PaymentAuthorized",
    "/ui/pipeline",
    "/ui/parked",
    "/ui/events",
    "/ui/index",
    "/ui/settings",
    "/ui/keys",
];

on_every_set! {
    the_first_order_is_seen_and_followed_to_its_end,
    an_order_is_found_by_whatever_somebody_has_of_it,
    a_parked_event_is_found_understood_and_given_up,
    a_service_that_does_not_run_is_explained,
    the_log_and_the_index_can_be_looked_at,
    what_an_event_changed_and_what_caused_it_is_shown,
    how_long_orders_take_is_told_of_those_that_ended_last,
}

async fn the_first_order_is_seen_and_followed_to_its_end(system: System) {
    let server = system.start();
    let empty = until_page(&format!("{}/", server.url), "No orders yet").await;
    assert!(empty.text().contains("ofs order create"), "{}", empty.text());
    let id = place(&server.url, &order(Some("success"))).await.expect("201");
    let list = until_page(&format!("{}/", server.url), "user@example.com Phone US").await;
    assert!(list.text().contains("user@example.com Phone US"), "{}", list.text());
    let page = list.click(&id).await;
    assert_eq!(page.url.path(), format!("/ui/orders/{id}"));
    // Store, log and index agree after each step, not only after the last.
    until_status(&server.url, &id, "FulfillmentScheduled").await;
    let done = until_page(page.url.as_str(), "All three say the same").await;
    let text = done.text();
    for step in ["OrderCreatedV1", "PaymentAuthorizedV1", "FulfillmentScheduledV1"] {
        assert!(text.contains(step), "{text}");
    }
    assert!(text.contains("Scheduled, to arrive by"), "{text}");
    assert!(text.contains("orders.events.v1/"), "{text}");
    assert!(text.contains("customerEmail user@example.com"), "{text}");
    let back = done.click("Orders").await;
    assert!(back.text().contains("1 order"), "{}", back.text());
}

async fn an_order_is_found_by_whatever_somebody_has_of_it(system: System) {
    let server = system.start();
    let id = place(&server.url, &order(Some("success"))).await.expect("201");
    place(&server.url, &order(Some("no"))).await.expect("201");
    until_status(&server.url, &id, "FulfillmentScheduled").await;
    let search = format!("{}/orders/search?q={id}", server.url);
    let found =
        until(&search, "its end", |_, page| page["orders"][0]["status"] == "FulfillmentScheduled")
            .await;
    let found = &found["orders"][0];
    let orders = visit(&format!("{}/ui/orders", server.url)).await;
    let whole = [&found["id"], &found["correlationId"], &found["timeline"][2]["eventId"]];
    for known in whole.map(|id| id.as_str().expect("an id")) {
        let page = orders.press("Search", &[("q", known)]).await;
        assert_eq!(page.url.path(), format!("/ui/orders/{id}"), "{known}");
    }
    // Ids of the same moment share their first digits.
    for known in [&id[..30], &id[..4], "user@example.com", "phone"] {
        let page = orders.press("Search", &[("q", known)]).await;
        assert!(page.text().contains(&id), "{known}: {}", page.text());
    }
    let failed = until_page(orders.url.as_str(), "Payment failed 1").await;
    let failed = failed.click("Payment failed 1").await;
    assert!(failed.text().contains("1 order") && !failed.text().contains(&id));
    let none = orders.press("Search", &[("q", "nothing-like-this")]).await;
    assert!(none.text().contains("No order matches"), "{}", none.text());
}

#[tokio::test]
async fn every_page_is_small_and_keeps_browsers_safe() {
    let system = System::new();
    let server = system.start();
    let placed = place_all(&server.url, &["success"; 60]).await;
    let all = format!("{}/orders/search", server.url);
    until(&all, "all are found", |_, page| page["total"] == 60).await;
    let order = format!("/ui/orders/{}", placed[0]);
    let missing = "/ui/orders/0198c0de-0000-7000-8000-000000000001";
    for path in PAGES.iter().copied().chain([order.as_str(), missing, "/ui/orders?limit=0"]) {
        let page = visit(&format!("{}{path}", server.url)).await;
        let said = |name: &str| page.headers[name].to_str().expect("text").to_owned();
        assert!(page.html.len() <= 100_000, "{path} has {} bytes", page.html.len());
        assert!(said("content-type").starts_with("text/html"), "{path}");
        let policy = said("content-security-policy");
        for rule in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(said("x-content-type-options"), "nosniff", "{path}");
        for inline in ["style=\"", "onclick=", "<style", "<script>"] {
            assert!(!page.html.contains(inline), "{path} has {inline}");
        }
        assert!(
            !page.html.contains("http:")
                || path.starts_with("/ui/orders/")
                || !page.html.contains("src=\"http"),
            "{path}"
        );
    }
    for (path, status) in [(missing, 404), ("/ui/orders?limit=0", 400), ("/ui/orders?view=x", 400)]
    {
        let page = visit(&format!("{}{path}", server.url)).await;
        assert_eq!(page.status, status, "{path}");
        assert!(page.text().contains(&status.to_string()), "{path}: {}", page.text());
    }
}

#[tokio::test]
async fn files_are_named_by_what_they_hold_and_kept_for_ever() {
    let system = System::new();
    let server = system.start();
    let page = visit(&format!("{}/ui/orders", server.url)).await;
    let names: Vec<_> =
        page.html.split("assets/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(names.len() >= 3, "{names:?}");
    for name in names {
        let url = page.url.join(&format!("assets/{name}")).expect("a URL");
        let file = http().get(url).send().await.expect("an answer");
        assert_eq!(file.status(), 200, "{name}");
        let kept = file.headers()["cache-control"].to_str().expect("text");
        assert!(kept.contains("immutable"), "{kept}");
    }
    let gone = http().get(page.url.join("assets/console-0.css").expect("a URL"));
    assert_eq!(gone.send().await.expect("an answer").status(), 404);
}

#[tokio::test]
async fn what_comes_from_outside_is_shown_as_text() {
    let system = System::new();
    let server = system.start();
    let hostile = "<script>alert(1)</script>\"'&";
    let new = json!({"customerEmail": "\"<img src=x>\"@example.com", "productType": hostile,
        "country": "US", "paymentScenario": hostile});
    let id = place(&server.url, &new).await.expect("201");
    until_status(&server.url, &id, "PaymentFailed").await;
    let list = until_page(&format!("{}/ui/orders?q=%3Cscript%3E", server.url), &id).await;
    let order =
        until_page(&format!("{}/ui/orders/{id}", server.url), "All three say the same").await;
    for page in [list, order] {
        assert!(page.text().contains(hostile), "{}", page.text());
        assert!(!page.html.contains("<script>alert") && !page.html.contains("<img src=x"));
    }
}

#[tokio::test]
async fn an_export_holds_every_order_that_the_filters_choose() {
    let system = System::new();
    let server = system.start();
    let mut expected = place_all(&server.url, &["success"; 230]).await;
    place_all(&server.url, &["no"; 3]).await;
    let all = format!("{}/orders/search?status=FulfillmentScheduled", server.url);
    until(&all, "all are found", |_, page| page["total"] == 230).await;
    let page = visit(&format!("{}/ui/orders?status=FulfillmentScheduled", server.url)).await;
    let csv = http().get(page.link("CSV")).send().await.expect("an answer");
    assert!(
        csv.headers()["content-disposition"].to_str().is_ok_and(|as_| as_.contains("orders.csv"))
    );
    let csv = csv.text().await.expect("text");
    let mut rows = csv.split("\r\n").filter(|row| !row.is_empty());
    assert!(rows.next().is_some_and(|head| head.starts_with("id,createdAt,")));
    let mut found: Vec<String> = rows.map(|row| row[..36].to_owned()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let lines = http().get(page.link("NDJSON")).send().await.expect("an answer");
    let lines = lines.text().await.expect("text");
    let orders = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut found: Vec<String> =
        orders.map(|order| order["id"].as_str().expect("an id").to_owned()).collect();
    found.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn an_order_that_waits_is_explained_alike_by_page_api_and_command() {
    let system = System::new();
    let server = system.start();
    let id = place(&server.url, &order(Some("sim:timeout:9"))).await.expect("201");
    let url = format!("{}/orders/{id}/explain", server.url);
    let told = until(&url, "parked", |_, told| {
        told["blockedBy"][0]["detail"].as_str().is_some_and(|why| why.contains("could not handle"))
    })
    .await;
    assert_eq!(told["nextService"], "payment-worker");
    assert_eq!(told["waitsFor"], json!(["PaymentAuthorizedV1", "PaymentFailedV1"]));
    let reason = told["blockedBy"][0]["detail"].as_str().expect("a reason");
    assert!(reason.contains("payment-worker could not handle OrderCreatedV1"), "{reason}");
    let page = until_page(&format!("{}/ui/orders/{id}", server.url), "OrderCreatedV1 parked").await;
    assert!(page.text().contains("payment-worker could not handle OrderCreatedV1"));
    let said = system.ofs(Some(&server.url), &["order", "explain", &id]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("payment-worker could not handle OrderCreatedV1"), "{said}");
    let list = until_page(&format!("{}/ui/orders?view=attention", server.url), &id).await;
    assert!(list.text().contains("parked at payment-worker"), "{}", list.text());
    let (status, _) =
        get(&format!("{}/orders/0198c0de-0000-7000-8000-000000000001/explain", server.url)).await;
    assert_eq!(status, 404);
}

async fn a_parked_event_is_found_understood_and_given_up(system: System) {
    let order_id = "0198c0de-0000-7000-8000-000000000007";
    let broken = b"{\"eventId\": <oops>}";
    system.append(vec![record(Topic::Orders, Some(order_id.as_bytes()), broken)]).await;
    let server = system.start();
    let parked = format!("{}/ui/parked", server.url);
    let list = until_page(&parked, "payment-worker · ").await;
    assert!(list.text().contains("Open, by cause"), "{}", list.text());
    let list = visit(&format!("{parked}?service=payment-worker")).await;
    let (status, page) = get(&format!("{}/parked?service=payment-worker", server.url)).await;
    assert_eq!(status, 200, "{page}");
    let id = page["parked"][0]["id"].to_string();
    let event = list.click(&id).await;
    let text = event.text();
    assert!(text.contains("Where parsing stopped {\"eventId\": < oops>}"), "{text}");
    assert!(text.contains(order_id), "{text}");
    let again = event.press("Retry", &[]).await;
    assert!(again.text().contains("It failed again"), "{}", again.text());
    let refused = again.press("Discard", &[("reason", " ")]).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    let gone = again.press("Discard", &[("reason", "written by hand")]).await;
    assert!(gone.text().contains("It was discarded"), "{}", gone.text());
    let list = visit(&format!("{parked}?service=payment-worker")).await;
    assert!(list.text().contains("Nothing is parked here"), "{}", list.text());
    let closed = list.click("Discarded").await;
    assert!(closed.text().contains(order_id), "{}", closed.text());
    // What the indexer has parked of it is discarded by its filter, counted by the operator.
    let list = format!("{parked}?service=search-indexer-worker");
    let list = until_page(&list, "Waits for an operator").await;
    let wrong = list.press("Discard all that match", &[("why", "by hand"), ("count", "7")]).await;
    assert_eq!(wrong.status, 409, "{}", wrong.text());
    let done = list.press("Discard all that match", &[("why", "by hand"), ("count", "1")]).await;
    let done = until_page(done.url.as_str(), "1 event discarded").await;
    assert!(done.text().contains("Discard of 1 event (service search-indexer-worker) is done"));
    assert!(done.text().contains("by anyone: by hand"), "{}", done.text());
}

#[tokio::test]
async fn a_parked_event_is_retried_until_it_is_gone() {
    let system = System::new();
    let server = system.start_with(&[], &[("OFS_PAYMENT_GATEWAY_TIMEOUT", "50ms")]);
    let id = place(&server.url, &order(Some("sim:timeout:2"))).await.expect("201");
    let list = until_page(&format!("{}/ui/parked", server.url), &id).await;
    assert!(list.text().contains("Retried automatically"), "{}", list.text());
    let why = [("why", "the gateway is back")];
    let order = format!("{}/orders/{id}", server.url);
    while get(&order).await.1["status"] != "FulfillmentScheduled" {
        // Refused while the job before goes on.
        let page = list.press("Retry all that match", &why).await;
        assert!([200, 409].contains(&page.status), "{}", page.text());
    }
    let list = until_page(&format!("{}/ui/parked", server.url), "Nothing is parked here").await;
    assert!(list.click("Resolved").await.text().contains(&id));
}

async fn a_service_that_does_not_run_is_explained(system: System) {
    let server = system.start_with(&["--service", "order-service"], &[]);
    let id = place(&server.url, &order(Some("success"))).await.expect("201");
    let pipeline = format!("{}/ui/pipeline", server.url);
    let page =
        until_page(&pipeline, "payment-worker is behind: it has 1 event of orders.events.v1").await;
    let text = page.text();
    assert!(text.contains("It does not run in this process") && text.contains("ofs run"), "{text}");
    let page = until_page(&format!("{}/ui/orders/{id}", server.url), "has not read").await;
    let text = page.text();
    assert!(text.contains("payment-worker has not read OrderCreatedV1"), "{text}");
    assert!(text.contains("Waits for payment-worker to answer OrderCreatedV1"), "{text}");
    assert!(text.contains("to come PaymentAuthorizedV1 or PaymentFailedV1"), "{text}");
}

async fn the_log_and_the_index_can_be_looked_at(system: System) {
    let server = system.start();
    let id = place(&server.url, &order(Some("no"))).await.expect("201");
    until_status(&server.url, &id, "PaymentFailed").await;
    let found = format!("{}/orders/search?status=PaymentFailed", server.url);
    until(&found, "it is found", |_, page| page["total"] == 1).await;
    let events = visit(&format!("{}/ui/events", server.url)).await;
    assert!(events.text().contains("Card declined (demo)"), "{}", events.text());
    let failed = events.click("PaymentFailedV1").await;
    assert!(failed.text().contains("Card declined (demo)"), "{}", failed.text());
    assert!(!failed.text().contains("customerEmail"), "{}", failed.text());
    let order = failed.press("Show", &[("order", "0198c0de-0000-7000-8000-000000000001")]).await;
    assert!(order.text().contains("No events here"), "{}", order.text());
    let wrong = failed.press("Show", &[("from", "somewhere")]).await;
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    let index = visit(&format!("{}/ui/index", server.url)).await;
    index.press("Compare now", &[]).await;
    until_page(&format!("{}/ui/index", server.url), "All 1 orders agree").await;
    let built = index.press("Rebuild", &[]).await;
    assert_eq!(built.url.path(), "/ui/index");
    let settings = visit(&format!("{}/ui/settings", server.url)).await;
    let text = settings.text();
    assert!(text.contains("listen 127.0.0.1:0 flag --listen"), "{text}");
    assert!(!text.contains(":ofs@"), "a password is shown: {text}");
}

async fn what_an_event_changed_and_what_caused_it_is_shown(system: System) {
    let server = system.start();
    let paid = place(&server.url, &order(Some("success"))).await.expect("201");
    let failed = place(&server.url, &order(Some("no"))).await.expect("201");
    let shown = async |id: &str| {
        until_page(&format!("{}/ui/orders/{id}", server.url), "All three say the same").await
    };
    let (page, text) = (shown(&paid).await, shown(&paid).await.text());
    for said in [
        "status – Created",
        "customerEmail – user@example.com",
        "status Created PaymentAuthorized",
        "status PaymentAuthorized FulfillmentScheduled",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let (_, scheduled) = text.split_once("status PaymentAuthorized").expect("the last change");
    assert!(!scheduled.contains("customerEmail –"), "it did not change again: {scheduled}");
    let eta = get(&format!("{}/orders/{paid}", server.url)).await.1["etaUtc"].clone();
    assert!(text.contains(&format!("etaUtc – {}", eta.as_str().expect("a time"))), "{text}");
    let text = shown(&failed).await.text();
    assert!(text.contains("failureReason – Card declined (demo)"), "{text}");

    let (_, drawn) = page.html.split_once("<svg width=").expect("the graph");
    let (drawn, listed) = drawn.split_once("</svg>").expect("the graph");
    let (listed, _) = listed.split_once("</section>").expect("the list");
    let chain = ["POST /orders", "OrderCreatedV1", "PaymentAuthorizedV1", "FulfillmentScheduledV1"];
    for part in [drawn, listed] {
        let places: Vec<_> = chain.iter().map(|name| part.find(&format!(">{name}"))).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}: {part}");
    }
    let edges = drawn.matches("class=\"edge\"").count();
    assert!(edges >= 3, "{drawn}");
    assert_eq!(drawn.matches("class=\"delay\"").count(), edges, "one on every edge: {drawn}");
    assert_eq!(listed.matches("after its cause").count(), edges, "{listed}");
    assert_eq!(listed.matches("<ul").count(), 4, "each stands below its cause: {listed}");
}

async fn how_long_orders_take_is_told_of_those_that_ended_last(system: System) {
    let server = system.start();
    let page = until_page(&format!("{}/ui/pipeline", server.url), "How long orders take").await;
    assert!(page.text().contains("No order has ended yet"), "{}", page.text());
    place_all(&server.url, &["success", "success", "no"]).await;
    place(&server.url, &order(Some("sim:slow:700ms"))).await.expect("201");
    let times = format!("{}/pipeline/times", server.url);
    let times = until(&times, "all four", |_, told| told["orders"] == 4).await;
    let states = times["states"].as_array().expect("states");
    let told = states.iter().map(|state| (state["status"].as_str(), state["orders"].as_u64()));
    let expected = [(Some("Created"), Some(4)), (Some("PaymentAuthorized"), Some(3))];
    assert_eq!(told.collect::<Vec<_>>(), expected, "{times}");
    let slowest = states[0]["seconds"]["p99"].as_f64().expect("seconds");
    let half = states[0]["seconds"]["p50"].as_f64().expect("seconds");
    assert!((0.6..30.0).contains(&slowest) && half < slowest, "{times}");
    assert!(times["whole"]["p99"].as_f64().is_some_and(|whole| whole >= slowest), "{times}");
    let bars = times["histogram"].as_array().expect("bars").iter();
    assert_eq!(bars.map(|bar| bar["orders"].as_u64().expect("a count")).sum::<u64>(), 4);
    let page = until_page(&format!("{}/ui/pipeline", server.url), "of the 4 orders").await;
    let text = page.text();
    assert!(
        text.contains("Awaiting payment 4") && text.contains("awaiting fulfillment 3"),
        "{text}"
    );
    assert!(text.contains("From accepted to final 4"), "{text}");
}

#[tokio::test]
async fn pages_of_other_sites_can_send_no_form() {
    let system = System::new();
    let server = system.start();
    for path in ["/ui/parked/retry", "/ui/index/rebuild", "/ui/parked/1/discard"] {
        let sent =
            http().post(format!("{}{path}", server.url)).header("origin", "http://evil.example");
        assert_eq!(sent.send().await.expect("an answer").status(), 403, "{path}");
    }
}
