//! The operations surface: one router of all services' routes and the operator's own.
//!
//! Wiring only: each route is in the file of its resource, everything around routes is in `edge`.

mod about;
mod console;
mod docs;
mod dry_run;
mod edge;
mod events;
mod explain;
mod findings;
mod gate;
mod headers;
mod health;
mod index;
mod jobs;
mod keys;
mod limits;
mod listeners;
mod masked;
mod metrics;
mod obstacles;
mod origin;
mod parked;
mod parked_view;
mod pipeline;
mod place;
mod raw;
mod recent;
mod refusals;
mod refused;
mod request_id;
mod serve;
mod socket;
mod tail;
#[cfg(test)]
mod tests;
mod timeline;
mod times;
mod tls;
mod verify;
mod watched;

pub use gate::Guard;
pub use headers::Origins;
pub use jobs::Jobs;
pub(crate) use keys::{KeyList, KeyView, MadeKey, NewKey, Trail};
pub use limits::Limits;
pub use listeners::Listeners;
pub use origin::Hosts;
pub use refusals::Refusals;
pub use serve::{listen, serve};
pub use times::Times;
pub use tls::{Files, Tls};
pub use verify::Verify;

use crate::about::About;
use crate::history::History;
use gate::{Gate, Rules};
use metrics_exporter_prometheus::PrometheusHandle;
use ofs_runtime::access::{Audit, Keyring};
use ofs_runtime::books::Books;
use ofs_runtime::desk::Desk;
use ofs_runtime::index::Index;
use ofs_runtime::log::Log;
use ofs_runtime::parked::Retrier;
use ofs_runtime::pipeline::Pipeline;
use ofs_runtime::rebuild::Rebuild;
use ofs_runtime::store::Store;
use ofs_runtime::trouble::Troubles;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// What the operator's routes stand on. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The store; it was opened, so its migrations have run.
    pub store: Arc<dyn Store>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// The search index.
    pub index: Arc<dyn Index>,
    /// What waits where.
    pub pipeline: Pipeline,
    /// Retries parked events of the services in this process.
    pub retrier: Retrier,
    /// Rebuilds the index.
    pub rebuild: Rebuild,
    /// What keeps the process from its work until an operator acts.
    pub troubles: Troubles,
    /// Every key there is.
    pub keyring: Keyring,
    /// Whom this process lets in.
    pub guard: Guard,
    /// Tells of what was done.
    pub audit: Audit,
    /// The names under which this process is asked.
    pub hosts: Hosts,
    /// Whose pages may ask besides our own.
    pub origins: Origins,
    /// How much each caller may send.
    pub limits: Limits,
    /// How many read the log as it grows.
    pub listeners: Listeners,
    /// Cancelled when the process begins to shut down: not ready any more, endless answers end.
    pub draining: CancellationToken,
    /// Renders the metrics of this process.
    pub metrics: PrometheusHandle,
    /// What this process is.
    pub about: Arc<About>,
    /// What was seen in the last hour.
    pub history: History,
    /// The comparison of the index with the records, requested on the console.
    pub verify: Verify,
    /// Many parked events at once.
    pub jobs: Jobs,
    /// How long orders took that ended last.
    pub times: Times,
}

impl App {
    /// The desk of `service`, which may run elsewhere: to read its records.
    fn desk(&self, service: &'static str) -> Desk {
        let books = Books::new(service, Arc::clone(&self.store));
        Desk::new(books, Arc::clone(&self.index), Arc::new(self.pipeline.clone()))
    }
}

/// The operator's own routes, with their documentation.
fn operations() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(timeline::routes())
        .merge(explain::routes())
        .merge(events::routes())
        .merge(pipeline::routes())
        .merge(times::routes())
        .merge(parked::routes())
        .merge(dry_run::routes())
        .merge(jobs::routes())
        .merge(index::routes())
        .merge(refused::routes())
        .merge(keys::routes())
        .merge(health::routes())
        .merge(about::routes())
        .merge(metrics::routes())
}

/// The whole surface: `service_routes` and the operator's, with everything around them (request ids,
/// problems, limits, log lines, metrics), and its description.
pub fn router(app: App, service_routes: Vec<OpenApiRouter>) -> (axum::Router, OpenApi) {
    let App { hosts, guard, origins, limits, .. } = app.clone();
    let (pages, refusal) = (console::routes(&app), Some(console::Refusal(app.clone())));
    let damage = {
        let (store, log) = (Arc::clone(&app.store), Arc::clone(&app.log));
        Box::new(move || store.damage().or_else(|| log.damage()))
    };
    let all = service_routes
        .into_iter()
        .fold(operations().with_state(app), |all, service| all.merge(service));
    let (routes, described) = all.split_for_parts();
    let described = docs::complete(described);
    for (method, route, operation) in docs::operations(&described) {
        for status in operation.responses.responses.keys() {
            ofs_runtime::metrics::zero_requests(method, route, status);
        }
    }
    let plain = docs::plain(&described);
    let rules = Rules::of(&described).with_open(&docs::PAGES);
    let rules = console::rules(rules);
    let routes = routes.merge(docs::routes(&described)).merge(pages);
    let gate = Gate { guard, rules };
    let doors = edge::Doors { plain, hosts, origins, gate, pages: refusal, limits, damage };
    (edge::around(routes, doors), described)
}

/// `GET /metrics` alone, for anyone who reaches the `address` it is served at.
pub fn metrics_router(app: App, address: SocketAddr) -> axum::Router {
    let (routes, described) = metrics::routes().with_state(app.clone()).split_for_parts();
    let doors = edge::Doors {
        plain: docs::plain(&described),
        hosts: Hosts::new(address, &[]),
        origins: Origins::default(),
        gate: Gate {
            guard: Guard { keyring: None, issuer: None, local: true, refusals: app.guard.refusals },
            rules: Rules::of(&described),
        },
        pages: None,
        limits: Limits::default(),
        damage: Box::new(|| None),
    };
    edge::around(routes, doors)
}

/// The description of the whole surface, where `services` describe the routes of the services.
#[must_use]
pub fn openapi(services: impl IntoIterator<Item = OpenApi>) -> OpenApi {
    let mut described = operations().into_openapi();
    for service in services {
        described.merge(service);
    }
    docs::complete(described)
}
