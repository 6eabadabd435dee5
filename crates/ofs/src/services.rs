//! The list of services. Composition is this list, and nothing else knows them all.

use crate::config::{Config, nearest};
use anyhow::{Context as _, bail};
use ofs_runtime::pipeline::Station;
use ofs_runtime::problem::Kind;
use ofs_runtime::service::{Descriptor, Handler, Service};
use payment_worker::simulated::Simulated;
use serde::de::{Deserialize, Deserializer, Error as _};
use std::sync::Arc;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// What a service makes of events, as configured.
type Open = fn(&Config) -> anyhow::Result<Arc<dyn Handler>>;

/// Every service, in the order of an order's life, and how its handler is made.
const LIST: [(Descriptor, Open); 4] = [
    (order_service::DESCRIPTOR, |_| Ok(order_service::handler())),
    (payment_worker::DESCRIPTOR, |config| {
        let gateway = Simulated::open(config.simulator_ledger.as_deref())
            .context("open payment.simulator-ledger")?;
        Ok(payment_worker::handler(Arc::new(gateway), config.gateway_timeout))
    }),
    (fulfillment_worker::DESCRIPTOR, |config| {
        Ok(fulfillment_worker::handler(config.fulfillment_eta))
    }),
    (search_indexer_worker::DESCRIPTOR, |_| Ok(search_indexer_worker::handler())),
];

/// Every service, in the order of an order's life.
pub static DESCRIPTORS: [Descriptor; LIST.len()] = {
    let mut descriptors = [LIST[0].0; LIST.len()];
    let mut nth = 0;
    while nth < LIST.len() {
        descriptors[nth] = LIST[nth].0;
        nth += 1;
    }
    descriptors
};

/// Every service's name, in the same order.
pub const NAMES: [&str; LIST.len()] = {
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
/// If what a handler needs cannot be opened.
pub fn all(config: &Config) -> anyhow::Result<Vec<Service>> {
    let open = |(descriptor, (_, open)): (&'static Descriptor, (_, Open))| {
        Ok(Service { descriptor, handler: open(config)? })
    };
    DESCRIPTORS.iter().zip(LIST).map(open).collect()
}

/// The kinds of problem that only services' own routes answer with.
pub fn problems() -> impl Iterator<Item = &'static Kind> {
    DESCRIPTORS.iter().flat_map(|descriptor| descriptor.problems)
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
    let first = DESCRIPTORS.iter().find(|descriptor| names.contains(&descriptor.name));
    first.unwrap_or(&DESCRIPTORS[0]).port
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
