//! Headers that tell a browser what our answers may be used for: by our own pages, and by those of the
//! origins in `http.cors-origins`.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// For our own pages: nothing from elsewhere, nothing inline, in nobody's frame.
const STRICT: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// For the documentation's page, which is not ours and styles itself.
const DOCS: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                    img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";
/// What a page of another origin may send and read, if it may anything.
const CORS: [(HeaderName, &str); 4] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST"),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "authorization, content-type, idempotency-key, last-event-id, x-request-id",
    ),
    (
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        "location, retry-after, x-request-id, idempotency-replayed",
    ),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
];

/// The origins whose pages may ask, with a key in a header; never with a cookie.
#[derive(Clone, Debug, Default)]
pub struct Origins(Arc<[String]>);

impl Origins {
    /// These, such as `https://shop.example.com`.
    #[must_use]
    pub fn new(origins: &[String]) -> Self {
        Self(origins.into())
    }

    /// The origin of `request`, if it is one of them.
    pub(super) fn of(&self, request: &Request) -> Option<HeaderValue> {
        let origin = request.headers().get(header::ORIGIN)?;
        self.0.iter().any(|known| origin == known.as_str()).then(|| origin.clone())
    }
}

/// The answer to a browser that asks whether `request` may be sent, if it does.
pub(super) fn preflight(request: &Request) -> Option<Response> {
    let asks = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    (asks && request.method() == Method::OPTIONS).then(|| StatusCode::NO_CONTENT.into_response())
}

/// Lets pages of `origin` read `response`.
pub(super) fn allow(origin: HeaderValue, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    for (name, value) in CORS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Tells a browser what `response`, the answer to `path`, is, and what it is not.
pub(super) fn protect(path: &str, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let html = |kind: &HeaderValue| kind.as_bytes().starts_with(b"text/html");
    if !headers.get(header::CONTENT_TYPE).is_some_and(html) {
        return;
    }
    let policy = if path.starts_with("/docs") { DOCS } else { STRICT };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}
