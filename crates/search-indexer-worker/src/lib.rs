//! search-indexer-worker: folds the events of all topics into one document per order, and answers
//! searches. The index gets the documents from its records, by the machine's index courier.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod document;
pub mod http;
pub mod query;
pub mod timeline;

use ofs_runtime::service::Service;
use std::sync::Arc;

/// The service's one name.
pub const NAME: &str = "search-indexer-worker";

/// What the program runs.
#[must_use]
pub fn service() -> Service {
    let handler = Arc::new(document::Documents);
    Service { name: NAME, handler, routes: Default::default, reads: http::reads }
}
