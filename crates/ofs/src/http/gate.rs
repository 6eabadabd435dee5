//! The gate: what each route needs, and whether a request has it. A route that does not say what it needs
//! is not served.
//!
//! What a route needs is said where it is described: `security` in its `utoipa::path`.

use super::docs;
use super::origin::Hosts;
use super::refusals::Refusals;
use crate::issuer::{self, Issuer, Ticket};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use ofs_events::Timestamp;
use ofs_runtime::access::{Caller, Keyring, NoEntry, Scope, Scopes};
use ofs_runtime::context::Context;
use ofs_runtime::problem::{self, Problem};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::Operation;
use uuid::Uuid;

/// The cookie that holds a browser's key.
pub(super) const COOKIE: &str = "ofs-key";

/// Whom a process lets in.
#[derive(Clone)]
pub struct Guard {
    /// The keys of which a request needs one; none if it needs none.
    pub keyring: Option<Keyring>,
    /// Whose tokens are taken beside keys, if anybody's are.
    pub issuer: Option<Issuer>,
    /// Whether only this machine reaches the process.
    pub local: bool,
    /// What was refused, for the audit trail.
    pub refusals: Refusals,
}

/// What somebody was let in with.
#[derive(Clone)]
pub(super) enum Pass {
    Key(Uuid),
    Token(Ticket),
}

impl Guard {
    /// Whoever sent `text`, a key or a token, and what it is; else who was refused, as far as that is
    /// known, and why.
    pub(super) async fn recognize(
        &self,
        text: &str,
        from: Option<IpAddr>,
    ) -> Result<(Caller, Pass), (String, Problem)> {
        let anyone = |problem| ("anyone".to_owned(), problem);
        if let Some(issuer) = self.issuer.as_ref().filter(|_| Issuer::is_token(text)) {
            let token = issuer.admit(text, now()).await.map_err(|no| anyone(no.into()))?;
            let caller = Caller::subject(issuer.name(), &token.subject, token.scopes, from);
            return Ok((caller, Pass::Token(token.ticket)));
        }
        let Some(keyring) = &self.keyring else { return Err(anyone(Problem::internal())) };
        let key = keyring.admit(text).await.map_err(|no| match no {
            NoEntry::Store(error) => anyone(error.into()),
            NoEntry::Expired(id) | NoEntry::Revoked(id) => {
                (format!("key {id}"), Problem::refused_key(no.to_string()))
            }
            NoEntry::Unknown => anyone(Problem::refused_key(no.to_string())),
        })?;
        Ok((Caller::of(&key, from), Pass::Key(key.id)))
    }

    /// Makes sure that `pass`, with which somebody was let in, still counts.
    ///
    /// # Errors
    /// Why it does not, for people.
    pub(super) async fn check(&self, pass: &Pass) -> Result<(), String> {
        match (pass, &self.keyring, &self.issuer) {
            (Pass::Key(id), Some(keyring), _) => {
                keyring.check(*id).await.map_err(|no| no.to_string())
            }
            (Pass::Token(ticket), _, Some(issuer)) => {
                issuer.check(ticket, now()).map_err(|no| no.to_string())
            }
            (Pass::Key(_), None, _) | (Pass::Token(_), _, None) => Ok(()),
        }
    }
}

impl From<issuer::NoEntry> for Problem {
    fn from(no: issuer::NoEntry) -> Self {
        match no {
            issuer::NoEntry::Refused(reason) => Problem::refused_key(reason),
            issuer::NoEntry::Unreachable(_) => {
                Problem::new(problem::UNAVAILABLE, no.to_string()).retry_after(5)
            }
        }
    }
}

fn now() -> Timestamp {
    Context::new("gate").now()
}

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing; anyone may ask.
    Nothing,
    /// This scope.
    Scope(Scope),
    /// This scope, if more than this machine reaches the process.
    ScopeFromAfar(Scope),
}

impl Needs {
    /// What `operation` says that it needs; none if it does not say.
    pub(super) fn of(operation: &Operation) -> Option<Self> {
        let security = serde_json::to_value(operation.security.as_ref()?).ok()?;
        let alternatives = security.as_array()?;
        let nothing = alternatives.iter().any(|one| one.as_object().is_some_and(|o| o.is_empty()));
        let scope = alternatives.iter().find_map(|one| one[docs::KEY][0].as_str());
        match (nothing, scope.map(str::parse)) {
            (true, None) => Some(Needs::Nothing),
            (true, Some(Ok(scope))) => Some(Needs::ScopeFromAfar(scope)),
            (false, Some(Ok(scope))) => Some(Needs::Scope(scope)),
            (_, Some(Err(_))) | (false, None) => None,
        }
    }
}

/// What each route needs, by template and method.
#[derive(Debug, Default)]
pub(super) struct Rules(HashMap<String, BTreeMap<&'static str, Needs>>);

impl Rules {
    /// What the operations that are described need.
    pub(super) fn of(described: &OpenApi) -> Self {
        let mut rules = Self::default();
        for (method, route, operation) in docs::operations(described) {
            if let Some(needs) = Needs::of(operation) {
                rules = rules.with(method, route, needs);
            }
        }
        rules
    }

    /// And anyone may see the pages at `routes`, which are not described.
    pub(super) fn with_open(self, routes: &[&str]) -> Self {
        routes.iter().fold(self, |rules, route| rules.with("GET", route, Needs::Nothing))
    }

    /// And `method` needs this at `route`.
    pub(super) fn with(mut self, method: &'static str, route: &str, needs: Needs) -> Self {
        self.0.entry(route.to_owned()).or_default().insert(method, needs);
        self
    }

    /// What `method` needs at `route`.
    ///
    /// # Errors
    /// The methods that `route` does take, or that there is no such route.
    fn find(&self, method: &str, route: &str) -> Result<Needs, Problem> {
        let Some(methods) = self.0.get(route) else {
            tracing::error!(route, "this route does not say what it needs, and is not served");
            return Err(Problem::unknown_route(route));
        };
        let known = methods.get(if method == "HEAD" { "GET" } else { method });
        known.copied().ok_or_else(|| {
            let get = methods.contains_key("GET").then_some("HEAD");
            let allowed: Vec<&str> = methods.keys().copied().chain(get).collect();
            let allow = HeaderValue::from_str(&allowed.join(",")).ok();
            let problem = Problem::method_not_allowed(method, route);
            allow
                .into_iter()
                .fold(problem, |problem, allow| problem.with_header(header::ALLOW, allow))
        })
    }
}

/// Whom a process lets in where.
pub(super) struct Gate {
    pub(super) guard: Guard,
    pub(super) rules: Rules,
}

/// What a request asks of the gate.
pub(super) struct Asking {
    from: Option<IpAddr>,
    /// Method and route.
    what: String,
    /// The scope that it takes; none if anyone may.
    scope: Option<Scope>,
    /// The key that came with it.
    sent: Result<Option<String>, Problem>,
}

impl Asking {
    /// Whether anyone may ask for it, so that the answer can hold nothing about anybody.
    pub(super) const fn is_for_anyone(&self) -> bool {
        self.scope.is_none()
    }
}

impl Gate {
    /// What `request` asks for at `route` (none: nothing is there).
    ///
    /// # Errors
    /// If the route does not take it, whoever asks.
    pub(super) fn read(
        &self,
        route: Option<&str>,
        request: &Request,
        hosts: &Hosts,
    ) -> Result<Asking, Problem> {
        let needs = match route {
            Some(route) => self.rules.find(request.method().as_str(), route)?,
            None => Needs::Nothing,
        };
        let open = self.guard.keyring.is_none();
        let scope = match needs {
            Needs::Nothing => None,
            Needs::ScopeFromAfar(_) if self.guard.local => None,
            Needs::ScopeFromAfar(scope) | Needs::Scope(scope) => Some(scope),
        };
        Ok(Asking {
            from: request.extensions().get::<SocketAddr>().map(|peer| peer.ip()),
            what: format!("{} {}", request.method(), route.unwrap_or_default()),
            scope: scope.filter(|_| !open),
            sent: if open || scope.is_none() { Ok(None) } else { sent(request, hosts) },
        })
    }

    /// What anyone may do.
    pub(super) fn of_anyone(&self) -> Scopes {
        if self.guard.keyring.is_none() { Scopes::all() } else { Scopes::default() }
    }

    /// Who is asking, and what they were let in with, if they needed anything.
    ///
    /// # Errors
    /// If they may not: what they may do, and why not this.
    pub(super) async fn admit(
        &self,
        asking: Asking,
    ) -> Result<(Caller, Option<Pass>), (Scopes, Problem)> {
        let Asking { from, what, scope, sent } = asking;
        let Some(scope) = scope else {
            return Ok((Caller::unknown(self.of_anyone(), from), None));
        };
        let admitted = with_scope(&self.guard, scope, sent, from).await;
        admitted.map_err(|Refused { who, scopes, problem }| {
            if problem.status < 500 {
                self.guard.refusals.count(&who, from, &what, &problem.detail);
            }
            (scopes, problem)
        })
    }
}

/// Who was refused, as far as that is known, what they may do, and why not this.
struct Refused {
    who: String,
    scopes: Scopes,
    problem: Problem,
}

/// Whoever sent this key or token, if they have `scope`.
async fn with_scope(
    guard: &Guard,
    scope: Scope,
    sent: Result<Option<String>, Problem>,
    from: Option<IpAddr>,
) -> Result<(Caller, Option<Pass>), Refused> {
    let unknown = |(who, problem)| Refused { who, scopes: Scopes::default(), problem };
    let anyone = |problem| unknown(("anyone".to_owned(), problem));
    let sent = sent.map_err(anyone)?.ok_or_else(|| anyone(Problem::no_key()))?;
    let (caller, pass) = guard.recognize(&sent, from).await.map_err(unknown)?;
    match caller.needs(scope) {
        Ok(()) => Ok((caller, Some(pass))),
        Err(problem) => Err(Refused { who: caller.to_string(), scopes: caller.scopes(), problem }),
    }
}

/// The key that came with `request`; in a cookie only from a page of this server.
fn sent(request: &Request, hosts: &Hosts) -> Result<Option<String>, Problem> {
    let headers = request.headers();
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (Some(one), None) => {
            let (scheme, key) = one.to_str().ok().and_then(|one| one.split_once(' ')).unzip();
            let key = key.filter(|_| scheme.is_some_and(|it| it.eq_ignore_ascii_case("bearer")));
            let wrong = || Problem::refused_key("the header must be `Authorization: Bearer KEY`");
            key.map(|key| Some(key.trim().to_owned())).ok_or_else(wrong)
        }
        (None, _) if hosts.is_own_page(request) => Ok(cookie(headers)),
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Problem::invalid_header("Authorization", "send it once")),
    }
}

/// The key that a browser keeps.
pub(super) fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(name, _)| name.trim() == COOKIE);
    found.map(|(_, value)| value.trim().trim_matches('"').to_owned())
}
