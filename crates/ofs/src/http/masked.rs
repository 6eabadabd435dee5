//! Answers to callers who may not see e-mail addresses, whatever the route: masked here, so that no route
//! can forget to.

use super::raw::Raw;
use axum::body::{Body, to_bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt as _};
use ofs_runtime::access::{mask_value, masked_text};
use ofs_runtime::problem::Problem;
use serde_json::Value;
use uuid::Uuid;

/// Members of orders and events that hold an address, whatever it looks like.
const ADDRESSES: [&str; 1] = ["customerEmail"];
/// What comes before JSON on a line of server-sent events.
const DATA: &str = "data: ";

/// `response` without e-mail addresses.
pub(super) async fn masked(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let media = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    match media {
        "application/json" | "application/problem+json" => document(response).await,
        "application/x-ndjson" | "text/event-stream" => response.map(lines),
        _ => response,
    }
}

async fn document(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.ok();
    let Some(value) = body.and_then(|body| serde_json::from_slice(&body).ok()) else {
        tracing::error!("an answer is not the JSON that it says it is");
        return Problem::internal().into_response();
    };
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::from(mask(value).to_string()))
}

/// Each line as soon as it is whole. What breaks off, breaks off.
fn lines(body: Body) -> Body {
    let chunks = body.into_data_stream();
    let masked = stream::unfold(Some((chunks, BytesMut::new())), |state| async move {
        let (mut chunks, mut held) = state?;
        loop {
            match chunks.next().await {
                Some(Ok(chunk)) => {
                    held.extend_from_slice(&chunk);
                    if let Some(end) = held.iter().rposition(|byte| *byte == b'\n') {
                        let whole = held.split_to(end + 1);
                        return Some((Ok(each_line(&whole)), Some((chunks, held))));
                    }
                }
                Some(Err(error)) => return Some((Err(error), None)),
                None if held.is_empty() => return None,
                None => return Some((Ok(each_line(&held)), None)),
            }
        }
    });
    Body::from_stream(masked)
}

fn each_line(text: &[u8]) -> Bytes {
    let text = String::from_utf8_lossy(text);
    text.split_inclusive('\n').map(line).collect::<String>().into()
}

fn line(line: &str) -> String {
    let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
    let (start, json) = text.strip_prefix(DATA).map_or(("", text), |json| (DATA, json));
    match serde_json::from_str(json) {
        Ok(value) => format!("{start}{}{end}", mask(value)),
        Err(_) => format!("{}{end}", masked_text(text)),
    }
}

fn mask(mut value: Value) -> Value {
    withhold(&mut value);
    mask_value(&mut value, &ADDRESSES);
    value
}

/// Bytes of a record are only shown where it can be told what in them is an address.
fn withhold(value: &mut Value) {
    let raw = |value: &Value| {
        let members = value.as_object().filter(|members| members.len() == 2)?;
        Some((members.get("encoding")?.as_str()?.to_owned(), members.get("value")?.clone()))
    };
    match raw(value) {
        Some((encoding, Value::String(text))) => {
            let shown = (encoding == "text").then(|| shown(&text)).flatten();
            let shown = shown.map_or_else(Raw::withheld, Raw::text);
            *value = serde_json::to_value(shown).unwrap_or_default();
        }
        _ => match value {
            Value::Array(items) => items.iter_mut().for_each(withhold),
            Value::Object(members) => members.values_mut().for_each(withhold),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        },
    }
}

fn shown(text: &str) -> Option<String> {
    if Uuid::try_parse(text).is_ok() {
        return Some(text.to_owned());
    }
    let mut value: Value = serde_json::from_str(text).ok()?;
    if !value.is_object() {
        return None;
    }
    mask_value(&mut value, &ADDRESSES);
    Some(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn raw_bytes_are_shown_only_where_it_is_known_what_they_hold() {
        let raw = |encoding: &str, value: &str| json!({"encoding": encoding, "value": value});
        let withheld = raw("withheld", "");
        let event = r#"{"payload":{"customerEmail":"ada"},"to":"a@b"}"#;
        let masked = r#"{"payload":{"customerEmail":"***"},"to":"***"}"#;
        let id = Uuid::from_u128(7).to_string();
        for (given, expected) in [
            (raw("text", event), raw("text", masked)),
            (raw("text", &id), raw("text", &id)),
            (raw("text", "{\"customerEmail\":\"ada"), withheld.clone()),
            (raw("text", "\"ada\""), withheld.clone()),
            (raw("text", "ada"), withheld.clone()),
            (raw("base64", "/v8="), withheld.clone()),
        ] {
            let (given, expected) = (json!({ "key": given }), json!({ "key": expected }));
            assert_eq!(mask(given.clone()), expected, "{given}");
        }
    }

    #[tokio::test]
    async fn lines_are_masked_one_by_one_wherever_they_are_cut() {
        let text = "id: orders.events.v1/0@17;payments.events.v1/0@4\n\
                    data: {\"event\":{\"payload\":{\"customerEmail\":\"ada@x\"}}}\n\n: heartbeat\n";
        let expected = "id: orders.events.v1/0@17;payments.events.v1/0@4\n\
                    data: {\"event\":{\"payload\":{\"customerEmail\":\"***\"}}}\n\n: heartbeat\n";
        for size in [1, 7, 1_000] {
            let chunks = text.as_bytes().chunks(size).map(|c| Ok::<_, std::io::Error>(c.to_vec()));
            let chunks: Vec<_> = chunks.collect();
            let body = lines(Body::from_stream(stream::iter(chunks)));
            assert_eq!(to_bytes(body, 10_000).await.expect("a body"), expected, "{size}");
        }
    }
}
