//! `ofs run`: opens the engines, starts the chosen services, serves HTTP, and ends in order.

use crate::about::About;
use crate::config::{AuthMode, Config, Setting, Source};
use crate::engines::{self, Engines, Set};
use crate::here::entry;
use crate::history::History;
use crate::http::{
    self, App, Guard, Hosts, Jobs, Limits, Listeners, Origins, Refusals, Times, Tls, Verify,
};
use crate::issuer::Issuer;
use crate::signals::Signals;
use crate::{demo, services, tidy};
use anyhow::{Context as _, bail};
use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use ofs_runtime::access::{Audit, Keyring, Scopes};
use ofs_runtime::agreement::Agreement;
use ofs_runtime::books::Books;
use ofs_runtime::courier::{Courier, DeadlineLane, IndexLane, OutboxLane, RetryLane};
use ofs_runtime::desk::Desk;
use ofs_runtime::parked::Retrier;
use ofs_runtime::pipeline::{Pipeline, Station};
use ofs_runtime::rebuild::Rebuild;
use ofs_runtime::service::Service;
use ofs_runtime::task;
use ofs_runtime::trouble::Troubles;
use ofs_runtime::worker::Worker;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use utoipa_axum::router::OpenApiRouter;

/// What to run.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The services, by name.
    pub services: Vec<&'static str>,
    /// Orders a second that the demo makes, if it runs.
    pub demo: Option<f64>,
    /// Whether to print a key if there is none.
    pub first_key: bool,
}

/// How the process ends: first nothing new comes in, then what is in hand is finished.
#[derive(Default)]
struct Stages {
    /// At its end: not ready, no new requests.
    doors: Stage,
    /// At its end: no new records.
    intake: Stage,
    /// At its end couriers finish what is owed and leave.
    delivery: Stage,
}

/// Background tasks that end together.
#[derive(Default)]
struct Stage {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Stage {
    /// Starts a task that works until the token it is given is cancelled.
    fn spawn<F>(&self, name: String, work: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let work = work(self.stop.clone());
        self.tasks.spawn(task::until(self.stop.clone(), name, work));
    }

    async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A service and its books.
type Own = (Service, Books);

/// Runs until a signal, then shuts down within the configured time.
///
/// # Errors
/// If the engines or the address cannot be used, a background task fails, or the shutdown takes too
/// long.
pub async fn run(config: Config, plan: Launch, metrics: PrometheusHandle) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let tls = config.tls.clone().map(Tls::open).transpose()?;
    let engines = tokio::select! {
        engines = engines::open(&config, &plan.services) => engines?,
        () = signals.next() => return Ok(()),
    };
    let all = services::all(&config)?;
    let pipeline = Pipeline::new(
        Arc::clone(&engines.store),
        Arc::clone(&engines.log),
        services::stations(&all),
    );
    let counted: Vec<_> =
        all.iter().map(|service| (service.name(), service.handler.topics())).collect();
    ofs_runtime::metrics::describe_and_zero(&counted);
    let listener = bind(&config, &plan)?;
    let address = listener.local_addr()?;
    let stages = Stages::default();
    let (running, elsewhere) = parted(all, &plan, &engines);
    let troubles = Troubles::default();
    let mut every = running.iter().chain(&elsewhere);
    let (_, indexer) = every
        .find(|(service, _)| service.handler.indexed())
        .context("no service feeds the search index")?;
    let rebuild = Rebuild::new(indexer.clone(), Arc::clone(&engines.index));
    if plan.services.contains(&indexer.owner()) {
        make_empty(&rebuild).await;
    }
    let agreement = compare(&engines, &troubles).await;
    let keyring = Keyring::new(Arc::clone(&engines.access));
    let guard = guard(&engines, keyring.clone(), &config, address.ip().is_loopback(), &stages)?;
    let app = App {
        store: Arc::clone(&engines.store),
        log: Arc::clone(&engines.log),
        index: Arc::clone(&engines.index),
        pipeline: pipeline.clone(),
        retrier: start(&running, &engines, &agreement, &troubles, &stages),
        rebuild,
        troubles: troubles.clone(),
        keyring: keyring.clone(),
        guard,
        audit: Audit::new(Arc::clone(&engines.access)),
        hosts: Hosts::new(address, &config.hosts),
        origins: Origins::new(&config.cors_origins),
        limits: Limits::new(config.http_rate),
        listeners: Listeners::default(),
        draining: stages.doors.stop.clone(),
        metrics,
        about: Arc::new(About::of(&config, &plan.services, address)),
        history: watch(&engines, &pipeline, &stages),
        verify: Verify::default(),
        jobs: Jobs::default(),
        times: Times::default(),
    };
    metrics_apart(&config, &app, &stages)?;
    let (router, _) = http::router(app, routes(&running, &elsewhere, &engines, &pipeline));
    serve(listener, tls, router.clone(), &stages);
    tidying(&config, &engines, &pipeline, &stages);
    stages.delivery.spawn("agreement".to_owned(), |stop| agreement.run(troubles, stop));
    if let Some(rate) = plan.demo {
        stages
            .doors
            .spawn("demo".to_owned(), |stop| demo::run(router, config.api_key.clone(), rate, stop));
    }
    banner(&config, &plan, address);
    first_key(&config, &keyring, plan.first_key).await?;
    work(signals, stages, config.shutdown_timeout).await
}

/// The services that run here, and the others.
fn parted(all: Vec<Service>, plan: &Launch, engines: &Engines) -> (Vec<Own>, Vec<Own>) {
    let with_books = |service: Service| {
        let books = Books::new(service.name(), Arc::clone(&engines.store));
        (service, books)
    };
    all.into_iter()
        .map(with_books)
        .partition(|(service, _)| plan.services.contains(&service.name()))
}

/// Answers requests, by TLS if there is a certificate, which is read again when it changes.
fn serve(listener: TcpListener, tls: Option<Tls>, router: Router, stages: &Stages) {
    if let Some(tls) = tls.clone() {
        stages.doors.spawn("certificate".to_owned(), |stop| tls.watch(stop));
    }
    stages.doors.spawn("http".to_owned(), |stop| http::serve(listener, tls, router, stop));
}

/// Serves the metrics where they are to be served besides.
#[expect(clippy::print_stderr, reason = "it belongs to the banner")]
fn metrics_apart(config: &Config, app: &App, stages: &Stages) -> anyhow::Result<()> {
    let Some(address) = config.metrics_listen else { return Ok(()) };
    let listener = http::listen(address);
    let listener = listener.with_context(|| format!("metrics.listen: listen on {address}"))?;
    let address = listener.local_addr()?;
    let router = http::metrics_router(app.clone(), address);
    stages
        .doors
        .spawn("metrics listener".to_owned(), |stop| http::serve(listener, None, router, stop));
    eprintln!("  Metrics  http://{address}/metrics");
    Ok(())
}

/// Lets everything run until a signal, then ends it within `limit`.
async fn work(mut signals: Signals, stages: Stages, limit: Duration) -> anyhow::Result<()> {
    tokio::select! {
        () = signals.next() => info!("shutting down"),
        how = task::failed() => bail!("{how}; whatever it left undone is done after the next start"),
    }
    tokio::select! {
        ended = tokio::time::timeout(limit, end(stages)) => {
            ended.context("work in hand was not finished in time; it is done again after the start")
        }
        () = signals.next() => bail!("stopped by a second signal"),
    }
}

/// Whom this process lets in; starts what writes of it.
fn guard(
    engines: &Engines,
    keyring: Keyring,
    config: &Config,
    local: bool,
    stages: &Stages,
) -> anyhow::Result<Guard> {
    let refusals = Refusals::default();
    let (uses, told) = (keyring.clone(), refusals.clone());
    stages.intake.spawn("keys".to_owned(), |stop| uses.run(stop));
    let access = Arc::clone(&engines.access);
    stages.intake.spawn("refusals".to_owned(), |stop| told.run(access, stop));
    let issuer = config.trust.clone().map(Issuer::new).transpose()?;
    if let Some(issuer) = issuer.clone() {
        stages.intake.spawn("issuer".to_owned(), |stop| issuer.run(stop));
    }
    let keyring = (config.auth_mode == Some(AuthMode::Required)).then_some(keyring);
    Ok(Guard { keyring, issuer, local, refusals })
}

/// If there is no key yet, makes one and prints it if asked to; else says how to.
#[expect(
    clippy::print_stderr,
    reason = "the key is for the person who started this, and in no log"
)]
async fn first_key(config: &Config, keyring: &Keyring, wanted: bool) -> anyhow::Result<()> {
    if config.auth_mode != Some(AuthMode::Required) {
        return Ok(());
    }
    if !wanted {
        if keyring.list().await?.is_empty() {
            warn!("requests need a key, and there is none; `ofs keys create` makes one");
        }
        return Ok(());
    }
    let made = keyring.create("first", Scopes::all(), None, true, entry("key.create")).await?;
    if let Some((_, secret)) = made {
        eprintln!("  Key   {} (may do everything; not shown again)", secret.text());
    }
    Ok(())
}

/// Keeps what is seen of the pipeline, for people.
fn watch(engines: &Engines, pipeline: &Pipeline, stages: &Stages) -> History {
    let history = History::default();
    let (kept, pipeline, log) = (history.clone(), pipeline.clone(), Arc::clone(&engines.log));
    stages.intake.spawn("history".to_owned(), |stop| kept.run(pipeline, log, stop));
    history
}

/// The routes of the services that run here, and the reads of all.
fn routes(
    running: &[Own],
    elsewhere: &[Own],
    engines: &Engines,
    pipeline: &Pipeline,
) -> Vec<OpenApiRouter> {
    let desk = |books: &Books| {
        Desk::new(books.clone(), Arc::clone(&engines.index), Arc::new(pipeline.clone()))
    };
    let own = running.iter().map(|(service, books)| service.routes.clone().with_state(desk(books)));
    let reads = running.iter().chain(elsewhere);
    let reads = reads.map(|(service, books)| service.reads.clone().with_state(desk(books)));
    own.chain(reads).collect()
}

/// Starts workers and couriers of the running services.
fn start(
    running: &[Own],
    engines: &Engines,
    agreement: &Agreement,
    troubles: &Troubles,
    stages: &Stages,
) -> Retrier {
    let mut retrier = Retrier::default();
    for (service, books) in running {
        let rehearsal = Arc::clone(&service.rehearsal);
        retrier.add(books.clone(), Arc::clone(&service.handler), rehearsal);
    }
    for (service, books) in running {
        let name = |part| format!("{}/{part}", service.name());
        let Stages { intake, delivery, .. } = stages;
        let worker = Worker::new(
            books.clone(),
            Arc::clone(&service.handler),
            Arc::clone(&engines.log),
            troubles.clone(),
        );
        intake.spawn(name("worker"), |stop| worker.run(stop));
        let outbox = Courier::new(
            books.clone(),
            OutboxLane::new(Arc::clone(&engines.log), agreement.clone()),
        );
        delivery.spawn(name("outbox"), |stop| outbox.run(stop));
        let retry = Courier::new(books.clone(), RetryLane::new(retrier.clone()));
        intake.spawn(name("retry"), |stop| retry.run(stop));
        let lane = DeadlineLane::new(Arc::clone(&service.handler));
        let deadlines = Courier::new(books.clone(), lane);
        intake.spawn(name("deadlines"), |stop| deadlines.run(stop));
        let readable = retrier.clone();
        intake.spawn(name("readable"), |stop| readable.retry_readable(service.name(), stop));
        if service.handler.indexed() {
            let index = Courier::new(books.clone(), IndexLane::new(Arc::clone(&engines.index)));
            delivery.spawn(name("index"), |stop| index.run(stop));
            let rebuild = Rebuild::new(books.clone(), Arc::clone(&engines.index));
            intake.spawn(name("rebuild"), |stop| rebuild.run(stop));
        }
    }
    retrier
}

/// Before anything is appended, so that what is missing is counted in full.
async fn compare(engines: &Engines, troubles: &Troubles) -> Agreement {
    let agreement = Agreement::new(Arc::clone(&engines.store), Arc::clone(&engines.log));
    match tokio::time::timeout(Duration::from_secs(5), agreement.report(troubles)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "cannot compare store and log yet, will try again"),
        Err(_) => warn!("cannot compare store and log in time, will try again"),
    }
    agreement
}

/// Searches are answered from the start where there is nothing to be found yet.
async fn make_empty(rebuild: &Rebuild) {
    match tokio::time::timeout(Duration::from_secs(5), rebuild.make_empty()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "cannot make the search index yet, will try again"),
        Err(_) => warn!("cannot make the search index in time, will try again"),
    }
}

/// Starts what drops rows and records past their retention.
fn tidying(config: &Config, engines: &Engines, pipeline: &Pipeline, stages: &Stages) {
    let readers = pipeline.stations().iter().map(Station::reader).collect();
    let (log, kept) = (Arc::clone(&engines.log), config.log_retention);
    stages.intake.spawn("log/tidy".to_owned(), |stop| tidy::log(log, kept, readers, stop));
    let (store, kept) = (Arc::clone(&engines.store), tidy::retention(config.inbox_retention));
    stages.intake.spawn("store/tidy".to_owned(), |stop| tidy::store(store, kept, stop));
}

async fn end(stages: Stages) {
    stages.doors.end().await;
    stages.intake.end().await;
    stages.delivery.end().await;
}

fn bind(config: &Config, plan: &Launch) -> anyhow::Result<TcpListener> {
    let mut address = config.listen;
    let is_default = config
        .settings
        .get("listen")
        .is_some_and(|setting| matches!(setting.source, Source::Default));
    if is_default {
        address.set_port(services::default_port(&plan.services));
    }
    http::listen(address).with_context(|| {
        format!("cannot listen on {address}; choose another with --listen or OFS_LISTEN")
    })
}

/// Where everything is kept, without passwords.
fn data(config: &Config) -> String {
    match Set::of(config) {
        Ok(Set::Cluster) => {
            let shown = |key| config.settings.get(key).and_then(Setting::shown).unwrap_or_default();
            ["log.url", "store.url", "index.url"].map(shown).join("  ")
        }
        _ => format!("{} (kept)", config.data_dir.display()),
    }
}

#[expect(clippy::print_stderr, reason = "the banner is for people at a terminal")]
fn banner(config: &Config, plan: &Launch, address: SocketAddr) {
    eprintln!("ofs {} · {}", env!("CARGO_PKG_VERSION"), plan.services.join(", "));
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    eprintln!("  API   {scheme}://{address}");
    eprintln!("  Look  {scheme}://{address}/ (orders), {scheme}://{address}/docs (API)");
    eprintln!("  Data  {}", data(config));
    if let Some(rate) = plan.demo {
        eprintln!("  Demo  {rate} orders a second, some of them declined");
    }
    let key = match config.auth_mode {
        Some(AuthMode::Required) => "-H \"Authorization: Bearer $OFS_API_KEY\" ",
        _ => "",
    };
    eprintln!("  Try   curl {key}'{scheme}://{address}/orders/search?limit=5'");
    eprintln!("Ctrl-C stops; data is kept.");
}
