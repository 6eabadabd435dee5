//! Caller: who sends a request, from where, and what they may do.

use super::{ApiKey, Scope, Scopes};
use crate::problem::{self, Problem};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// Who sends a request. In every request that reaches a route.
#[derive(Clone, Debug)]
pub struct Caller {
    key: Option<(Uuid, Arc<str>)>,
    scopes: Scopes,
    from: Option<IpAddr>,
}

impl Caller {
    /// Somebody of whom nothing is known, and who may do this.
    #[must_use]
    pub const fn unknown(scopes: Scopes, from: Option<IpAddr>) -> Self {
        Self { key: None, scopes, from }
    }

    /// Whoever holds `key`.
    #[must_use]
    pub fn of(key: &ApiKey, from: Option<IpAddr>) -> Self {
        let name = Arc::from(key.name.as_str());
        Self { key: Some((key.id, name)), scopes: key.scopes, from }
    }

    /// The key's id; none where nobody needs one.
    #[must_use]
    pub fn key(&self) -> Option<Uuid> {
        self.key.as_ref().map(|(id, _)| *id)
    }

    /// What they may do.
    #[must_use]
    pub const fn scopes(&self) -> Scopes {
        self.scopes
    }

    /// Whether they may do what needs `scope`.
    #[must_use]
    pub const fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// Refuses those who may not do what needs `scope`.
    ///
    /// # Errors
    /// A [`Problem`] that names it.
    pub fn needs(&self, scope: Scope) -> Result<(), Problem> {
        if self.may(scope) { Ok(()) } else { Err(Problem::missing_scope(scope)) }
    }

    /// Where they are.
    #[must_use]
    pub fn from(&self) -> String {
        self.from.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
    }

    /// A name that a client chose, such as an idempotency key, in this caller's own space. Names of
    /// clients hold no spaces, so no two callers can meet.
    #[must_use]
    pub fn own(&self, name: String) -> String {
        match &self.key {
            Some((id, _)) => format!("{id} {name}"),
            None => name,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some((id, name)) => write!(f, "key {id} ({name})"),
            None => f.write_str("anyone"),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Caller>().cloned().ok_or_else(Problem::internal)
    }
}

const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"ofs\"");

impl Problem {
    /// No key was sent, though one is needed.
    #[must_use]
    pub fn no_key() -> Self {
        let detail = "send the header `Authorization: Bearer KEY` (ofs sends what OFS_API_KEY or --api-key-file \
                      holds); `ofs keys create` makes a key";
        Self::new(problem::UNAUTHENTICATED, detail).with_header(header::WWW_AUTHENTICATE, CHALLENGE)
    }

    /// The key that was sent is not taken, as `detail` says.
    #[must_use]
    pub fn refused_key(detail: impl Into<String>) -> Self {
        let challenge = HeaderValue::from_static("Bearer realm=\"ofs\", error=\"invalid_token\"");
        Self::new(problem::UNAUTHENTICATED, detail).with_header(header::WWW_AUTHENTICATE, challenge)
    }

    /// The caller may not do what needs `scope`.
    #[must_use]
    pub fn missing_scope(scope: Scope) -> Self {
        let detail = format!("this needs the scope `{scope}`, which your key does not have");
        Self::new(problem::MISSING_SCOPE, detail)
    }
}
