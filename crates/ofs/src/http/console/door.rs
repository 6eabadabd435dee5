//! Who sees which page, and how a browser signs in: with a key, which it keeps in a cookie.

use super::{Page, frame, headers};
use crate::http::App;
use crate::http::gate::{COOKIE, Needs, Rules, cookie};
use axum::Extension;
use axum::extract::{MatchedPath, RawForm, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use ofs_console::frame::{Depth, Here};
use ofs_console::sign_in::SignInPage;
use ofs_console::url::Pairs;
use ofs_runtime::access::{Caller, Scope, Scopes};
use ofs_runtime::problem::Problem;
use std::net::SocketAddr;

/// The longest key or token that a browser keeps in a cookie for certain.
const MAX_COOKIE: usize = 3_500;
const TOO_LONG: &str = "the token is too long for a browser's cookie; sign in with a key";
const NO_PAGE: &str = "this key opens no page: orders need the scopes orders:read and pii, the log \
                       events:read and pii, keys admin, and everything else operate";

const ANYONE: &[Scope] = &[];
const OPERATE: &[Scope] = &[Scope::Operate];
const ADMIN: &[Scope] = &[Scope::Admin];
// Pages that show addresses of customers, wherever on them.
const ORDERS: &[Scope] = &[Scope::OrdersRead, Scope::Pii];
const EVENTS: &[Scope] = &[Scope::EventsRead, Scope::Pii];
const PARKED: &[Scope] = &[Scope::Operate, Scope::Pii];

/// Every page, and all that it requires of the caller. One that is not here is not served.
const PAGES: [(&str, &str, &[Scope]); 27] = [
    ("GET", "/ui", ANYONE),
    ("GET", "/ui/assets/{name}", ANYONE),
    ("GET", "/ui/sign-in", ANYONE),
    ("POST", "/ui/sign-in", ANYONE),
    ("POST", "/ui/sign-out", ANYONE),
    ("GET", "/ui/orders", ORDERS),
    ("GET", "/ui/orders/{id}", ORDERS),
    ("GET", "/ui/orders.csv", ORDERS),
    ("GET", "/ui/orders.ndjson", ORDERS),
    ("GET", "/ui/pipeline", OPERATE),
    ("GET", "/ui/parked", PARKED),
    ("POST", "/ui/parked/retry", PARKED),
    ("POST", "/ui/parked/discard", PARKED),
    ("POST", "/ui/parked/job/cancel", PARKED),
    ("GET", "/ui/parked/{id}", PARKED),
    ("POST", "/ui/parked/{id}/retry", PARKED),
    ("POST", "/ui/parked/{id}/discard", PARKED),
    ("GET", "/ui/events", EVENTS),
    ("GET", "/ui/index", OPERATE),
    ("POST", "/ui/index/rebuild", OPERATE),
    ("POST", "/ui/index/verify", OPERATE),
    ("POST", "/ui/index/refused/retry", OPERATE),
    ("GET", "/ui/settings", OPERATE),
    ("GET", "/ui/keys", ADMIN),
    ("POST", "/ui/keys", ADMIN),
    ("POST", "/ui/keys/{id}/revoke", ADMIN),
    // Where there is none.
    ("GET", "/ui/{*rest}", ANYONE),
];

/// What the gate has to know: the first scope of each page; [`check`] looks at the others.
pub(in crate::http) fn rules(rules: Rules) -> Rules {
    PAGES.iter().fold(rules, |rules, (method, route, scopes)| {
        let needs = scopes.first().map_or(Needs::Nothing, |scope| Needs::Scope(*scope));
        rules.with(method, route, needs)
    })
}

/// All that the page at `route` requires, by whatever method.
fn scopes_of(route: &str) -> &'static [Scope] {
    let page = PAGES.iter().find(|(_, known, _)| *known == route);
    page.map_or(ANYONE, |(_, _, scopes)| scopes)
}

/// Refuses a page to callers who lack one of its scopes.
pub(super) fn check(request: &Request) -> Result<(), Problem> {
    let found = request.extensions();
    let (Some(route), Some(caller)) = (found.get::<MatchedPath>(), found.get::<Caller>()) else {
        return Ok(());
    };
    scopes_of(route.as_str()).iter().try_for_each(|scope| caller.needs(*scope))
}

/// The pages that `scopes` open, as the navigation lists them.
pub(super) fn open_to(scopes: Scopes) -> Vec<Here> {
    let is_open = |here: &Here| {
        let needed = scopes_of(&format!("/ui/{}", here.name()));
        needed.iter().all(|scope| scopes.contains(*scope))
    };
    Here::ALL.into_iter().filter(is_open).collect()
}

/// From `/` or `/ui` to the first page that the browser's key opens; without one, to the way in.
pub(super) async fn lead_home(app: &App, sent: &HeaderMap) -> Redirect {
    let scopes = match cookie(sent) {
        Some(key) => app.guard.recognize(&key, None).await.map(|(holder, _)| holder.scopes()).ok(),
        None => None,
    };
    let page = scopes.and_then(|scopes| open_to(scopes).first().copied()).unwrap_or(Here::Orders);
    Redirect::temporary(&format!("ui/{}", page.name()))
}

/// The answer to a browser that may not see a page: the way in, or why it is closed.
#[derive(Clone)]
pub(in crate::http) struct Refusal(pub(in crate::http) App);

impl Refusal {
    /// `problem` as the answer to a request for `path` (and query) by somebody with these `scopes`.
    pub(in crate::http) async fn answer(
        &self,
        path: &str,
        scopes: Scopes,
        problem: Problem,
    ) -> Response {
        if !path.starts_with("/ui") {
            return problem.into_response();
        }
        let page = path.split('?').next().unwrap_or_default();
        if problem.status != StatusCode::UNAUTHORIZED.as_u16() {
            let response = problem.into_response();
            return headers(super::as_page(&self.0, scopes, super::depth(page), response).await);
        }
        let up = "../".repeat(page.matches('/').count().saturating_sub(2));
        let next = path.trim_start_matches("/ui").trim_start_matches('/');
        let query = Pairs::default().with("next", next).query();
        headers(Redirect::to(&format!("{up}sign-in{query}")).into_response())
    }
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Response {
    let next = Pairs::of(&query.unwrap_or_default()).get("next").map(str::to_owned);
    page(&app, &caller, next.as_deref(), None).into_response()
}

fn page(
    app: &App,
    caller: &Caller,
    next: Option<&str>,
    refused: Option<String>,
) -> Page<SignInPage> {
    Page(SignInPage {
        frame: frame(app, caller.scopes(), Here::Nowhere, Depth::Page),
        open: app.guard.keyring.is_none(),
        next: next.unwrap_or_default().to_owned(),
        refused,
    })
}

pub(super) async fn sign_in(
    State(app): State<App>,
    caller: Caller,
    sent: HeaderMap,
    from: Option<Extension<SocketAddr>>,
    RawForm(form): RawForm,
) -> Result<Response, Problem> {
    let form = Pairs::of(&String::from_utf8_lossy(&form));
    let (key, next) = (form.get("key").unwrap_or_default().trim(), form.get("next"));
    if app.guard.keyring.is_none() {
        return Ok(home(next, &Here::ALL).into_response());
    }
    let from = from.map(|from| from.ip());
    let known = match app.guard.recognize(key, from).await {
        Ok(_) if key.len() > MAX_COOKIE => {
            Err(("anyone".to_owned(), Problem::refused_key(TOO_LONG)))
        }
        Ok((holder, _)) => match open_to(holder.scopes()).as_slice() {
            [] => Err((holder.to_string(), Problem::refused_key(NO_PAGE))),
            pages => Ok(home(next, pages)),
        },
        Err(refused) => Err(refused),
    };
    match known {
        Ok(home) => Ok(([(header::SET_COOKIE, kept(&app, &sent, key, ""))], home).into_response()),
        Err((_, problem)) if problem.status >= 500 => Err(problem),
        Err((who, problem)) => {
            app.guard.refusals.count(&who, from, "POST /ui/sign-in", &problem.detail);
            let page = page(&app, &caller, next, Some(problem.detail)).into_response();
            Ok((StatusCode::UNAUTHORIZED, page).into_response())
        }
    }
}

pub(super) async fn sign_out(State(app): State<App>, sent: HeaderMap) -> Response {
    let forget = kept(&app, &sent, "", "; Max-Age=0");
    ([(header::SET_COOKIE, forget)], Redirect::to("sign-in")).into_response()
}

/// The page that was requested if it is one of `pages`, else the first of them; never on another site.
fn home(next: Option<&str>, pages: &[Here]) -> Redirect {
    let own = |next: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%/?&=@+".contains(&byte);
        next.bytes().all(plain) && pages.iter().any(|page| page.holds(next))
    };
    let first = pages.first().map_or("sign-in", |page| page.name());
    Redirect::to(next.filter(own).unwrap_or(first))
}

/// No script and no other site gets to see it, and where there is TLS, ours or a proxy's, it is sent by
/// TLS alone; it goes when the browser is closed.
fn kept(app: &App, sent: &HeaderMap, key: &str, end: &str) -> String {
    let by_proxy = sent.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let secure = if by_proxy || app.about.url.starts_with("https:") { "; Secure" } else { "" };
    format!("{COOKIE}={key}; Path=/; HttpOnly; SameSite=Strict{secure}{end}")
}
