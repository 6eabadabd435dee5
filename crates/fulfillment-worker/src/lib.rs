//! fulfillment-worker: schedules a shipment for every order that is paid.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod shipment;

use ofs_runtime::service::{Descriptor, Handler};
use std::sync::Arc;
use std::time::Duration;

/// The service's one name.
pub const NAME: &str = "fulfillment-worker";

/// The service.
pub const DESCRIPTOR: Descriptor = Descriptor::new(NAME, 8082);

/// From scheduling to arrival, unless told otherwise.
pub const DEFAULT_TRANSIT: Duration = Duration::from_hours(72);

/// What it makes of events: shipments that arrive `transit` after they are scheduled.
#[must_use]
pub fn handler(transit: Duration) -> Arc<dyn Handler> {
    Arc::new(shipment::Shipments::new(transit))
}
