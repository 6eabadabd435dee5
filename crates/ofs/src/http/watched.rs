//! Answers that may go on for ever end when the key or token that they were asked for with does.

use super::gate::{Guard, Pass};
use axum::body::Body;
use axum::http::header;
use axum::response::Response;
use futures::stream::{self, StreamExt as _};
use std::time::Duration;
use tokio::time::{Instant, interval_at};

/// How often key or token are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// `response`; if it is one that may go on for ever, it breaks off once `pass` does not count any more.
pub(super) fn watched(response: Response, guard: Guard, pass: Pass) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
    let endless = ["application/x-ndjson", "text/event-stream"];
    if kind.is_none_or(|kind| !endless.iter().any(|known| kind.starts_with(known.as_bytes()))) {
        return response;
    }
    let ticks = interval_at(Instant::now() + EVERY, EVERY);
    response.map(|body| {
        let start = Some((body.into_data_stream(), ticks, guard, pass));
        Body::from_stream(stream::unfold(start, move |state| async move {
            let (mut chunks, mut ticks, guard, pass) = state?;
            loop {
                tokio::select! {
                    chunk = chunks.next() => {
                        return Some((chunk?, Some((chunks, ticks, guard, pass))));
                    }
                    _ = ticks.tick() => {
                        if let Err(no) = guard.check(&pass).await {
                            return Some((Err(axum::Error::new(no)), None));
                        }
                    }
                }
            }
        }))
    })
}
