//! Pages where keys are needed: the way in, what each key opens, and the way out.

use crate::doors::{REQUIRED, key, text};
use crate::server::{Server, order};
use crate::system::System;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Method, Response};

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
