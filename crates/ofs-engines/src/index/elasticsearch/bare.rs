//! What Elasticsearch does bare: bulk requests of documents with versions of ours.

use super::client::Client;
use crate::ServerUrl;
use crate::bare::{DOCUMENTS, Error, Meter, text};
use reqwest::Method;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;
use uuid::Uuid;

/// Documents a second that go into an index of its own at `url`, which is deleted afterwards.
///
/// # Errors
/// If the server cannot be reached, or the login may make no such index.
pub async fn bare(url: ServerUrl, time: Duration) -> Result<f64, Error> {
    let (client, prefix) = super::connect(url).map_err(|error| Error::new(ENGINE, error))?;
    let index = format!("{prefix}{}", crate::bare::name());
    let failed = |error: super::client::Failure| Error::new(ENGINE, error.text());
    let mapping = json!({"mappings": {"properties": {"id": {"type": "keyword"},
        "text": {"type": "text"}, "status": {"type": "keyword"}, "at": {"type": "date"}}}});
    let _: Value = client.send(Method::PUT, &index, Some(&mapping)).await.map_err(failed)?;
    let rate = push(&client, &index, time).await.map_err(failed);
    let _: Value = client.send(Method::DELETE, &index, None).await.map_err(failed)?;
    rate
}

const ENGINE: &str = "Elasticsearch";

async fn push(client: &Client, index: &str, time: Duration) -> Result<f64, super::client::Failure> {
    let mut meter = Meter::start(time);
    for batch in 0_u128.. {
        let mut lines = String::new();
        for nth in 0..DOCUMENTS {
            let id = Uuid::from_u128(batch * DOCUMENTS as u128 + nth as u128);
            let head = json!({"index": {"_id": id, "version": 3, "version_type": "external"}});
            let body = json!({"id": id, "text": text(100, nth), "status": "FulfillmentScheduled",
                "at": "2026-01-31T12:00:00Z", "timeline": text(400, nth)});
            let _ = writeln!(lines, "{head}\n{body}");
        }
        let path = format!("{index}/_bulk?filter_path=errors");
        let _: Value = client.bulk(&path, lines.into_bytes()).await?;
        if !meter.goes_on(DOCUMENTS) {
            break;
        }
    }
    Ok(meter.rate())
}
