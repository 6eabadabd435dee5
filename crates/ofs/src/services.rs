//! The list of services. Composition is this list, and nothing else knows them all.

use crate::config::{Config, nearest};
use anyhow::{Context as _, bail};
use ofs_runtime::pipeline::Station;
use ofs_runtime::problem::Kind;
use ofs_runtime::service::{Descriptor, Service};
use payment_worker::simulated::Simulated;
use serde::de::{Deserialize, Deserializer, Error as _};
use std::sync::Arc;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// How a service is made, as configured.
type Open = fn(&Config) -> anyhow::Result<Service>;

/// Every service, in the order of an order's life.
static LIST: &[(&Descriptor, Open)] = &[
    (&order_service::DESCRIPTOR, |config| Ok(order_service::service(config.payment_deadline))),
    (&payment_worker::DESCRIPTOR, |config| {
        let gateway = Simulated::open(config.simulator_ledger.as_deref())
            .context("cannot open payment.simulator-ledger")?;
        Ok(payment_worker::service(Arc::new(gateway), config.gateway_timeout))
    }),
    (&fulfillment_worker::DESCRIPTOR, |config| {
        Ok(fulfillment_worker::service(config.fulfillment_eta))
    }),
    (&search_indexer_worker::DESCRIPTOR, |_| Ok(search_indexer_worker::service())),
];

/// Every service's name, in the same order.
pub static NAMES: [&str; LIST.len()] = {
    let mut names = [""; LIST.len()];
    let mut nth = 0;
    while nth < LIST.len() {
        names[nth] = LIST[nth].0.name;
        nth += 1;
    }
    names
};

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

/// All services, as configured.
///
/// # Errors
/// If what one of them needs cannot be opened.
pub fn all(config: &Config) -> anyhow::Result<Vec<Service>> {
    LIST.iter().map(|(_, open)| open(config)).collect()
}

/// The kinds of problem that only services' own routes answer with.
pub fn problems() -> impl Iterator<Item = &'static Kind> {
    LIST.iter().flat_map(|(descriptor, _)| descriptor.problems)
}

/// What the pipeline watches: all services, wherever they run.
#[must_use]
pub fn stations(services: &[Service]) -> Vec<Station> {
    let station = |service: &Service| Station {
        service: service.name(),
        topics: service.handler.topics(),
        indexed: service.handler.indexed(),
    };
    services.iter().map(station).collect()
}

/// The port of a process that is told none: that of its first service.
#[must_use]
pub fn default_port(names: &[&str]) -> u16 {
    let first = LIST.iter().find(|(descriptor, _)| names.contains(&descriptor.name));
    first.unwrap_or(&LIST[0]).0.port
}

/// The services that are asked for; all of them if none is.
///
/// # Errors
/// If a name is not in the list; the text names the nearest.
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
