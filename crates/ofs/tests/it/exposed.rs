//! What a server shows of itself: where it listens, by TLS or not, and what it tells browsers.

use crate::doors::REQUIRED;
use crate::server::{PATIENCE, Server, get, http, order};
use crate::system::System;
use rcgen::{CertificateParams, KeyPair};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// A certificate of its own, for localhost, and its key, both PEM.
fn certificate() -> (String, String) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(names).expect("names").self_signed(&key);
    (certificate.expect("a certificate").pem(), key.serialize_pem())
}

/// A client that trusts this certificate and no other.
fn trusting(certificate: &str) -> Client {
    let trusted = Certificate::from_pem(certificate.as_bytes()).expect("a certificate");
    let client = Client::builder().no_proxy().tls_certs_only([trusted]);
    client.pool_max_idle_per_host(0).build().expect("a client")
}

fn write(dir: &Path, (certificate, key): &(String, String)) {
    // The key first: in between the two do not fit, which must not be the end.
    std::fs::write(dir.join("key.pem"), key).expect("written");
    std::fs::write(dir.join("cert.pem"), certificate).expect("written");
}

const FILES: [(&str, &str); 2] = [("OFS_TLS_CERTIFICATE", "cert.pem"), ("OFS_TLS_KEY", "key.pem")];

#[tokio::test]
async fn beyond_this_machine_a_server_does_not_start_by_mistake() {
    let system = System::new();
    let listen = ("OFS_LISTEN", "0.0.0.0:0");
    let start = |variables: &[(&str, &str)]| {
        let mut command = system.command();
        command.arg("run").env(listen.0, listen.1).envs(variables.iter().copied());
        Server::start(command)
    };
    for variables in [&[][..], &[("OFS_AUTH_MODE", "required")]] {
        let said = start(variables).err().expect("refused");
        for line in
            ["OFS_AUTH_MODE=required", "OFS_TLS_CERTIFICATE=", "OFS_TLS_KEY=", "exit status: 2"]
        {
            assert!(said.contains(line), "{said}");
        }
    }
    let server = start(&[("OFS_AUTH_MODE", "none")]).unwrap_or_else(|said| panic!("{said}"));
    let url = server.url.replace("0.0.0.0", "127.0.0.1");
    let ready = http().get(format!("{url}/health/live")).send().await.expect("an answer");
    assert_eq!(ready.status().as_u16(), 200);
    drop(server);
    // Metrics are for this machine alone, unless it is the only one that reaches them.
    let required = [
        ("OFS_AUTH_MODE", "required"),
        ("OFS_TLS_MODE", "none"),
        ("OFS_METRICS_LISTEN", "127.0.0.1:0"),
    ];
    let server = start(&required).unwrap_or_else(|said| panic!("{said}"));
    let said = server.said();
    let metrics = said.iter().find_map(|line| line.trim().strip_prefix("Metrics "));
    let metrics = metrics.expect("where they are").trim();
    for (url, status) in [(metrics.to_owned(), 200), (metrics.replace("metrics", "pipeline"), 404)]
    {
        let answer = http().get(&url).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{url}");
    }
    let url = server.url.replace("0.0.0.0", "127.0.0.1");
    for (path, status) in
        [("metrics", 401), ("health/ready", 200), ("docs/", 200), ("pipeline", 401)]
    {
        let answer = http().get(format!("{url}/{path}")).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn a_certificate_is_read_again_without_a_restart() {
    let system = System::new();
    let (first, second) = (certificate(), certificate());
    write(system.dir(), &first);
    let mut server = system.start_with(&["--demo=20"], &FILES);
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let ask = async |trusted: &str| {
        let asked = trusting(trusted).get(format!("{}/orders/search", server.url)).send().await;
        asked.map(|answer| (answer.version(), answer.status().as_u16()))
    };
    assert_eq!(ask(&first.0).await.expect("an answer"), (reqwest::Version::HTTP_2, 200));
    assert!(ask(&second.0).await.is_err(), "not trusted");
    let plain = http().get(server.url.replace("https", "http")).send().await;
    assert!(plain.is_err(), "no answer without encryption");
    let placed = trusting(&first.0).post(format!("{}/orders", server.url)).json(&order(None));
    assert_eq!(placed.send().await.expect("an answer").status().as_u16(), 201);
    std::fs::write(system.dir().join("cert.pem"), "nonsense").expect("written");
    let began = Instant::now();
    let heard = |server: &Server| server.said().iter().any(|line| line.contains("tls.certificate"));
    while !heard(&server) {
        assert!(began.elapsed() < PATIENCE, "nobody says that it is wrong");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(ask(&first.0).await.is_ok(), "the one before stays");
    write(system.dir(), &second);
    while ask(&second.0).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "it is not read again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(ask(&first.0).await.is_err(), "the old one is gone");
    // The demo needs no certificate to reach its own process.
    let found = trusting(&second.0).get(format!("{}/orders/search", server.url)).send();
    let page: Value = found.await.expect("an answer").json().await.expect("JSON");
    assert!(page["total"].as_u64() > Some(1), "{page}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_wrong_certificate_or_key_is_named() {
    let system = System::new();
    let (good, other) = (certificate(), certificate());
    let texts = |certificate: &str, key: &str| (certificate.to_owned(), key.to_owned());
    for (files, words) in [
        (texts(&good.0, &other.1), "key.pem is not the key of cert.pem"),
        (texts("nonsense", &good.1), "cert.pem holds no certificate"),
        (texts(&good.0, "nonsense"), "key.pem holds no private key"),
        (texts(&good.1, &good.1), "cert.pem holds no certificate"),
    ] {
        write(system.dir(), &files);
        let said = system.try_start(&[], &FILES).err().expect("refused");
        assert!(said.contains(words), "{said}");
        assert!(!said.contains("PRIVATE KEY"), "{said}");
    }
    std::fs::remove_file(system.dir().join("key.pem")).expect("removed");
    let said = system.try_start(&[], &FILES).err().expect("refused");
    assert!(said.contains("tls.key: read key.pem"), "{said}");
    let said = system.try_start(&[], &FILES[..1]).err().expect("refused");
    assert!(said.contains("tls.key: tls.certificate is set; set its key, too"), "{said}");
}

#[tokio::test]
async fn a_browser_is_told_what_pages_may_do_and_whose_may_ask() {
    let system = System::new();
    let shop = "https://shop.example.com";
    let server = system.start_with(&[], &[("OFS_HTTP_CORS_ORIGINS", shop)]);
    let ask = async |method: Method, path: &str, headers: &[(&'static str, &str)]| {
        let request = http().request(method, format!("{}{path}", server.url));
        let request = headers.iter().fold(request, |request, (n, v)| request.header(*n, *v));
        request.send().await.expect("an answer")
    };
    let header = |answer: &reqwest::Response, name: &str| {
        answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned())
    };
    let page = ask(Method::GET, "/docs/", &[]).await;
    let policy = header(&page, "content-security-policy").expect("a policy");
    for part in
        ["default-src 'self'", "script-src 'self';", "frame-ancestors 'none'", "object-src 'none'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert_eq!(header(&page, "referrer-policy").as_deref(), Some("no-referrer"));
    for path in ["/docs/", "/orders/search", "/nowhere", "/metrics"] {
        let answer = ask(Method::GET, path, &[]).await;
        assert_eq!(header(&answer, "x-content-type-options").as_deref(), Some("nosniff"), "{path}");
        assert_eq!(header(&answer, "access-control-allow-origin"), None, "{path}");
    }
    let other = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    let preflight = ("access-control-request-method", "POST");
    let answer = ask(Method::OPTIONS, "/orders", &[other[0], preflight]).await;
    assert_eq!(header(&answer, "access-control-allow-origin"), None);
    let body = order(None).to_string();
    let place = async |origin: [(&'static str, &str); 2]| {
        let request = http().post(format!("{}/orders", server.url)).body(body.clone());
        let request = request.header("content-type", "application/json");
        let request = origin.iter().fold(request, |request, (n, v)| request.header(*n, *v));
        request.send().await.expect("an answer")
    };
    assert_eq!(place(other).await.status().as_u16(), 403);
    let answer = ask(Method::OPTIONS, "/orders", &[("origin", shop), preflight]).await;
    assert_eq!(answer.status().as_u16(), 204);
    assert_eq!(header(&answer, "access-control-allow-origin").as_deref(), Some(shop));
    assert!(header(&answer, "access-control-allow-headers").expect("it").contains("authorization"));
    assert_eq!(header(&answer, "access-control-allow-credentials"), None);
    let placed = place([("origin", shop), ("sec-fetch-site", "cross-site")]).await;
    assert_eq!(placed.status().as_u16(), 201);
    assert_eq!(header(&placed, "access-control-allow-origin").as_deref(), Some(shop));
}

#[tokio::test]
async fn a_browser_sends_its_key_by_tls_alone_where_there_is_tls() {
    let system = System::new();
    let own = certificate();
    write(system.dir(), &own);
    for (variables, scheme, secure) in [
        (&FILES[..], None, true),
        (&[], Some("https"), true),
        (&[], Some("http"), false),
        (&[], None, false),
    ] {
        let server = system.start_with(&[], variables);
        let trusted = Certificate::from_pem(own.0.as_bytes()).expect("a certificate");
        let client = Client::builder().no_proxy().tls_certs_only([trusted]);
        let client = client.redirect(Policy::none()).build().expect("a client");
        let way_out = client.post(format!("{}/ui/sign-out", server.url));
        let way_out = scheme
            .into_iter()
            .fold(way_out, |request, scheme| request.header("x-forwarded-proto", scheme));
        let answer = way_out.send().await.expect("an answer");
        assert_eq!(answer.status(), 303);
        let cookie = answer.headers()["set-cookie"].to_str().expect("text");
        assert_eq!(cookie.contains("; Secure"), secure, "{scheme:?}: {cookie}");
    }
}

#[tokio::test]
async fn what_anyone_may_see_is_the_same_with_keys_and_without() {
    let system = System::new();
    let server = system.start_with(&[], &[REQUIRED]);
    let (status, described) = get(&format!("{}/openapi.json", server.url)).await;
    assert_eq!(status, 200);
    let kept: Value =
        serde_json::from_str(include_str!("../../../../docs/openapi.json")).expect("JSON");
    assert_eq!(described, kept);
}
