//! order-service: takes orders over HTTP and follows what becomes of them.
//!
//! Decides nothing about payment or fulfillment; their events tell it.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod api;
pub mod http;
pub mod order;

use ofs_runtime::service::Service;
use std::sync::Arc;

/// The service's one name.
pub const NAME: &str = "order-service";

/// What the program runs.
#[must_use]
pub fn service() -> Service {
    let handler = Arc::new(order::Orders);
    Service { name: NAME, handler, routes: http::routes, reads: Default::default }
}
