//! Port: the search index. A read model that can always be rebuilt from the store.
//!
//! Holds whole documents with the record's version; an older version never replaces a newer one.

mod query;
mod schema;

pub use query::{By, Cursor, FacetCount, Filter, Found, Query};
pub use schema::{Field, Kind, Schema};

use async_trait::async_trait;
use ofs_events::Key;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A document to be stored: one record as search sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The record's key, and the document's id.
    pub id: Key,
    /// The record's version.
    pub version: u64,
    /// The document: an object. What the [`Schema`] lists may be missing or null; anything else is kept.
    pub body: Value,
}

/// What became of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// Durably stored.
    Stored,
    /// A newer (or this) version is durably there already; as good as stored.
    Newer,
    /// Refused whatever happens, for this reason.
    Refused(String),
    /// Not now; push it again.
    Later(String),
}

/// A generation of the index. Rebuild makes a new one beside the old one; search reads the active one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Target(pub String);

/// What the engine holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The store this index belongs to; none if it is new.
    pub instance: Option<Uuid>,
    /// The generation that search reads.
    pub active: Option<Target>,
    /// Every generation there is.
    pub targets: Vec<Target>,
    /// Documents in the active one.
    pub documents: u64,
}

/// The index.
#[async_trait]
pub trait Index: Send + Sync {
    /// What it was opened with. Generations made with another schema do not count, so that they are
    /// rebuilt.
    fn schema(&self) -> &Schema;

    /// Its name and version, for people; none while they cannot be told.
    async fn engine(&self) -> Option<String> {
        None
    }

    /// Pushes `documents` into `target`, one answer each; returns when they are durable.
    async fn put(&self, target: &Target, documents: &[Document]) -> Result<Vec<Put>, Error>;

    /// Searches the active target. A page of large documents is shorter, and has a next.
    /// [`Error::Rejected`] if the schema has no such field.
    async fn search(&self, query: &Query) -> Result<Found, Error>;

    /// Documents of `target` by ascending id, after `after`, at most `max`, fewer where they are large; empty
    /// only if there are none. Sees everything put.
    async fn scan(
        &self,
        target: &Target,
        after: Option<Key>,
        max: usize,
    ) -> Result<Vec<Document>, Error>;

    /// What there is.
    async fn status(&self) -> Result<Status, Error>;

    /// Makes the empty generation `target` for the store `instance`; does nothing if it is there.
    async fn begin(&self, target: &Target, instance: Uuid) -> Result<(), Error>;

    /// Makes `target` the active one, at once for all searches, and removes the others.
    async fn finish(&self, target: &Target) -> Result<(), Error>;
}

/// Why the index did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It cannot be reached or is failing; try again.
    #[error("cannot reach the index: {0}")]
    Unavailable(String),
    /// It has no such target; it was lost or recreated, and needs a rebuild.
    #[error("cannot find the index: {0}")]
    Missing(String),
    /// It cannot answer this query, whatever it holds.
    #[error("the index cannot answer this query: {0}")]
    Rejected(String),
}
