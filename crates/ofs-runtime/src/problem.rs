//! Problem: every error that HTTP answers with, as RFC 9457 `application/problem+json`.
//!
//! Holds the list of all kinds. Details speak to the client and never carry SQL, paths or traces.

use crate::{index, store};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

tokio::task_local! {
    static REQUEST_ID: String;
}

/// Runs `future`; problems made into responses inside it carry `id` as their `requestId`.
pub async fn with_request_id<F: Future>(id: String, future: F) -> F::Output {
    REQUEST_ID.scope(id, future).await
}

/// A kind of problem: its `type` never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The `type` member, a stable URI: `urn:ofs:problem:` and a slug.
    pub uri: &'static str,
    /// HTTP status.
    pub status: u16,
    /// The same text for every problem of this kind.
    pub title: &'static str,
}

macro_rules! kinds {
    ($($name:ident = $slug:literal, $status:literal, $title:literal;)+) => {
        $(#[doc = concat!("`", $slug, "`: ", $title, ".")]
        pub const $name: Kind = Kind {
            uri: concat!("urn:ofs:problem:", $slug), status: $status, title: $title,
        };)+

        impl Problem {
            /// Every kind there is.
            pub const KINDS: &'static [Kind] = &[$($name),+];
        }
    };
}

kinds! {
    MALFORMED_JSON = "malformed-json", 400, "The body is not JSON";
    WRONG_CONTENT_TYPE = "wrong-content-type", 415, "The body has the wrong content type";
    BODY_TOO_LARGE = "body-too-large", 413, "The body is too large";
    INVALID_REQUEST = "invalid-request", 400, "The body is not what this route takes";
    INVALID_QUERY = "invalid-query", 400, "A query parameter is unknown or invalid";
    INVALID_PATH = "invalid-path", 400, "The path holds something that is not an id";
    INVALID_HEADER = "invalid-header", 400, "A request header is invalid";
    MALFORMED_HTTP = "malformed-http", 400, "The request is not HTTP";
    URI_TOO_LONG = "uri-too-long", 414, "The path and query are too long";
    HEADERS_TOO_LARGE = "headers-too-large", 431, "The headers are too many or too long";
    REQUEST_TIMEOUT = "request-timeout", 408, "The body took too long";
    FOREIGN_HOST = "foreign-host", 421, "The request means another server";
    UNAUTHENTICATED = "unauthenticated", 401, "The request needs a key";
    MISSING_SCOPE = "missing-scope", 403, "The key may not do this";
    TOO_MANY_REQUESTS = "too-many-requests", 429, "The caller sends too many requests";
    FOREIGN_ORIGIN = "foreign-origin", 403, "A page of another site sent the request";
    ENCODED_BODY = "encoded-body", 415, "The body is encoded";
    UNKNOWN_ROUTE = "unknown-route", 404, "There is nothing at this path";
    NOT_FOUND = "not-found", 404, "The resource does not exist";
    METHOD_NOT_ALLOWED = "method-not-allowed", 405, "This path does not take this method";
    IDEMPOTENCY_KEY_BUSY = "idempotency-key-busy", 409, "The first request with this key is running";
    IDEMPOTENCY_KEY_REUSED = "idempotency-key-reused", 422, "The key belongs to another request";
    CONFLICT = "conflict", 409, "The request conflicts with the current state";
    UNAVAILABLE = "unavailable", 503, "A dependency cannot be reached";
    STORAGE_FULL = "storage-full", 503, "The disk is full";
    STORAGE_DAMAGED = "storage-damaged", 503, "The server's data is damaged";
    INTERNAL = "internal", 500, "Something went wrong here";
}

/// The most things that are said to be wrong with one request.
pub const MAX_ERRORS: usize = 16;
/// The longest pointer or detail of one of them, in characters.
const MAX_WORDS: usize = 300;

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Invalid {
    /// JSON pointer into the body, or the parameter's name.
    #[schema(example = "/country")]
    pub pointer: String,
    /// What to do about it.
    #[schema(example = "must be two ASCII letters, such as US")]
    pub detail: String,
}

impl Invalid {
    /// `detail` is wrong at `pointer`. Both may hold what a client sent, so what is long is cut.
    #[must_use]
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: cut(pointer.into()), detail: cut(detail.into()) }
    }
}

/// The start of `text`, and `…` if it goes on.
fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_WORDS) {
        text.truncate(end);
        text.shrink_to_fit();
        text.push('…');
    }
    text
}

/// What is wrong, for programs (`type`) and people (`detail`).
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The kind of problem; stable.
    #[serde(rename = "type")]
    #[schema(example = "urn:ofs:problem:invalid-request")]
    pub uri: &'static str,
    /// The kind in words.
    pub title: &'static str,
    /// HTTP status.
    #[schema(example = 400)]
    pub status: u16,
    /// This problem in words, and what to do.
    pub detail: String,
    /// Everything that is wrong with the request, where it can be pointed at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Invalid>,
    /// Also in the response header `x-request-id` and in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Box<str>>,
    #[serde(skip)]
    headers: Option<Box<HeaderMap>>,
}

impl Problem {
    /// A problem of this kind.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            uri: kind.uri,
            title: kind.title,
            status: kind.status,
            detail: detail.into(),
            errors: Vec::new(),
            request_id: None,
            headers: None,
        }
    }

    /// With everything that is wrong, as far as that is not more than [`MAX_ERRORS`].
    #[must_use]
    pub fn with_errors(mut self, mut errors: Vec<Invalid>) -> Self {
        errors.truncate(MAX_ERRORS);
        self.errors = errors;
        self
    }

    /// With a `Retry-After` header, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// With this response header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().insert(name, value);
        self
    }

    /// The body is not JSON; `detail` says where.
    #[must_use]
    pub fn malformed_json(detail: impl Into<String>) -> Self {
        Self::new(MALFORMED_JSON, detail)
    }

    /// The body is not declared to be of the type `wanted`.
    #[must_use]
    pub fn wrong_content_type(wanted: &str) -> Self {
        let detail = format!("send the header `Content-Type: {wanted}`, in UTF-8");
        Self::new(WRONG_CONTENT_TYPE, detail)
    }

    /// The body did not come in time.
    #[must_use]
    pub fn request_timeout(seconds: u64) -> Self {
        let detail = format!("the body must be sent within {seconds} s; send the request again");
        Self::new(REQUEST_TIMEOUT, detail)
    }

    /// The body is compressed or encoded otherwise.
    #[must_use]
    pub fn encoded_body() -> Self {
        Self::new(ENCODED_BODY, "send the body as it is, without the header `Content-Encoding`")
    }

    /// The body has more than `limit` bytes.
    #[must_use]
    pub fn body_too_large(limit: usize) -> Self {
        Self::new(BODY_TOO_LARGE, format!("send at most {limit} bytes"))
    }

    /// The body is JSON but breaks these rules.
    #[must_use]
    pub fn invalid_request(errors: Vec<Invalid>) -> Self {
        Self::new(INVALID_REQUEST, sentence(&errors)).with_errors(errors)
    }

    /// These query parameters are unknown, repeated or invalid.
    #[must_use]
    pub fn invalid_query(errors: Vec<Invalid>) -> Self {
        Self::new(INVALID_QUERY, sentence(&errors)).with_errors(errors)
    }

    /// The path holds something that is not an id.
    #[must_use]
    pub fn invalid_path(detail: impl Into<String>) -> Self {
        Self::new(INVALID_PATH, detail)
    }

    /// The request header `name` breaks the rule `detail`.
    #[must_use]
    pub fn invalid_header(name: &str, detail: &str) -> Self {
        Self::new(INVALID_HEADER, format!("{name}: {detail}"))
    }

    /// No route has this path.
    #[must_use]
    pub fn unknown_route(path: &str) -> Self {
        Self::new(UNKNOWN_ROUTE, format!("nothing is at {path}; GET /docs lists what there is"))
    }

    /// The resource does not exist.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(NOT_FOUND, detail)
    }

    /// The path takes other methods.
    #[must_use]
    pub fn method_not_allowed(method: &str, path: &str) -> Self {
        let detail = format!("{path} does not take {method}; the Allow header lists what it takes");
        Self::new(METHOD_NOT_ALLOWED, detail)
    }

    /// The idempotency key has the answer to another body.
    #[must_use]
    pub fn idempotency_key_reused() -> Self {
        let detail = "this Idempotency-Key was used with another body; send a new key";
        Self::new(IDEMPOTENCY_KEY_REUSED, detail)
    }

    /// The first request with the idempotency key has no answer yet.
    #[must_use]
    pub fn idempotency_key_busy() -> Self {
        let detail = "the first request with this Idempotency-Key is still running; \
                      send it again with the same key";
        Self::new(IDEMPOTENCY_KEY_BUSY, detail).retry_after(1)
    }

    /// The state is not one in which the request can be done.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(CONFLICT, detail)
    }

    /// `what` cannot be reached now.
    #[must_use]
    pub fn unavailable(what: &str) -> Self {
        Self::new(UNAVAILABLE, format!("{what} cannot be reached; try again")).retry_after(2)
    }

    /// There is no room to write.
    #[must_use]
    pub fn storage_full() -> Self {
        let detail = "nothing was written; free space on the server's disk, then try again";
        Self::new(STORAGE_FULL, detail).retry_after(30)
    }

    /// What the server has stored is damaged, as `damage` says.
    #[must_use]
    pub fn storage_damaged(damage: &str) -> Self {
        Self::new(STORAGE_DAMAGED, format!("nothing is written any more: {damage}"))
    }

    /// A fault of ours; the cause is in the log only.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(INTERNAL, "the server's log has the cause under this requestId")
    }
}

fn sentence(errors: &[Invalid]) -> String {
    let all =
        errors.iter().take(MAX_ERRORS).map(|error| format!("{} {}", error.pointer, error.detail));
    let all = all.map(|error| error.trim_start().to_owned());
    all.collect::<Vec<_>>().join("; ")
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Stale => {
                Problem::conflict("it was changed at the same moment; read it again, then retry")
                    .retry_after(1)
            }
            store::Error::KeyTaken => Problem::idempotency_key_busy(),
            store::Error::Unavailable(_) => {
                tracing::warn!(%error, "request refused");
                Problem::unavailable("the store")
            }
            store::Error::Full => {
                tracing::error!(%error, "request refused");
                Problem::storage_full()
            }
            store::Error::Rejected(_) => {
                tracing::error!(%error, "request failed");
                Problem::internal()
            }
        }
    }
}

impl From<index::Error> for Problem {
    fn from(error: index::Error) -> Self {
        tracing::warn!(%error, "search refused");
        match error {
            index::Error::Unavailable(_) => Problem::unavailable("the search index"),
            index::Error::Missing(_) => Problem::new(
                UNAVAILABLE,
                "the search index is not there yet; search-indexer-worker is building it, and \
                 GET /index shows its progress",
            )
            .retry_after(2),
            index::Error::Rejected(_) => Problem::internal(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        if self.request_id.is_none() {
            self.request_id = REQUEST_ID.try_with(|id| id.as_str().into()).ok();
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, content_type, body).into_response();
        if let Some(headers) = self.headers {
            response.headers_mut().extend(*headers);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_type() {
        let mut uris: Vec<_> = Problem::KINDS.iter().map(|kind| kind.uri).collect();
        uris.sort_unstable();
        uris.dedup();
        assert_eq!(uris.len(), Problem::KINDS.len());
    }

    #[tokio::test]
    async fn a_problem_carries_the_request_id_and_retry_after() {
        let response = with_request_id("r-1".to_owned(), async {
            Problem::unavailable("the store").into_response()
        });
        let response = response.await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.expect("body");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("json");
        assert_eq!(body["type"], "urn:ofs:problem:unavailable");
        assert_eq!(body["requestId"], "r-1");
    }

    #[test]
    fn the_stores_own_words_never_reach_a_client() {
        let problem = Problem::from(store::Error::Rejected("SELECT secret".to_owned()));
        assert_eq!(problem.status, 500);
        assert!(!problem.detail.contains("secret"));
    }
}
