//! fulfillment-worker: schedules a shipment for every order that is paid.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod shipment;

use ofs_runtime::service::Service;
use std::sync::Arc;
use std::time::Duration;

/// The service's one name.
pub const NAME: &str = "fulfillment-worker";

/// From scheduling to arrival, unless told otherwise.
pub const DEFAULT_TRANSIT: Duration = Duration::from_hours(72);

/// What the program runs: shipments that arrive `transit` after they are scheduled.
#[must_use]
pub fn service(transit: Duration) -> Service {
    let handler = Arc::new(shipment::Shipments::new(transit));
    Service { name: NAME, handler, routes: Default::default, reads: Default::default }
}
