//! The demo: a steady trickle of orders through the public API, declines among them.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use ofs_runtime::backoff::Backoff;
use serde_json::{Value, json};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::warn;

const PRODUCTS: [&str; 5] = ["Phone", "Laptop", "Camera", "Headphones", "Book"];
const COUNTRIES: [&str; 6] = ["US", "DE", "FR", "JP", "BR", "IN"];

/// Sends `rate` orders a second to the API behind `router`, with `key` if there is one, until `stop`.
pub async fn run(router: Router, key: Option<String>, rate: f64, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut backoff = Backoff::world();
    for nth in 0_usize.. {
        if stop.run_until_cancelled(ticks.tick()).await.is_none() {
            return;
        }
        let answer = send(router.clone(), key.as_deref(), &order(nth)).await;
        match answer {
            Some(status) if status.is_success() => backoff.reset(),
            _ if stop.is_cancelled() => return,
            status => {
                let status = status.map(|status| status.as_u16());
                warn!(status, "the demo cannot place an order, will try again");
                stop.run_until_cancelled(backoff.pause()).await;
            }
        }
    }
}

async fn send(router: Router, key: Option<&str>, order: &Value) -> Option<StatusCode> {
    let mut request = Request::post("/orders")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    let request = request.body(Body::from(order.to_string())).ok()?;
    router.oneshot(request).await.ok().map(|answer| answer.status())
}

/// Every seventh order is declined; every nineteenth meets a slow gateway.
fn order(nth: usize) -> Value {
    let scenario = match nth {
        nth if nth % 19 == 18 => "sim:timeout:2",
        nth if nth % 7 == 3 => "declined",
        _ => "success",
    };
    json!({
        "customerEmail": format!("customer{}@example.com", nth % 40),
        "productType": PRODUCTS[nth % PRODUCTS.len()],
        "country": COUNTRIES[nth % COUNTRIES.len()],
        "paymentScenario": scenario,
    })
}
