//! fulfillment-worker: schedules a shipment for every order that is paid.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod shipment;

use ofs_runtime::service::{Descriptor, Service};
use std::time::Duration;

/// The service's one name.
pub const NAME: &str = "fulfillment-worker";

/// The service, before it runs.
pub static DESCRIPTOR: Descriptor = Descriptor { name: NAME, port: 8082, problems: &[] };

/// From scheduling to arrival, by default.
pub const DEFAULT_TRANSIT: Duration = Duration::from_hours(72);

/// What the program runs: shipments that arrive `transit` after they are scheduled.
#[must_use]
pub fn service(transit: Duration) -> Service {
    Service::new(&DESCRIPTOR, shipment::Shipments::new(transit))
}
