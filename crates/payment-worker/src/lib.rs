//! payment-worker: asks the payment gateway about every new order, and publishes the answer.
//!
//! Knows gateways by one trait; the simulated one is here because it is part of the wire contract.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod gateway;
mod ledger;
pub mod payment;
mod scenario;
pub mod simulated;

use ofs_runtime::service::{Descriptor, Service};
use std::sync::Arc;
use std::time::Duration;

/// The service's one name.
pub const NAME: &str = "payment-worker";

/// The service, before it runs.
pub static DESCRIPTOR: Descriptor = Descriptor { name: NAME, port: 8081, problems: &[] };

/// How long a gateway may take to answer before the event has to wait, by default.
pub const DEFAULT_GATEWAY_TIMEOUT: Duration = Duration::from_secs(1);

/// What the program runs: payments by `gateway`, which may take `timeout` to answer.
#[must_use]
pub fn service(gateway: Arc<dyn gateway::Gateway>, timeout: Duration) -> Service {
    let rehearsing = gateway::Rehearsing(Arc::clone(&gateway));
    let rehearsal = payment::Payments::new(Arc::new(rehearsing), timeout);
    let payments = payment::Payments::new(gateway, timeout);
    Service { rehearsal: Arc::new(rehearsal), ..Service::new(&DESCRIPTOR, payments) }
}
