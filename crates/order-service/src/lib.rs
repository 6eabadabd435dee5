//! order-service: takes orders over HTTP and follows what becomes of them.
//!
//! Decides nothing about payment or fulfillment; their events tell it.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod api;
pub mod http;
pub mod order;

use ofs_runtime::service::{Descriptor, Handler};
use std::sync::Arc;

/// The service's one name.
pub const NAME: &str = "order-service";

/// The service.
pub const DESCRIPTOR: Descriptor = Descriptor {
    routes: http::routes,
    problems: &[http::UNKNOWN_ORDER],
    ..Descriptor::new(NAME, 8080)
};

/// What it makes of events.
#[must_use]
pub fn handler() -> Arc<dyn Handler> {
    Arc::new(order::Orders)
}
