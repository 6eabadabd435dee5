//! Port: the search index. A read model that can always be rebuilt from the store.
//!
//! Holds whole documents with the record's version; an older version never replaces a newer one.

use async_trait::async_trait;
use ofs_events::{Key, OrderStatus, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A document to be stored: one order as search sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The order, and the document's id.
    pub id: Key,
    /// The record's version.
    pub version: u64,
    /// The document: members `id, customerEmail, productType, country, status, createdAt, updatedAt,
    /// correlationId, timeline[]`; the first five and both times may be missing or null.
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

/// What to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SortBy {
    /// When the order was created.
    CreatedAt,
    /// When its document last changed.
    UpdatedAt,
}

/// The place after which a page begins: the sort value and id of the last order of the page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Sort value, microseconds since 1970.
    pub micros: i64,
    /// Breaks ties, in the direction of the sort.
    pub id: Key,
}

/// A search. Filters are joined by "and", the values of one by "or"; one without values filters nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Words, each of which must be found (whole, or as a beginning) in id, e-mail or product.
    pub text: Option<String>,
    /// Exactly one of these statuses.
    pub status: Vec<OrderStatus>,
    /// Exactly one of these countries, upper-case.
    pub country: Vec<String>,
    /// Exactly one of these products, in any case.
    pub product: Vec<String>,
    /// Created at or after.
    pub created_after: Option<Timestamp>,
    /// Created before.
    pub created_before: Option<Timestamp>,
    /// What to sort by.
    pub sort_by: SortBy,
    /// Newest first.
    pub descending: bool,
    /// How many orders.
    pub limit: usize,
    /// Where the page begins.
    pub after: Option<Cursor>,
}

/// The number of matching orders with one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FacetCount {
    /// The value.
    pub value: String,
    /// How many matching orders have it.
    pub count: u64,
}

/// The answer to a search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The documents of this page, as they were put.
    pub orders: Vec<Value>,
    /// How many match, on all pages.
    pub total: u64,
    /// Counts of all matches by status, largest first.
    pub status: Vec<FacetCount>,
    /// Counts of all matches by country, largest first, at most 50.
    pub country: Vec<FacetCount>,
    /// The next page; none on the last.
    pub next: Option<Cursor>,
}

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
    /// Pushes `documents` into `target`, one answer each; returns when they are durable.
    async fn put(&self, target: &Target, documents: &[Document]) -> Result<Vec<Put>, Error>;

    /// Searches the active target.
    async fn search(&self, query: &Query) -> Result<Found, Error>;

    /// Documents of `target` by ascending id, after `after`, at most `max`; sees everything put.
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
    #[error("reach the index: {0}")]
    Unavailable(String),
    /// It has no such target; it was lost or made anew, and needs a rebuild.
    #[error("find the index: {0}")]
    Missing(String),
}
