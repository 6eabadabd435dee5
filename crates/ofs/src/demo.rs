//! The demo: a steady trickle of orders through the public API, declines among them.

use ofs_runtime::backoff::Backoff;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::warn;

const PRODUCTS: [&str; 5] = ["Phone", "Laptop", "Camera", "Headphones", "Book"];
const COUNTRIES: [&str; 6] = ["US", "DE", "FR", "JP", "BR", "IN"];

/// Sends `rate` orders a second to the API at `address`, with `key` if there is one, until `stop`.
pub async fn run(address: SocketAddr, key: Option<String>, rate: f64, stop: CancellationToken) {
    let client = reqwest::Client::new();
    let url = format!("http://{address}/orders");
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut backoff = Backoff::world();
    for nth in 0_usize.. {
        if stop.run_until_cancelled(ticks.tick()).await.is_none() {
            return;
        }
        let request = client.post(&url).json(&order(nth));
        let request = match &key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let sent = request.send().await;
        match sent.and_then(reqwest::Response::error_for_status) {
            Ok(_) => backoff.reset(),
            Err(_) if stop.is_cancelled() => return,
            Err(error) => {
                warn!(%error, "the demo cannot place an order, will try again");
                stop.run_until_cancelled(backoff.pause()).await;
            }
        }
    }
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
