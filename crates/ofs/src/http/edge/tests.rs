//! What surrounds every route.

use super::*;
use crate::http::gate::{Guard, Needs, Rules};
use crate::http::refusals::Refusals;
use axum::body::{Body, to_bytes};
use axum::routing::{get, post};
use tower::ServiceExt;

fn surface() -> Router {
    let routes = Router::new()
        .route("/panics", get(|| async { panic!("on purpose") as &'static str }))
        .route("/slow", get(std::future::pending::<&'static str>))
        .route("/takes", post(|_: axum::body::Bytes| async { "taken" }))
        .route("/forgotten", get(|| async { "served" }));
    let plain = [("POST", "/takes".to_owned())].into_iter().collect();
    let guard = Guard { keyring: None, issuer: None, local: true, refusals: Refusals::default() };
    let rules =
        Rules::default().with_open(&["/panics", "/slow"]).with("POST", "/takes", Needs::Nothing);
    let gate = Gate { guard, rules };
    let (hosts, origins) = (Hosts::default(), Origins::default());
    let limits = Limits::default();
    let damage = Box::new(|| None);
    let doors = Doors { plain, hosts, origins, gate, pages: None, limits, damage };
    around_within(routes, doors, Duration::from_millis(200))
}

async fn ask(request: axum::http::request::Builder, body: Body) -> (Response, serde_json::Value) {
    let response = surface().oneshot(request.body(body).expect("request")).await.expect("answer");
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.expect("body");
    let value = serde_json::from_slice(&bytes).unwrap_or_default();
    (Response::from_parts(head, Body::empty()), value)
}

#[tokio::test]
async fn whatever_goes_wrong_is_a_problem_with_the_request_id() {
    let long = "x".repeat(MAX_BODY_BYTES + 1);
    for (method, path, body, status, kind) in [
        ("GET", "/nowhere", "", 404, "unknown-route"),
        ("GET", "/forgotten", "", 404, "unknown-route"),
        ("DELETE", "/takes", "", 405, "method-not-allowed"),
        ("GET", "/panics", "", 500, "internal"),
        ("GET", "/slow", "", 503, "unavailable"),
        ("POST", "/takes", long.as_str(), 413, "body-too-large"),
        ("POST", "/takes?x=1", "", 400, "invalid-query"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", "x")
            .header("X-Request-Id", "r-7");
        let (response, problem) = ask(request, Body::from(body.to_owned())).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["content-type"], PROBLEM, "{path}");
        assert_eq!(response.headers()["x-request-id"], "r-7");
        assert_eq!(problem["requestId"], "r-7", "{path}");
        assert_eq!(problem["type"], format!("urn:ofs:problem:{kind}"));
        assert_eq!(problem["status"], status);
        let allow = response.headers().get("allow");
        assert_eq!(allow.map(HeaderValue::as_bytes), (status == 405).then_some(&b"POST"[..]));
    }
}

#[tokio::test]
async fn a_request_id_that_is_long_or_no_id_is_replaced() {
    for given in ["", "two words", "user@example.com", &"x".repeat(request_id::MAX + 1)] {
        let request = Request::post("/takes").header("Host", "x").header("X-Request-Id", given);
        let (response, _) = ask(request, Body::empty()).await;
        assert_eq!(response.status(), 200);
        let id = response.headers()["x-request-id"].to_str().expect("text");
        assert_eq!(id.parse::<uuid::Uuid>().expect("uuid").get_version_num(), 7);
    }
}
