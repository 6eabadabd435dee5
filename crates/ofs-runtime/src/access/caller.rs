//! Caller: who sends a request, from where, and what they may do.

use super::{ApiKey, Scope, Scopes};
use crate::problem::{self, Problem};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::{Builder, Uuid};

/// Who somebody is, and what people call them.
#[derive(Clone, Debug)]
enum Who {
    Anyone,
    Key(Uuid, Arc<str>),
    /// Whom an issuer of tokens has named.
    Subject(Uuid, Arc<str>),
}

/// Who sends a request. In every request that reaches a route.
#[derive(Clone, Debug)]
pub struct Caller {
    who: Who,
    scopes: Scopes,
    from: Option<IpAddr>,
}

impl Caller {
    /// An unidentified caller with these scopes.
    #[must_use]
    pub const fn unknown(scopes: Scopes, from: Option<IpAddr>) -> Self {
        Self { who: Who::Anyone, scopes, from }
    }

    /// The holder of `key`.
    #[must_use]
    pub fn of(key: &ApiKey, from: Option<IpAddr>) -> Self {
        let name = Arc::from(key.name.as_str());
        Self { who: Who::Key(key.id, name), scopes: key.scopes, from }
    }

    /// The caller that `issuer` calls `subject`, with these scopes.
    #[must_use]
    pub fn subject(issuer: &str, subject: &str, scopes: Scopes, from: Option<IpAddr>) -> Self {
        // Neither holds a NUL, so no two pairs are the same bytes.
        let named = Sha256::new().chain_update(issuer).chain_update([0]).chain_update(subject);
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(named.finalize()).for_each(|(byte, hashed)| *byte = hashed);
        // Of version 8, which no key's id is.
        let id = Builder::from_custom_bytes(bytes).into_uuid();
        Self { who: Who::Subject(id, subject.into()), scopes, from }
    }

    /// The key's or the subject's id, which are never the same; none where nobody needs one.
    #[must_use]
    pub const fn id(&self) -> Option<Uuid> {
        match &self.who {
            Who::Anyone => None,
            Who::Key(id, _) | Who::Subject(id, _) => Some(*id),
        }
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
        match self.id() {
            Some(id) => format!("{id} {name}"),
            None => name,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            Who::Anyone => f.write_str("anyone"),
            Who::Key(id, name) => write!(f, "key {id} ({name})"),
            Who::Subject(id, name) => write!(f, "subject {id} ({name})"),
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
        let detail =
            format!("this needs the scope `{scope}`, which your key or token does not have");
        Self::new(problem::MISSING_SCOPE, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_told_apart_from_each_other_and_from_keys() {
        let of = |issuer, subject| Caller::subject(issuer, subject, Scopes::default(), None);
        let id = |caller: &Caller| caller.id().expect("an id");
        let ada = of("https://a.example", "ada");
        assert_eq!(id(&ada), id(&of("https://a.example", "ada")));
        assert_eq!(id(&ada).get_version_num(), 8, "keys have ids of version 7");
        for other in [
            of("https://b.example", "ada"),
            of("https://a.example", "bob"),
            of("https://a.exampl", "eada"),
            // One that calls itself by another's id is still somebody else.
            of("https://a.example", &id(&ada).to_string()),
        ] {
            assert_ne!(id(&ada), id(&other));
            assert_ne!(ada.own("k".to_owned()), other.own("k".to_owned()));
        }
        assert_eq!(ada.to_string(), format!("subject {} (ada)", id(&ada)));
    }
}
