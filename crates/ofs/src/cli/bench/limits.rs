//! `ofs bench limits`: what the parts do bare on this machine, with requests, rows, records and documents
//! of an order's size. What the program makes of them is held against it.

use super::super::client::Client;
use super::load::{self, Amount, Load, Pace};
use super::times::Clock;
use crate::config::Config;
use crate::engines::{self, Limit};
use axum::routing::post;
use axum::{Json, Router};
use ofs_runtime::context::Context;
use serde_json::{Value, json};
use std::time::Duration;

/// How long each part is measured.
const TIME: Duration = Duration::from_secs(3);
/// Clients of the bare HTTP server.
const CLIENTS: u32 = 64;

/// Measures every part.
///
/// # Errors
/// If an engine that `config` names cannot be reached or written to.
pub(super) async fn measure(config: &Config) -> anyhow::Result<Vec<Limit>> {
    let http = Limit { part: "http", per_second: http().await? };
    let engines = engines::bare(config, TIME).await?;
    Ok([vec![http], engines].concat())
}

/// Orders a second that a server answers which does nothing but that.
async fn http() -> anyhow::Result<f64> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let client = Client::new(&format!("http://{}", listener.local_addr()?), None)?;
    let context = Context::new("bench");
    let answer = move |Json(_): Json<Value>| async move {
        Json(json!({"id": context.new_id(), "correlationId": context.new_id()}))
    };
    let server = axum::serve(listener, Router::new().route("/orders", post(answer)));
    let server = tokio::spawn(server.into_future());
    let load = Load { clients: CLIENTS, amount: Amount::For(TIME), pace: Pace::Answer };
    let placed = load::run(&client, &load, "nothing", Clock::start(&context)).await?;
    server.abort();
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    let orders = placed.orders.len() as f64;
    Ok(orders / TIME.as_secs_f64())
}

/// For programs.
pub(super) fn document(limits: &[Limit]) -> Value {
    let limits = limits
        .iter()
        .map(|Limit { part, per_second }| ((*part).to_owned(), per_second.round().into()));
    Value::Object(limits.collect())
}
