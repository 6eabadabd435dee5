//! Tokens (JWT) of an OpenID Connect issuer, beside keys: who sent one, and what it lets them do.
//!
//! Asks the issuer for nothing but the keys that it signs with, which are in `keys`.

mod claims;
mod keys;
#[cfg(test)]
mod tests;

pub(crate) use keys::check as check_url;

use claims::Rules;
use keys::{Keys, Times};
use ofs_events::Timestamp;
use ofs_runtime::access::Scopes;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The longest token, in bytes.
const MAX_TOKEN: usize = 8 * 1024;

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEntry {
    /// Whoever sent it has to send another.
    #[error("{0}")]
    Refused(&'static str),
    /// It cannot be told, for this reason.
    #[error(
        "the issuer of tokens (auth.issuer) cannot be asked for its keys: {0}; API keys are taken as ever"
    )]
    Unreachable(Arc<str>),
}

/// Where tokens come from that are taken, and whom they have to be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// `auth.issuer`.
    pub issuer: String,
    /// `auth.audience`.
    pub audience: String,
}

/// A token that was taken.
#[derive(Clone, Debug)]
pub struct Token {
    /// Whom the issuer made it for.
    pub subject: String,
    /// What it lets them do.
    pub scopes: Scopes,
    /// For how long.
    pub ticket: Ticket,
}

/// How long a token counts: until it expires, or its key is the issuer's no more.
#[derive(Clone, Debug)]
pub struct Ticket {
    kid: Arc<str>,
    until: Timestamp,
}

/// The issuer of tokens. Cheap to clone.
#[derive(Clone)]
pub struct Issuer(Arc<Inner>);

struct Inner {
    trust: Trust,
    rules: Rules,
    keys: Keys,
}

impl Issuer {
    /// The one in `trust`; nothing is taken before [`Issuer::run`] has asked it for its keys.
    ///
    /// # Errors
    /// If there can be no client for it.
    pub fn new(trust: Trust) -> anyhow::Result<Self> {
        Self::with(trust, Times::default())
    }

    fn with(trust: Trust, times: Times) -> anyhow::Result<Self> {
        let (rules, keys) = (Rules::new(&trust), Keys::new(&trust.issuer, times)?);
        Ok(Self(Arc::new(Inner { trust, rules, keys })))
    }

    /// Its name, as tokens have it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.trust.issuer
    }

    /// Whether `text` is meant as a token: three parts with dots between, which a key never has.
    #[must_use]
    pub fn is_token(text: &str) -> bool {
        text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// The token that `text` is, if it may be used now.
    ///
    /// # Errors
    /// [`NoEntry`].
    pub async fn admit(&self, text: &str, now: Timestamp) -> Result<Token, NoEntry> {
        if text.len() > MAX_TOKEN {
            return Err(NoEntry::Refused("the token is longer than 8 KiB"));
        }
        let head = claims::head(text)?;
        let key = self.0.keys.find(&head.kid).await?;
        self.0.rules.check(text, head, &key, now)
    }

    /// Makes sure that a token with which somebody was let in still counts.
    ///
    /// # Errors
    /// [`NoEntry`].
    pub fn check(&self, ticket: &Ticket, now: Timestamp) -> Result<(), NoEntry> {
        if ticket.until <= now {
            return Err(NoEntry::Refused(claims::EXPIRED));
        }
        self.0.keys.known(&ticket.kid).map(drop)
    }

    /// Asks the issuer for its keys, now and then and when it is needed, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        self.0.keys.run(stop).await;
    }
}
