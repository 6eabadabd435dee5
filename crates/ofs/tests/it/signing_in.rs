//! Pages where keys are needed: the way in, what each key opens, and the way out.

use crate::doors::{REQUIRED, key, text};
use crate::server::{PATIENCE, Server, order};
use crate::system::{System, record};
use ofs_events::Topic;
use reqwest::header::{CACHE_CONTROL, COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Method, Response};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A browser that says which page it is at, and follows no redirect by itself.
async fn ask(
    server: &Server,
    method: Method,
    page: &str,
    cookie: &str,
    form: &[(&str, &str)],
) -> Response {
    let client = reqwest::Client::builder().no_proxy().tls_certs_only(Vec::new());
    let client = client.redirect(Policy::none()).build().expect("a client");
    let body = form.iter().map(|(name, value)| format!("{name}={value}"));
    let request = client.request(method, format!("{}{page}", server.url));
    let request = request.header("sec-fetch-site", "same-origin").header(COOKIE, cookie);
    let request = request.header("accept", "text/html");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    request.body(body.collect::<Vec<_>>().join("&")).send().await.expect("an answer")
}

async fn look(server: &Server, page: &str, cookie: &str) -> (u16, String) {
    let answer = ask(server, Method::GET, page, cookie, &[]).await;
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"].to_str().expect("a type").to_owned();
    assert!(kind.starts_with("text/html"), "{page}: {kind}");
    (status, answer.text().await.expect("a page"))
}

fn header(answer: &Response, name: reqwest::header::HeaderName) -> &str {
    answer.headers().get(name).expect("the header").to_str().expect("text")
}

#[tokio::test]
async fn a_page_leads_to_the_way_in_and_back() {
    let system = System::new();
    let all = key(&system, &["orders:read", "operate", "events:read", "pii"]);
    let server = system.start_with(&[], &[REQUIRED]);
    for (page, way_in) in [
        ("/ui/orders?status=Created", "sign-in?next=orders%3Fstatus%3DCreated"),
        ("/ui/orders/0198c0de-0000-7000-8000-000000000007", "../sign-in?next=orders%2F0198c0de"),
        ("/ui/parked", "sign-in?next=parked"),
        ("/ui/events", "sign-in?next=events"),
    ] {
        let answer = ask(&server, Method::GET, page, "", &[]).await;
        assert_eq!(answer.status(), 303, "{page}");
        assert!(header(&answer, LOCATION).starts_with(way_in), "{}", header(&answer, LOCATION));
    }
    let (status, page) = look(&server, "/ui/sign-in?next=pipeline", "").await;
    assert_eq!(status, 200);
    assert!(page.contains(r#"name="next" value="pipeline""#), "{page}");

    let wrong = [("key", "ofs_nothing"), ("next", "pipeline")];
    let answer = ask(&server, Method::POST, "/ui/sign-in", "", &wrong).await;
    assert_eq!(answer.status(), 401);
    assert!(answer.headers().get(SET_COOKIE).is_none());
    assert!(answer.text().await.expect("a page").contains("the key is unknown here"));

    for (next, location) in [
        ("pipeline", "pipeline"),
        ("orders%3Fstatus%3DCreated", "orders?status=Created"),
        ("https%3A%2F%2Felsewhere.example", "orders"),
        ("%2F%2Felsewhere.example", "orders"),
    ] {
        let form = [("key", text(&all)), ("next", next)];
        let answer = ask(&server, Method::POST, "/ui/sign-in", "", &form).await;
        assert_eq!((answer.status().as_u16(), header(&answer, LOCATION)), (303, location));
        let cookie = header(&answer, SET_COOKIE);
        assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        let cookie = cookie.split(';').next().expect("a cookie").to_owned();
        let (status, page) = look(&server, "/ui/orders", &cookie).await;
        assert_eq!(status, 200, "{page}");
    }
    let answer = ask(&server, Method::POST, "/ui/sign-out", "", &[]).await;
    assert!(header(&answer, SET_COOKIE).starts_with("ofs-key=; "), "the cookie is emptied");
    assert!(header(&answer, SET_COOKIE).ends_with("; Max-Age=0"));
}

#[tokio::test]
async fn a_key_opens_the_pages_of_its_scopes_alone() {
    let system = System::new();
    let cookie = |scopes: &[&str]| format!("ofs-key={}", text(&key(&system, scopes)));
    let (operate, reads) = (cookie(&["operate"]), cookie(&["orders:read", "pii"]));
    let without_pii = cookie(&["orders:read", "events:read", "operate"]);
    let places = cookie(&["orders:write"]);
    let server = system.start_with(&[], &[REQUIRED]);
    let placed = format!("{}/orders", server.url);
    let key = places.trim_start_matches("ofs-key=");
    let placed = crate::server::http().post(placed).bearer_auth(key).json(&order(None)).send();
    assert_eq!(placed.await.expect("an answer").status(), 201);
    for (cookie, page, status) in [
        (&operate, "/ui/pipeline", 200),
        (&operate, "/ui/index", 200),
        (&operate, "/ui/settings", 200),
        (&operate, "/ui/orders", 403),
        (&reads, "/ui/orders", 200),
        (&reads, "/ui/pipeline", 403),
        (&without_pii, "/ui/orders", 403),
        (&without_pii, "/ui/events", 403),
        (&without_pii, "/ui/parked", 403),
        (&without_pii, "/ui/settings", 200),
    ] {
        let (found, text) = look(&server, page, cookie).await;
        assert_eq!(found, status, "{page}: {text}");
        assert!(status == 200 || text.contains("this needs the scope"), "{page}: {text}");
    }
    let answer = ask(&server, Method::POST, "/ui/index/rebuild", &reads, &[]).await;
    assert_eq!(answer.status(), 403);
    let answer = ask(&server, Method::POST, "/ui/index/rebuild", &operate, &[]).await;
    assert_eq!((answer.status().as_u16(), header(&answer, LOCATION)), (303, "../index"));
}

/// The addresses that `page` links to, without what they begin with.
fn links(page: &str) -> Vec<String> {
    let hrefs = page.split(" href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let own = hrefs.map(|href| href.trim_start_matches("../").to_owned());
    own.filter(|href| !href.starts_with("assets/") && !href.starts_with('#')).collect()
}

#[tokio::test]
async fn what_a_key_does_not_open_is_not_shown() {
    let system = System::new();
    let order_id = "0198c0de-0000-7000-8000-000000000007";
    let broken = record(Topic::Orders, Some(order_id.as_bytes()), b"{\"eventId\": <oops>}");
    system.append(vec![broken]).await;
    let cookie = |scopes: &[&str]| format!("ofs-key={}", text(&key(&system, scopes)));
    let (operate, parked) = (cookie(&["operate"]), cookie(&["operate", "pii"]));
    let reads = cookie(&["orders:read", "pii"]);
    let all = cookie(&["operate", "pii", "orders:read", "events:read"]);
    let server = system.start_with(&[], &[REQUIRED]);
    for (cookie, page, shown) in [
        (&operate, "/ui/settings", &["pipeline", "index", "settings", "metrics"][..]),
        (&reads, "/ui/orders", &["orders"]),
        // A page that says no still leads to those that say yes.
        (&operate, "/ui/orders", &["pipeline", "index", "settings", "metrics"]),
        (&reads, "/ui/parked", &["orders"]),
    ] {
        let (_, html) = look(&server, page, cookie).await;
        let links = links(&html);
        for name in ["orders", "pipeline", "parked", "events", "index", "settings", "metrics"] {
            let is_there = links.iter().any(|link| link.split(['?', '/']).next() == Some(name));
            assert_eq!(is_there, shown.contains(&name), "{page}: {name} in {links:?}");
        }
    }
    let (_, html) = look(&server, "/ui/orders", &reads).await;
    assert!(!html.contains("data-topic"), "it would ask for events, which this key may not read");
    let one = until_shown(&server, "/ui/parked", &parked, "payment-worker · ").await;
    assert!(one.contains(order_id) && !one.contains("orders/0198"), "{one}");
    let (_, html) = look(&server, "/ui/parked", &all).await;
    assert!(html.contains(&format!("href=\"orders/{order_id}\"")), "{html}");
}

async fn until_shown(server: &Server, page: &str, cookie: &str, wanted: &str) -> String {
    let began = Instant::now();
    loop {
        let (_, html) = look(server, page, cookie).await;
        if html.contains(wanted) {
            return html;
        }
        assert!(began.elapsed() < PATIENCE, "{page} never says `{wanted}`: {html}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn signing_in_leads_to_a_page_that_the_key_opens() {
    let system = System::new();
    let (operate, writes) = (key(&system, &["operate"]), key(&system, &["orders:write"]));
    let server = system.start_with(&[], &[REQUIRED]);
    for (next, location) in [("orders", "pipeline"), ("index", "index"), ("", "pipeline")] {
        let form = [("key", text(&operate)), ("next", next)];
        let answer = ask(&server, Method::POST, "/ui/sign-in", "", &form).await;
        assert_eq!((answer.status().as_u16(), header(&answer, LOCATION)), (303, location));
    }
    let cookie = format!("ofs-key={}", text(&operate));
    for (front, cookie, page) in
        [("/", &*cookie, "ui/pipeline"), ("/ui", &*cookie, "ui/pipeline"), ("/", "", "ui/orders")]
    {
        let answer = ask(&server, Method::GET, front, cookie, &[]).await;
        assert_eq!((answer.status().as_u16(), header(&answer, LOCATION)), (307, page), "{front}");
    }
    let answer = ask(&server, Method::POST, "/ui/sign-in", "", &[("key", text(&writes))]).await;
    assert_eq!(answer.status(), 401);
    let page = answer.text().await.expect("a page");
    assert!(page.contains("this key opens no page"), "{page}");
}

#[tokio::test]
async fn keys_are_made_shown_once_and_revoked_by_those_who_may() {
    let system = System::new();
    let cookie = |scopes: &[&str]| format!("ofs-key={}", text(&key(&system, scopes)));
    let (admin, operate) = (cookie(&["admin"]), cookie(&["operate"]));
    let server = system.start_with(&[], &[REQUIRED]);
    let new = [("name", "web+shop"), ("scope", "orders%3Aread"), ("scope", "orders%3Awrite")];
    let until = [("expires", "2999-01-31")];
    let whole: Vec<_> = new.iter().chain(&until).copied().collect();
    for (method, page) in [(Method::GET, "/ui/keys"), (Method::POST, "/ui/keys")] {
        let answer = ask(&server, method, page, &operate, &whole).await;
        assert_eq!(answer.status(), 403, "{page}");
    }
    let (status, page) = look(&server, "/ui/keys", &admin).await;
    assert_eq!(status, 200, "{page}");
    for (form, wrong) in [
        (&[("name", "x"), ("scope", "everything")][..], "must be one of"),
        (&[("name", "x")], "must name at least one scope"),
        (&[("scope", "operate")], "must have 1 to 100 characters"),
        (&[("name", "x"), ("scope", "operate"), ("expires", "soon")], "must be a date"),
        (&[("name", "x"), ("scope", "operate"), ("expires", "2001-01-31")], "in the future"),
    ] {
        let answer = ask(&server, Method::POST, "/ui/keys", &admin, form).await;
        assert_eq!(answer.status(), 400, "{form:?}");
        let page = answer.text().await.expect("a page");
        assert!(page.contains(wrong), "{form:?}: {page}");
    }
    let answer = ask(&server, Method::POST, "/ui/keys", &admin, &whole).await;
    assert_eq!((answer.status().as_u16(), header(&answer, CACHE_CONTROL)), (200, "no-store"));
    let page = answer.text().await.expect("a page");
    let (_, made) = page.split_once("<code>ofs_").expect("the key");
    let made = format!("ofs_{}", made.split('<').next().expect("the key"));
    let (_, again) = look(&server, "/ui/keys", &admin).await;
    assert!(again.contains("web shop") && !again.contains(&made), "{again}");
    assert!(again.contains("2999-01-31") && again.contains("orders:read orders:write"), "{again}");
    let orders = format!("{}/orders", server.url);
    let place = async || {
        let sent = crate::server::http().post(&orders).bearer_auth(&made).json(&order(None)).send();
        sent.await.expect("an answer").status().as_u16()
    };
    assert_eq!(place().await, 201);
    let read = async |path: &str| {
        let bearer = admin.trim_start_matches("ofs-key=");
        let sent = crate::server::http().get(format!("{}{path}", server.url)).bearer_auth(bearer);
        sent.send().await.expect("an answer").json::<Value>().await.expect("JSON")
    };
    let keys = read("/keys").await;
    let shop = keys["keys"].as_array().expect("keys").iter().find(|key| key["name"] == "web shop");
    let revoke = format!("/ui/keys/{}/revoke", shop.expect("a key")["id"].as_str().expect("an id"));
    assert!(again.contains(revoke.trim_start_matches("/ui/")), "{again}");
    assert_eq!(ask(&server, Method::POST, &revoke, &operate, &[]).await.status(), 403);
    let answer = ask(&server, Method::POST, &revoke, &admin, &[]).await;
    assert_eq!((answer.status().as_u16(), header(&answer, LOCATION)), (303, "../../keys"));
    assert_eq!(place().await, 401);
    let (_, page) = look(&server, "/ui/keys", &admin).await;
    assert!(page.contains("Revoked"), "{page}");
    let trail = read("/audit?limit=200").await.to_string();
    for what in ["key.create", "key.revoke", "(web shop)"] {
        assert!(trail.contains(what), "{trail}");
    }
}
