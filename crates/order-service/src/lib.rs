//! order-service: takes orders over HTTP and follows what becomes of them.
//!
//! Decides nothing about payment or fulfillment; their events tell it.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod api;
mod batch;
pub mod http;
pub mod order;

pub use batch::UNREAD_LINE;

use ofs_runtime::service::{Descriptor, Service};
use std::time::Duration;

/// The service's one name.
pub const NAME: &str = "order-service";

/// The service, before it runs.
pub static DESCRIPTOR: Descriptor =
    Descriptor { name: NAME, port: 8080, problems: &[http::UNKNOWN_ORDER, batch::UNREAD_LINE] };

/// What the program runs: orders whose payment should be decided within `payment_deadline`.
#[must_use]
pub fn service(payment_deadline: Duration) -> Service {
    let routes = http::routes(payment_deadline);
    Service { routes, ..Service::new(&DESCRIPTOR, order::Orders) }
}
