//! What a token says, and whether it is true: its algorithm, its signature, and its claims. Keeps nothing.

use super::keys::Key;
use super::{NoEntry, Ticket, Token, Trust};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use ofs_events::Timestamp;
use ofs_runtime::access::Scopes;
use ofs_runtime::text::is_hidden;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// How far the clocks of the issuer and of this machine may be apart, in seconds.
const LEEWAY: u32 = 30;
/// The longest subject, in bytes, as OpenID Connect has it.
const MAX_SUBJECT: usize = 255;
/// No time that a token names is beyond this: in seconds, the year 9999.
const LAST: f64 = 253_370_764_800.0;

pub(super) const EXPIRED: &str = "the token has expired; get a new one from its issuer";
const UNREADABLE: &str = "this is no token that can be read; send it whole, as its issuer made it";
const ALGORITHM: &str = "the token is signed in a way that is not taken; RS256, PS256, ES256 and EdDSA are, as \
                         the issuer's key has it";
const SUBJECT: &str = "the token's subject must have 1 to 255 bytes and no control characters";

/// What a token says before its signature was looked at: nothing of it is believed.
pub(super) struct Head {
    pub(super) kid: Arc<str>,
    algorithm: Algorithm,
}

/// Reads the head of the token `text`.
pub(super) fn head(text: &str) -> Result<Head, NoEntry> {
    let head = decode_header(text).map_err(|_| NoEntry::Refused(UNREADABLE))?;
    // RFC 7515: what is marked as critical and not understood is refused. We understand no extension.
    if head.crit.is_some() || head.enc.is_some() || head.zip.is_some() {
        return Err(NoEntry::Refused("the token wants extensions that are not understood here"));
    }
    // RFC 8725: a JWT of another kind is no access token, even if it is signed with the same key.
    let kind = head.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
    if !["jwt", "at+jwt", "application/at+jwt"].contains(&kind.as_str()) {
        return Err(NoEntry::Refused("this kind of token is no access token"));
    }
    let nameless = NoEntry::Refused("the token does not say which key it is signed with (kid)");
    let kid = head.kid.filter(|kid| !kid.is_empty()).ok_or(nameless)?;
    Ok(Head { kid: kid.into(), algorithm: head.alg })
}

/// What is read of the claims; the library checks `aud` and `nbf`, and these once more.
#[derive(Deserialize)]
struct Claims {
    /// One text; a list is no issuer.
    #[serde(rename = "iss")]
    _iss: String,
    sub: String,
    exp: f64,
    #[serde(default)]
    scope: Value,
    #[serde(default)]
    scp: Value,
}

impl Claims {
    /// The scopes, in words with spaces between or in a list; those that are not ours are left out.
    fn scopes(&self) -> Scopes {
        let words = |claim: &Value| match claim {
            Value::String(words) => words.clone(),
            Value::Array(words) => {
                words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
            }
            _ => String::new(),
        };
        Scopes::read(&format!("{} {}", words(&self.scope), words(&self.scp)))
    }

    #[expect(clippy::cast_possible_truncation, reason = "within the years that there are")]
    fn until(&self) -> Timestamp {
        let seconds = self.exp.clamp(0.0, LAST) as i64 + i64::from(LEEWAY);
        Timestamp::from_micros(seconds * 1_000_000)
    }
}

/// What every token has to be.
pub(super) struct Rules(Validation);

impl Rules {
    pub(super) fn new(trust: &Trust) -> Self {
        let mut rules = Validation::default();
        rules.set_issuer(&[&trust.issuer]);
        rules.set_audience(&[&trust.audience]);
        rules.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
        rules.leeway = LEEWAY.into();
        rules.validate_nbf = true;
        // Whoever checks names the one that is taken.
        rules.algorithms = Vec::new();
        Self(rules)
    }

    /// The token `text` with this `head`, if it is signed with `key` and all that it claims is right.
    pub(super) fn check(
        &self,
        text: &str,
        head: Head,
        key: &Key,
        now: Timestamp,
    ) -> Result<Token, NoEntry> {
        if !key.algorithms.contains(&head.algorithm) {
            return Err(NoEntry::Refused(ALGORITHM));
        }
        let rules = Validation { algorithms: vec![head.algorithm], ..self.0.clone() };
        let claims = decode::<Claims>(text, &key.key, &rules);
        let claims = claims.map_err(|error| NoEntry::Refused(why(error.kind())))?.claims;
        if claims.sub.is_empty()
            || claims.sub.len() > MAX_SUBJECT
            || claims.sub.chars().any(is_hidden)
        {
            return Err(NoEntry::Refused(SUBJECT));
        }
        let ticket = Ticket { kid: head.kid, until: claims.until() };
        if ticket.until <= now {
            return Err(NoEntry::Refused(EXPIRED));
        }
        Ok(Token { scopes: claims.scopes(), subject: claims.sub, ticket })
    }
}

/// Why a token is refused; says nothing that it holds.
fn why(error: &ErrorKind) -> &'static str {
    match error {
        ErrorKind::InvalidSignature => "the token's signature is not its issuer's",
        ErrorKind::InvalidAlgorithm => ALGORITHM,
        ErrorKind::ExpiredSignature => EXPIRED,
        ErrorKind::ImmatureSignature => {
            "the token is not valid yet; the issuer's clock may be wrong, or ours"
        }
        ErrorKind::InvalidIssuer => {
            "the token is another issuer's; this server takes those of auth.issuer"
        }
        ErrorKind::InvalidAudience => {
            "the token is for somebody else; it has to be for the audience in auth.audience"
        }
        ErrorKind::MissingRequiredClaim(_)
        | ErrorKind::InvalidClaimFormat(_)
        | ErrorKind::Json(_) => {
            "the token must have the claims iss, sub, aud and exp, each in its right form"
        }
        _ => UNREADABLE,
    }
}
