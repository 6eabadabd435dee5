//! Whatever is refused is refused in words: a problem that says what to do.

use crate::server::{Server, http, order};
use crate::system::System;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Status and slug of a refusal, which must be a whole problem.
async fn refusal(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let id = answer.headers()["x-request-id"].to_str().expect("text").to_owned();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = answer.json().await.expect("a problem");
    (status, whole(&problem, status, &id))
}

fn whole(problem: &Value, status: u16, id: &str) -> String {
    assert_eq!(problem["status"], status, "{problem}");
    assert_eq!(problem["requestId"], id, "{problem}");
    for member in ["title", "detail"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
    let uri = problem["type"].as_str().expect("a type");
    uri.strip_prefix("urn:ofs:problem:").expect("one of ours").to_owned()
}

#[tokio::test]
async fn a_body_that_cannot_be_taken_is_refused_in_words_and_nothing_is_stored() {
    let system = System::new();
    let server = system.start_with(&["--service", "order-service"], &[]);
    let with = |member: &str, value: Value| {
        let mut body = order(None);
        body[member] = value;
        body.to_string().into_bytes()
    };
    let json = "application/json";
    /// Content type, body, the status and type of the refusal, and what it says.
    type Case = (&'static str, Vec<u8>, (u16, &'static str), &'static str);
    let cases: Vec<Case> = vec![
        (json, b"{".to_vec(), (400, "malformed-json"), "line 1"),
        (json, b"".to_vec(), (400, "malformed-json"), ""),
        (json, b"{\"customerEmail\":\"\xff\xfe\"}".to_vec(), (400, "malformed-json"), ""),
        (json, b"[]".to_vec(), (400, "invalid-request"), "object"),
        (json, "[".repeat(60_000).into_bytes(), (400, "malformed-json"), ""),
        (json, with("vip", json!(1)), (400, "invalid-request"), "/vip"),
        (json, with("customerEmail", json!(7)), (400, "invalid-request"), "/customerEmail"),
        (json, with("customerEmail", json!(" ")), (400, "invalid-request"), "/customerEmail"),
        (json, with("customerEmail", json!("x".repeat(321))), (400, "invalid-request"), "320"),
        (json, with("productType", json!("a\0b")), (400, "invalid-request"), "U+0000"),
        (json, with("productType", json!(null)), (400, "invalid-request"), "/productType"),
        (json, with("country", json!("USA")), (400, "invalid-request"), "/country"),
        ("text/plain", with("vip", json!(1)), (415, "wrong-content-type"), "application/json"),
        ("application/json; charset=latin1", b"{}".to_vec(), (415, "wrong-content-type"), "UTF-8"),
        (json, vec![b'x'; 70_000], (413, "body-too-large"), "65536"),
        (json, vec![b'x'; 5_000_000], (413, "body-too-large"), "65536"),
    ];
    for (kind, body, expected, said) in cases {
        let request = http().post(format!("{}/orders", server.url)).header("Content-Type", kind);
        let answer = request.body(body).send().await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let status = answer.status().as_u16();
        let problem: Value = answer.json().await.expect("a problem");
        assert!(problem.to_string().contains(said), "{problem} should say {said}");
        let id = problem["requestId"].as_str().expect("an id");
        assert_eq!((status, whole(&problem, status, id).as_str()), expected);
    }
    let told = crate::server::events(&server.url, "orders.events.v1").await;
    assert!(told.is_empty(), "{told:?}");
}

#[tokio::test]
async fn a_request_to_the_wrong_place_or_with_wrong_parameters_is_refused_in_words() {
    let system = System::new();
    let server = system.start();
    let unknown = "0198c0de-0000-7000-8000-000000000001";
    for (method, path, status, slug) in [
        ("GET", "/nowhere".to_owned(), 404, "unknown-route"),
        ("GET", "/orders/".to_owned(), 404, "unknown-route"),
        ("PUT", "/orders".to_owned(), 405, "method-not-allowed"),
        ("DELETE", format!("/orders/{unknown}"), 405, "method-not-allowed"),
        ("BREW", "/parked".to_owned(), 405, "method-not-allowed"),
        ("GET", "/orders/7".to_owned(), 400, "invalid-path"),
        ("GET", "/orders/%FF".to_owned(), 400, "invalid-path"),
        ("GET", "/orders/%00/timeline".to_owned(), 400, "invalid-path"),
        ("GET", format!("/orders/{unknown}"), 404, "unknown-order"),
        ("GET", format!("/orders/{unknown}/timeline"), 404, "unknown-order"),
        ("GET", "/parked/-1".to_owned(), 400, "invalid-path"),
        ("GET", "/parked/99999999999999999999".to_owned(), 400, "invalid-path"),
        ("GET", "/parked/18446744073709551615".to_owned(), 404, "not-found"),
        ("POST", "/parked/18446744073709551615/retry".to_owned(), 404, "not-found"),
        ("GET", "/parked?cursor=18446744073709551615".to_owned(), 400, "invalid-query"),
        ("GET", "/parked?page=2".to_owned(), 400, "invalid-query"),
        ("GET", "/orders/search?limit=1&limit=2".to_owned(), 400, "invalid-query"),
        ("GET", "/orders/search?limit=201".to_owned(), 400, "invalid-query"),
        ("GET", "/orders/search?q=%FF".to_owned(), 400, "invalid-query"),
        ("GET", "/orders/search?q=%00".to_owned(), 400, "invalid-query"),
        ("GET", "/events?from=never".to_owned(), 400, "invalid-query"),
        ("GET", format!("/orders/{unknown}?vip=1"), 400, "invalid-query"),
        ("GET", format!("/orders/{unknown}/timeline?vip=1"), 400, "invalid-query"),
        ("POST", "/orders?vip=1".to_owned(), 400, "invalid-query"),
        ("POST", "/index/rebuild?now".to_owned(), 400, "invalid-query"),
        ("GET", "/pipeline?at=1".to_owned(), 400, "invalid-query"),
    ] {
        let method: Method = method.parse().expect("a method");
        let url = format!("{}{path}", server.url);
        let answer = http().request(method.clone(), url).send().await.expect("an answer");
        let allow = answer.headers().contains_key("allow");
        assert_eq!(refusal(answer).await, (status, slug.to_owned()), "{method} {path}");
        assert_eq!(allow, status == 405, "{method} {path}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_reads_nothing_and_changes_nothing() {
    let system = System::new();
    let server = system.start();
    for path in ["/index/rebuild", "/index/verify", "/parked/job", "/orders"] {
        for (name, value) in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
            let request = http().post(format!("{}{path}", server.url));
            let request = request.header(name, value).header("content-type", "text/plain");
            let answer = request.body("{}").send().await.expect("an answer");
            assert_eq!(refusal(answer).await, (403, "foreign-origin".to_owned()), "{path}");
        }
    }
    let rebound = http().get(format!("{}/orders/search", server.url));
    let answer = rebound.header("host", "rebound.example").send().await.expect("an answer");
    assert_eq!(refusal(answer).await, (421, "foreign-host".to_owned()));
    let own = http().post(format!("{}/index/verify", server.url)).header("origin", &server.url);
    assert_eq!(own.send().await.expect("an answer").status(), 200);
    drop(server);
    let named = system.start_with(&[], &[("OFS_HTTP_HOSTS", "ofs.example.com, other.example")]);
    let answer = http().get(format!("{}/pipeline", named.url)).header("host", "other.example:80");
    assert_eq!(answer.send().await.expect("an answer").status(), 200);
}

/// Sends bytes as they are; answers with status and body of what comes back.
fn raw(server: &Server, bytes: &[u8]) -> (u16, Value) {
    let address = server.url.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    // It may answer, and close, before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let head = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = head.split_once("\r\n\r\n") {
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
            let kind = "content-type: application/problem+json";
            assert!(head.contains(kind), "{head}");
            if let Ok(problem) = serde_json::from_str::<Value>(body) {
                let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: "));
                whole(&problem, status.expect("a status"), id.expect("a request id"));
                return (status.expect("a status"), problem);
            }
        }
        let read = stream.read(&mut chunk).expect("more of the answer");
        assert!(read > 0, "it ended early: {head}");
        answer.extend_from_slice(&chunk[..read]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_hardly_http_is_refused_in_words_too() {
    let system = System::new();
    let server = system.start_with(&["--service", "order-service"], &[]);
    let many: String = (0..200).map(|nth| format!("x-{nth}: y\r\n")).collect();
    let post = "POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let chunk = format!("{:x}\r\n{}\r\n", 40_000, "x".repeat(40_000));
    for (bytes, status, slug) in [
        (
            format!("GET /orders HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
            431,
            "headers-too-large",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nx: {}\r\n\r\n", "y".repeat(600_000)),
            431,
            "headers-too-large",
        ),
        (
            format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "y".repeat(70_000)),
            414,
            "uri-too-long",
        ),
        ("GARBAGE\r\n\r\n".to_owned(), 400, "malformed-http"),
        ("GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 400, "malformed-http"),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), 400, "malformed-http"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 421, "foreign-host"),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 404, "unknown-route"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "invalid-header"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n".to_owned(), 400, "invalid-header"),
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n".to_owned(),
            400,
            "invalid-header",
        ),
        ("GET / HTTP/1.1\r\nHost: rebound.example\r\n\r\n".to_owned(), 421, "foreign-host"),
        (
            format!("{post}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{{}}"),
            415,
            "encoded-body",
        ),
        (format!("{post}Content-Length: 5\r\n\r\n\u{feff}[]"), 400, "invalid-request"),
        (format!("{post}Content-Length: nine\r\n\r\n"), 400, "malformed-http"),
        (format!("{post}Content-Length: 10000000\r\n\r\n"), 413, "body-too-large"),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}"), 413, "body-too-large"),
        (format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 400, "malformed-json"),
    ] {
        let (found, problem) = raw(&server, bytes.as_bytes());
        let name: String = bytes.chars().take(60).collect();
        let expected = format!("urn:ofs:problem:{slug}");
        assert_eq!((found, problem["type"].as_str()), (status, Some(expected.as_str())), "{name}");
    }
    let path = b"GET /orders/\xff HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(raw(&server, path).0, 400);
}
