//! Port: who may do what. API keys, and the audit trail of what was done with them.
//!
//! A change of a key and its entry in the trail become durable together.

mod audit;
mod caller;
mod keyring;
mod mask;
mod scope;
mod secret;

pub use audit::{Audit, Entry, Finding, Verified, link, verify};
pub use caller::Caller;
pub use keyring::{Keyring, NoEntry};
pub use mask::{MASK, mask_value, masked_text};
pub use scope::{Scope, Scopes};
pub use secret::{Digest, Secret};

use crate::store::Error;
use async_trait::async_trait;
use ofs_events::Timestamp;
use uuid::Uuid;

/// An API key as it is stored: all but the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, which the key's text begins with.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// What its secret is compared with.
    pub digest: Digest,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused; none if it does not expire.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked; none if it was not.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to within a few seconds; none if it never was.
    pub used_at: Option<Timestamp>,
}

/// An entry of the audit trail as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// Its number, from 1.
    pub seq: u64,
    /// The entry, as it was given.
    pub entry: String,
    /// [`link`] of the hash before it, its number and its text.
    pub hash: Vec<u8>,
}

/// The table of keys and the audit trail.
#[async_trait]
pub trait Access: Send + Sync {
    /// Adds `key` and notes `entry`; if it is to be the `first`, only if there is no key yet. Returns
    /// whether it was added.
    async fn add_key(&self, key: &ApiKey, first: bool, entry: &str) -> Result<bool, Error>;

    /// The key with this id.
    async fn key(&self, id: Uuid) -> Result<Option<ApiKey>, Error>;

    /// Every key there is, and was; oldest first.
    async fn keys(&self) -> Result<Vec<ApiKey>, Error>;

    /// Revokes the key and notes `entry`; does neither if there is none, or it is revoked. Answers
    /// whether it did.
    async fn revoke_key(&self, id: Uuid, at: Timestamp, entry: &str) -> Result<bool, Error>;

    /// These keys were last used then; an earlier time never replaces a later one.
    async fn keys_used(&self, used: &[(Uuid, Timestamp)]) -> Result<(), Error>;

    /// Notes `entry` in the audit trail.
    async fn note(&self, entry: &str) -> Result<(), Error>;

    /// Entries with a number above `after`, by ascending number, at most `max`.
    async fn trail(&self, after: u64, max: usize) -> Result<Vec<Noted>, Error>;

    /// Number and hash of the newest entry, as they are kept apart from the entries.
    async fn trail_end(&self) -> Result<(u64, Vec<u8>), Error>;
}
