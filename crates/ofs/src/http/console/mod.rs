//! The console: one router of pages for people, and what is around each of them.
//!
//! Every page reads by the functions that the API reads by; how it looks is `ofs_console`'s.

mod door;
mod events;
mod export;
mod index;
mod keys;
mod listing;
mod order;
mod orders;
mod parked;
mod pipeline;
mod settings;

use super::App;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use ofs_console::failure::FailurePage;
use ofs_console::frame::{Depth, Frame, Here};
use ofs_console::url::Pairs;
use ofs_console::{Template, assets};
use ofs_runtime::access::{Caller, Scopes};
use ofs_runtime::context::Context;
use ofs_runtime::problem::{Invalid, Problem};
use serde_json::Value;

/// Everything comes from here, nothing runs or looks as it does but by our own files, and no page of
/// another site may hold ours.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];
/// Names of assets change with what they hold.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const MAX_PROBLEM: usize = 1 << 20;

pub(super) use door::{Refusal, rules};

/// All pages, and nothing else; [`rules`] says who sees which.
pub(super) fn routes(app: &App) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/ui", get(home))
        .route("/ui/orders", get(orders::list_page))
        .route("/ui/orders/{id}", get(order::show))
        .route("/ui/orders.csv", get(export::csv))
        .route("/ui/orders.ndjson", get(export::ndjson))
        .route("/ui/pipeline", get(pipeline::show))
        .route("/ui/parked", get(parked::list))
        .route("/ui/parked/retry", post(parked::retry_many))
        .route("/ui/parked/discard", post(parked::discard_many))
        .route("/ui/parked/job/cancel", post(parked::cancel))
        .route("/ui/parked/{id}", get(parked::show))
        .route("/ui/parked/{id}/retry", post(parked::retry))
        .route("/ui/parked/{id}/discard", post(parked::discard))
        .route("/ui/events", get(events::show))
        .route("/ui/index", get(index::show))
        .route("/ui/index/rebuild", post(index::rebuild))
        .route("/ui/index/verify", post(index::verify))
        .route("/ui/index/refused/retry", post(index::retry_refused))
        .route("/ui/settings", get(settings::show))
        .route("/ui/keys", get(keys::show).post(keys::create))
        .route("/ui/keys/{id}/revoke", post(keys::revoke))
        .route("/ui/sign-in", get(door::show).post(door::sign_in))
        .route("/ui/sign-out", post(door::sign_out))
        .route("/ui/assets/{name}", get(asset))
        .route("/ui/{*rest}", get(nowhere))
        .layer(from_fn_with_state(app.clone(), around))
        .with_state(app.clone())
}

/// People get the orders, or what their key opens; programs are led to the description of the API, as ever.
async fn front(
    state: State<App>,
    caller: Caller,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepts.into_iter().any(|value| value.contains("text/html")) {
        if state.0.guard.keyring.is_some() {
            return door::lead_home(&state.0, &headers).await.into_response();
        }
        let query = request.uri().query().unwrap_or_default();
        return orders::page(&state.0, &caller, Depth::Root, query).await.into_response();
    }
    // Relative, so that it also works behind a path prefix.
    Redirect::temporary("docs/").into_response()
}

async fn home(State(app): State<App>, sent: HeaderMap) -> Redirect {
    door::lead_home(&app, &sent).await
}

async fn nowhere(request: Request) -> Problem {
    Problem::unknown_route(request.uri().path())
}

async fn asset(Path(name): Path<String>) -> Result<Response, Problem> {
    let asset = assets::find(&name);
    let asset =
        asset.ok_or_else(|| Problem::not_found("there is no such file; reload the page"))?;
    let headers = [(header::CONTENT_TYPE, asset.media), (header::CACHE_CONTROL, FOR_EVER)];
    Ok((headers, asset.text).into_response())
}

/// A page as an answer.
struct Page<T>(T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(html) => {
                ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
            }
            Err(error) => {
                tracing::error!(%error, "a page cannot be rendered");
                Problem::internal().into_response()
            }
        }
    }
}

/// The fields of a form that was sent.
fn fields(form: &[u8]) -> Result<Pairs, Problem> {
    let form = std::str::from_utf8(form);
    let form = form.map_err(|_| Problem::invalid_request(vec![Invalid::new("", "must be UTF-8")]));
    Ok(Pairs::of(form?))
}

/// The frame of a page that is made now, for somebody with these `scopes`.
fn frame(app: &App, scopes: Scopes, here: Here, depth: Depth) -> Frame {
    let (parked, findings) = pipeline::last_seen(app);
    let pages = door::open_to(scopes);
    Frame { here, depth, pages, parked, findings, at: Context::new("console").now() }
}

/// Shows problems as pages, and adds the headers that keep browsers safe.
async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    let depth = depth(request.uri().path());
    let scopes = request.extensions().get::<Caller>().map(Caller::scopes).unwrap_or_default();
    let response = match door::check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    headers(as_page(&app, scopes, depth, response).await)
}

fn depth(path: &str) -> Depth {
    match path.trim_start_matches('/').split('/').count() {
        0 | 1 if path == "/" => Depth::Root,
        0..3 => Depth::Page,
        _ => Depth::Below,
    }
}

fn headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let kept = headers.entry(header::CACHE_CONTROL);
    kept.or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn as_page(app: &App, scopes: Scopes, depth: Depth, response: Response) -> Response {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if content_type.is_none_or(|value| value != "application/problem+json") {
        return response;
    }
    let (head, body) = response.into_parts();
    let problem = to_bytes(body, MAX_PROBLEM).await.unwrap_or_default();
    let problem: Value = serde_json::from_slice(&problem).unwrap_or_default();
    let text = |member: &str| problem[member].as_str().unwrap_or_default().to_owned();
    let page = FailurePage {
        frame: frame(app, scopes, Here::Nowhere, depth),
        status: head.status.as_u16(),
        title: text("title"),
        detail: text("detail"),
        request_id: problem["requestId"].as_str().map(str::to_owned),
    };
    let mut response = Page(page).into_response();
    if response.status() == StatusCode::OK {
        *response.status_mut() = head.status;
    }
    if let Some(after) = head.headers.get(header::RETRY_AFTER) {
        response.headers_mut().insert(header::RETRY_AFTER, after.clone());
    }
    response
}
