//! The list of services. Composition is this list, and nothing else knows all four.

use crate::config::{Config, nearest};
use anyhow::{Context as _, bail};
use ofs_runtime::pipeline::Station;
use ofs_runtime::service::Service;
use payment_worker::simulated::Simulated;
use serde::de::{Deserialize, Deserializer, Error as _};
use std::sync::Arc;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Every service's name, in the order of an order's life.
pub const NAMES: [&str; 4] = [
    order_service::NAME,
    payment_worker::NAME,
    fulfillment_worker::NAME,
    search_indexer_worker::NAME,
];

/// The name of a service, where a client gives one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceName(&'static str);

impl ServiceName {
    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl<'de> Deserialize<'de> for ServiceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = NAMES.into_iter().find(|name| *name == text).map(ServiceName);
        known.ok_or_else(|| D::Error::custom(format!("must be one of {}", NAMES.join(", "))))
    }
}

impl PartialSchema for ServiceName {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(NAMES)).into()
    }
}

impl ToSchema for ServiceName {}

/// All four services, as configured.
///
/// # Errors
/// If the simulated gateway's ledger cannot be opened.
pub fn all(config: &Config) -> anyhow::Result<Vec<Service>> {
    let gateway = Simulated::open(config.simulator_ledger.as_deref())
        .context("open payment.simulator-ledger")?;
    Ok(vec![
        order_service::service(),
        payment_worker::service(Arc::new(gateway), config.gateway_timeout),
        fulfillment_worker::service(config.fulfillment_eta),
        search_indexer_worker::service(),
    ])
}

/// What the pipeline watches: all services, wherever they run.
#[must_use]
pub fn stations(services: &[Service]) -> Vec<Station> {
    let station = |service: &Service| Station {
        service: service.name,
        topics: service.handler.topics(),
        indexed: service.handler.indexed(),
    };
    services.iter().map(station).collect()
}

/// The port of a process that is told none: 8080 with order-service, else its first service's own.
#[must_use]
pub fn default_port(names: &[&str]) -> u16 {
    let first = NAMES.iter().position(|name| names.contains(name)).unwrap_or_default();
    8080 + u16::try_from(first).unwrap_or_default()
}

/// The services that are asked for; all of them if none is.
///
/// # Errors
/// If a name is none of the four; the text names the nearest.
pub fn chosen(asked: &[String]) -> anyhow::Result<Vec<&'static str>> {
    if asked.is_empty() {
        return Ok(NAMES.to_vec());
    }
    let known = |name: &String| NAMES.iter().find(|known| *known == name).copied();
    let mut chosen = Vec::new();
    for name in asked {
        let Some(known) = known(name) else {
            match nearest(name, NAMES) {
                Some(meant) => bail!("no service is called `{name}`; did you mean `{meant}`?"),
                None => bail!("no service is called `{name}`; services are {}", NAMES.join(", ")),
            }
        };
        if !chosen.contains(&known) {
            chosen.push(known);
        }
    }
    Ok(chosen)
}
