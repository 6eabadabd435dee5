//! Who sees which page, and how a browser signs in: with a key, which it keeps in a cookie.

use super::{Page, frame, headers};
use crate::http::App;
use crate::http::gate::{COOKIE, Needs, Rules};
use axum::Extension;
use axum::extract::{RawForm, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use ofs_console::frame::{Depth, Here};
use ofs_console::sign_in::SignInPage;
use ofs_console::url::Pairs;
use ofs_runtime::access::{Caller, Scope};
use ofs_runtime::problem::Problem;
use std::net::SocketAddr;

/// The longest key or token that a browser keeps in a cookie for certain.
const MAX_COOKIE: usize = 3_500;
const TOO_LONG: &str = "the token is too long for a browser's cookie; sign in with a key";

/// What each page requires of the caller. A page that is not here is not served.
pub(in crate::http) fn rules(rules: Rules) -> Rules {
    let needs = Needs::Scope;
    let posts = [
        ("/ui/sign-in", Needs::Nothing),
        ("/ui/sign-out", Needs::Nothing),
        ("/ui/parked/retry", needs(Scope::Operate)),
        ("/ui/parked/discard", needs(Scope::Operate)),
        ("/ui/parked/{id}/retry", needs(Scope::Operate)),
        ("/ui/parked/{id}/discard", needs(Scope::Operate)),
        ("/ui/index/rebuild", needs(Scope::Operate)),
        ("/ui/index/verify", needs(Scope::Operate)),
        ("/ui/index/refused/retry", needs(Scope::Operate)),
    ];
    let rules =
        posts.into_iter().fold(rules, |rules, (route, needs)| rules.with("POST", route, needs));
    let orders = ["/ui/orders", "/ui/orders/{id}", "/ui/orders.csv", "/ui/orders.ndjson"];
    let operate = ["/ui/pipeline", "/ui/parked", "/ui/parked/{id}", "/ui/index", "/ui/settings"];
    rules
        .with_pages(&["/ui", "/ui/assets/{name}", "/ui/sign-in"], Needs::Nothing)
        .with_pages(&orders, needs(Scope::OrdersRead))
        .with_pages(&operate, needs(Scope::Operate))
        .with_pages(&["/ui/events"], needs(Scope::EventsRead))
}

/// Pages that show addresses of customers, wherever on them.
const PERSONAL: [&str; 3] = ["/ui/orders", "/ui/parked", "/ui/events"];

/// Refuses pages with addresses to callers who may not see them.
pub(super) fn check(request: &Request) -> Result<(), Problem> {
    let path = request.uri().path();
    let is_personal = PERSONAL.iter().any(|page| path.starts_with(page));
    match request.extensions().get::<Caller>().filter(|_| is_personal) {
        Some(caller) => caller.needs(Scope::Pii),
        None => Ok(()),
    }
}

/// The answer to a browser that may not see a page: the way in, or why it is closed.
#[derive(Clone)]
pub(in crate::http) struct Refusal(pub(in crate::http) App);

impl Refusal {
    /// `problem` as the answer to a request for `path` (and query), which is a page's.
    pub(in crate::http) async fn answer(&self, path: &str, problem: Problem) -> Response {
        if !path.starts_with("/ui") {
            return problem.into_response();
        }
        let page = path.split('?').next().unwrap_or_default();
        if problem.status != StatusCode::UNAUTHORIZED.as_u16() {
            let response = problem.into_response();
            return headers(super::as_page(&self.0, super::depth(page), response).await);
        }
        let up = "../".repeat(page.matches('/').count().saturating_sub(2));
        let next = path.trim_start_matches("/ui").trim_start_matches('/');
        let query = Pairs::default().with("next", next).query();
        headers(Redirect::to(&format!("{up}sign-in{query}")).into_response())
    }
}

pub(super) async fn show(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let next = Pairs::of(&query.unwrap_or_default()).get("next").map(str::to_owned);
    page(&app, next.as_deref(), None).into_response()
}

fn page(app: &App, next: Option<&str>, refused: Option<String>) -> Page<SignInPage> {
    Page(SignInPage {
        frame: frame(app, Here::Nowhere, Depth::Page),
        open: app.guard.keyring.is_none(),
        next: next.unwrap_or_default().to_owned(),
        refused,
    })
}

pub(super) async fn sign_in(
    State(app): State<App>,
    sent: HeaderMap,
    from: Option<Extension<SocketAddr>>,
    RawForm(form): RawForm,
) -> Result<Response, Problem> {
    let form = Pairs::of(&String::from_utf8_lossy(&form));
    let (key, next) = (form.get("key").unwrap_or_default().trim(), form.get("next"));
    if app.guard.keyring.is_none() {
        return Ok(home(next).into_response());
    }
    let from = from.map(|from| from.ip());
    let known = match app.guard.recognize(key, from).await {
        Ok(_) if key.len() > MAX_COOKIE => {
            Err(("anyone".to_owned(), Problem::refused_key(TOO_LONG)))
        }
        known => known,
    };
    match known {
        Ok(_) => {
            Ok(([(header::SET_COOKIE, cookie(&app, &sent, key, ""))], home(next)).into_response())
        }
        Err((_, problem)) if problem.status >= 500 => Err(problem),
        Err((who, problem)) => {
            app.guard.refusals.count(&who, from, "POST /ui/sign-in", &problem.detail);
            let page = page(&app, next, Some(problem.detail)).into_response();
            Ok((StatusCode::UNAUTHORIZED, page).into_response())
        }
    }
}

pub(super) async fn sign_out(State(app): State<App>, sent: HeaderMap) -> Response {
    let forget = cookie(&app, &sent, "", "; Max-Age=0");
    ([(header::SET_COOKIE, forget)], Redirect::to("sign-in")).into_response()
}

/// The page that was requested; never on another site.
fn home(next: Option<&str>) -> Redirect {
    let own = |next: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%/?&=@+".contains(&byte);
        next.bytes().all(plain) && next.starts_with(|c: char| c.is_ascii_lowercase())
    };
    Redirect::to(next.filter(own).unwrap_or("orders"))
}

/// No script and no other site gets to see it, and where there is TLS, ours or a proxy's, it is sent by
/// TLS alone; it goes when the browser is closed.
fn cookie(app: &App, sent: &HeaderMap, key: &str, end: &str) -> String {
    let by_proxy = sent.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let secure = if by_proxy || app.about.url.starts_with("https:") { "; Secure" } else { "" };
    format!("{COOKIE}={key}; Path=/; HttpOnly; SameSite=Strict{secure}{end}")
}
