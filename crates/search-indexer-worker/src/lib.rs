//! search-indexer-worker: folds the events of all topics into one document per order, and answers
//! searches. The index gets the documents from its records, by the machine's index courier.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod document;
pub mod http;
pub mod query;
pub mod schema;
pub mod search;
pub mod timeline;

use ofs_runtime::service::{Descriptor, Service};

/// The service's one name.
pub const NAME: &str = "search-indexer-worker";

/// The service, before it runs.
pub static DESCRIPTOR: Descriptor = Descriptor { name: NAME, port: 8083, problems: &[] };

/// What the program runs.
#[must_use]
pub fn service() -> Service {
    Service { reads: http::reads(), ..Service::new(&DESCRIPTOR, document::Documents) }
}
