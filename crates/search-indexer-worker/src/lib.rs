//! search-indexer-worker: folds the events of all topics into one document per order, and answers
//! searches. The index gets the documents from its records, by the machine's index courier.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod document;
pub mod http;
pub mod query;
pub mod timeline;

use ofs_runtime::service::{Descriptor, Handler};
use std::sync::Arc;

/// The service's one name.
pub const NAME: &str = "search-indexer-worker";

/// The service.
pub const DESCRIPTOR: Descriptor = Descriptor { reads: http::reads, ..Descriptor::new(NAME, 8083) };

/// What it makes of events.
#[must_use]
pub fn handler() -> Arc<dyn Handler> {
    Arc::new(document::Documents)
}
