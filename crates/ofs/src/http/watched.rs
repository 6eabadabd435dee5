//! Answers that may go on for ever end when the key that they were asked for with does.

use axum::body::Body;
use axum::http::header;
use axum::response::Response;
use futures::stream::{self, StreamExt as _};
use ofs_runtime::access::Keyring;
use std::time::Duration;
use tokio::time::{Instant, interval_at};
use uuid::Uuid;

/// How often the key is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// `response`; if it is one that may go on for ever, it breaks off once `key` may not be used any more.
pub(super) fn watched(response: Response, keyring: Keyring, key: Uuid) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
    let endless = ["application/x-ndjson", "text/event-stream"];
    if kind.is_none_or(|kind| !endless.iter().any(|known| kind.starts_with(known.as_bytes()))) {
        return response;
    }
    let ticks = interval_at(Instant::now() + EVERY, EVERY);
    response.map(|body| {
        let start = Some((body.into_data_stream(), ticks, keyring));
        Body::from_stream(stream::unfold(start, move |state| async move {
            let (mut chunks, mut ticks, keyring) = state?;
            loop {
                tokio::select! {
                    chunk = chunks.next() => return Some((chunk?, Some((chunks, ticks, keyring)))),
                    _ = ticks.tick() => {
                        if let Err(no) = keyring.check(key).await {
                            return Some((Err(axum::Error::new(no)), None));
                        }
                    }
                }
            }
        }))
    })
}
