//! What surrounds every route: request id, log line, metrics, limits, and errors as problems.
//!
//! Query strings and bodies are never logged; they may hold personal data.

use super::console::Refusal;
use super::gate::{Asking, Gate};
use super::headers::{self, Origins};
use super::limits::{Limits, Whose};
use super::masked::masked;
use super::origin::Hosts;
use super::request_id;
use super::watched::watched;
use axum::Router;
use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use metrics::{counter, histogram};
use ofs_runtime::access::{Caller, Scope, Scopes};
use ofs_runtime::extract::MAX_BODY_BYTES;
use ofs_runtime::metrics::{HTTP_REQUEST_SECONDS, HTTP_REQUESTS};
use ofs_runtime::problem::{self, Invalid, Problem};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) const PROBLEM: &str = "application/problem+json";
/// How long the head of an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Routes that look at many orders, and may take longer.
const LONG: [&str; 2] = ["/index/verify", BATCH];
/// Reads its body line by line, and holds no more of it than others do.
const BATCH: &str = "/orders/batch";
/// Routes that are asked by whoever watches the process, and are answered always.
const PROBES: [&str; 2] = ["/health/live", "/health/ready"];
const LONG_TIMEOUT: Duration = Duration::from_secs(900);

/// `routes` with everything around them; those in `plain` take no query parameters.
pub(super) fn around(routes: Router, doors: Doors) -> Router {
    around_within(routes, doors, TIMEOUT)
}

fn around_within(routes: Router, doors: Doors, limit: Duration) -> Router {
    let doors = Arc::new(doors);
    let edge = move |request, next| edge(Arc::clone(&doors), limit, request, next);
    routes.fallback(nowhere).layer(from_fn(edge))
}

/// What is looked at before a request reaches its route.
pub(super) struct Doors {
    /// Routes that take no query parameters.
    pub plain: Plain,
    /// The names under which the server is asked.
    pub hosts: Hosts,
    /// Whose pages may ask besides our own.
    pub origins: Origins,
    /// Who may ask for what.
    pub gate: Gate,
    /// How browsers are told; none where there are no pages.
    pub pages: Option<Refusal>,
    /// How much each caller may send.
    pub limits: Limits,
    /// What is damaged of what the server has stored, if anything is.
    pub damage: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

impl Doors {
    async fn refuse(&self, path: String, scopes: Scopes, problem: Problem) -> Response {
        let Some(pages) = &self.pages else { return problem.into_response() };
        pages.answer(&path, scopes, problem).await
    }

    /// What `request` asks of the gate.
    fn read(&self, asked: &Asked, request: &Request) -> Result<Asking, Problem> {
        self.hosts.check(request, self.origins.of(request).is_some())?;
        self.gate.read(asked.route.as_ref().map(MatchedPath::as_str), request, &self.hosts)
    }

    /// Takes room for a request of `caller`, or of somebody who was refused; what is left of it.
    fn make_room(
        &self,
        asked: &Asked,
        caller: Option<&Caller>,
        from: Option<IpAddr>,
    ) -> Result<Option<u32>, Problem> {
        if PROBES.contains(&asked.route()) {
            return Ok(None);
        }
        self.limits.take(Whose::of(caller.and_then(Caller::id), from), asked.began)
    }

    /// Whether a request that may reach its route can be answered by it.
    fn check(&self, asked: &Asked, request: &Request) -> Result<(), Problem> {
        self.plain.check(asked, request.uri().query())?;
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        match (self.damage)().filter(|_| !reads) {
            Some(damage) => Err(Problem::storage_damaged(&damage)),
            None => Ok(()),
        }
    }

    /// A read that failed because of damage says so.
    fn explain(&self, response: Response) -> Response {
        let content_type = response.headers().get(header::CONTENT_TYPE);
        if response.status() != StatusCode::SERVICE_UNAVAILABLE
            || content_type.is_none_or(|value| value != PROBLEM)
        {
            return response;
        }
        match (self.damage)() {
            Some(damage) => Problem::storage_damaged(&damage).into_response(),
            None => response,
        }
    }
}

/// Routes that take no query parameters, by method and template. They refuse any.
#[derive(Debug, Default)]
pub(super) struct Plain(HashSet<(&'static str, String)>);

impl FromIterator<(&'static str, String)> for Plain {
    fn from_iter<T: IntoIterator<Item = (&'static str, String)>>(routes: T) -> Self {
        Self(routes.into_iter().collect())
    }
}

impl Plain {
    fn check(&self, asked: &Asked, query: Option<&str>) -> Result<(), Problem> {
        let method = if asked.method == Method::HEAD { "GET" } else { asked.method() };
        if !self.0.contains(&(method, asked.route().to_owned())) {
            return Ok(());
        }
        let given = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let rule = "is unknown; this route takes no parameters";
        let errors: Vec<_> = given.map(|(name, _)| Invalid::new(name, rule)).collect();
        if errors.is_empty() { Ok(()) } else { Err(Problem::invalid_query(errors)) }
    }
}

async fn nowhere(request: Request) -> Problem {
    Problem::unknown_route(request.uri().path())
}

/// What the log and the metrics say about a request; read before the request is gone.
struct Asked {
    method: Method,
    path: String,
    route: Option<MatchedPath>,
    began: Instant,
}

impl Asked {
    fn of(request: &Request) -> Self {
        Asked {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            began: Instant::now(),
        }
    }

    /// The route's template; a fixed text for paths that nobody routed, which anybody can make up.
    fn route(&self) -> &str {
        self.route.as_ref().map_or("other", MatchedPath::as_str)
    }

    /// Methods are made up as easily as paths.
    fn method(&self) -> &'static str {
        match self.method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            Method::PATCH => "PATCH",
            Method::OPTIONS => "OPTIONS",
            _ => "other",
        }
    }

    fn count(&self, status: StatusCode) {
        let (method, route) = (self.method(), self.route().to_owned());
        let code = status.as_u16().to_string();
        counter!(HTTP_REQUESTS, "method" => method, "route" => route.clone(), "status" => code)
            .increment(1);
        histogram!(HTTP_REQUEST_SECONDS, "method" => method, "route" => route)
            .record(self.began.elapsed().as_secs_f64());
    }

    fn log(&self, status: StatusCode, request_id: &str) {
        let (method, route, status) = (self.method(), self.route(), status.as_u16());
        let seconds = self.began.elapsed().as_secs_f64();
        // A path may be anything a client put there, an e-mail address too.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
        let known = self.route.is_some() && self.path.bytes().all(plain);
        let path = if known { self.path.as_str() } else { "-" };
        // Thousands a second would drown what matters; the metrics count them all.
        if status >= 500 {
            tracing::warn!(method, route, path, status, seconds, request_id, "request");
        } else {
            tracing::debug!(method, route, path, status, seconds, request_id, "request");
        }
    }
}

async fn edge(doors: Arc<Doors>, limit: Duration, mut request: Request, next: Next) -> Response {
    let id = request_id::of(request.headers());
    let asked = Asked::of(&request);
    let limit = if LONG.contains(&asked.route()) { LONG_TIMEOUT } else { limit };
    let origin = doors.origins.of(&request);
    let from = request.extensions().get::<SocketAddr>().map(|peer| peer.ip());
    let answer = async {
        if origin.is_some()
            && let Some(response) = headers::preflight(&request)
        {
            return response;
        }
        let asking = doors.read(&asked, &request);
        let holds_nobody = asking.as_ref().is_ok_and(Asking::is_for_anyone);
        let admitted = match asking {
            Ok(asking) => doors.gate.admit(asking).await,
            Err(problem) => Err((doors.gate.of_anyone(), problem)),
        };
        let left =
            match doors.make_room(&asked, admitted.as_ref().ok().map(|(caller, _)| caller), from) {
                Ok(left) => left,
                Err(problem) => return problem.into_response(),
            };
        let fit = |admitted: (Caller, _)| match doors.check(&asked, &request) {
            Ok(()) => Ok(admitted),
            Err(problem) => Err((admitted.0.scopes(), problem)),
        };
        let (caller, pass) = match admitted.and_then(fit) {
            Ok(admitted) => admitted,
            Err((scopes, problem)) => {
                let path = request.uri().path_and_query().map(ToString::to_string);
                return doors.refuse(path.unwrap_or_default(), scopes, problem).await;
            }
        };
        let sees_all = holds_nobody || caller.may(Scope::Pii);
        request.extensions_mut().insert(caller);
        let mut response = doors.explain(answer(&asked, limit, request, next).await);
        doors.limits.tell(left, &mut response);
        if let Some(pass) = pass {
            response = watched(response, doors.gate.guard.clone(), pass);
        }
        if sees_all { response } else { masked(response).await }
    };
    let mut response = problem::with_request_id(id.clone(), answer).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(request_id::HEADER, value);
    }
    headers::protect(&asked.path, &mut response);
    if let Some(origin) = origin {
        headers::allow(origin, &mut response);
    }
    asked.count(response.status());
    asked.log(response.status(), &id);
    response
}

async fn answer(asked: &Asked, limit: Duration, request: Request, next: Next) -> Response {
    let fits =
        asked.route() == BATCH || request.body().size_hint().lower() <= MAX_BODY_BYTES as u64;
    if !fits {
        return Problem::body_too_large(MAX_BODY_BYTES).into_response();
    }
    let run = AssertUnwindSafe(next.run(request)).catch_unwind();
    let response = match tokio::time::timeout(limit, run).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            // The panic hook has logged message and place; here is the request it belongs to.
            tracing::error!(method = asked.method(), route = asked.route(), "a request panicked");
            Problem::internal().into_response()
        }
        Err(_) => Problem::unavailable("what this request needs").into_response(),
    };
    as_problem(asked, response)
}

/// Errors that come from below the routes (axum's own) are made problems; ours are ones already.
fn as_problem(asked: &Asked, response: Response) -> Response {
    let status = response.status();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let ours = content_type.is_some_and(|value| {
        let value = value.as_bytes();
        let media = [PROBLEM.as_bytes(), b"application/json", b"text/html"];
        media.iter().any(|media| value.starts_with(media))
    });
    if ours || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let problem = match status {
        StatusCode::NOT_FOUND => Problem::unknown_route(&asked.path),
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::method_not_allowed(asked.method.as_str(), &asked.path)
        }
        StatusCode::PAYLOAD_TOO_LARGE => Problem::body_too_large(MAX_BODY_BYTES),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::wrong_content_type("application/json"),
        status if status.is_client_error() => {
            Problem::new(problem::INVALID_REQUEST, "the server cannot read this request")
        }
        _ => Problem::internal(),
    };
    let mut made = problem.into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        made.headers_mut().insert(header::ALLOW, allow.clone());
    }
    made
}

#[cfg(test)]
mod tests;
