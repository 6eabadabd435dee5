//! fulfillment-worker: schedules a shipment for every order that is paid.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod shipment;

use ofs_runtime::service::Service;
use std::sync::Arc;

/// The service's one name.
pub const NAME: &str = "fulfillment-worker";

/// What the program runs.
#[must_use]
pub fn service() -> Service {
    Service { name: NAME, handler: Arc::new(shipment::Shipments), routes: Default::default }
}
