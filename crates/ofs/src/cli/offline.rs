//! The verbs that do not talk to a server: they open the engines themselves.

mod repair;

use super::{ForgetArgs, MigrateArgs, RepairArgs, ResetArgs, ResetTo, RunArgs};
use crate::config::{Config, Inputs};
use crate::engines::Grantor;
use crate::failure::{Exit, Failure};
use crate::here::entry;
use crate::run::{self, Launch};
use crate::{engines, exposed, http, services, telemetry};
use anyhow::{Context as _, bail};
use ofs_events::Topic;
use ofs_runtime::access::ApiKey;
use ofs_runtime::log::{Lag, Reset};
use ofs_runtime::pipeline::group_of;
use ofs_runtime::service::Service;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;

/// Runs services until a signal.
///
/// # Errors
/// If they cannot start, or do not end in time.
pub async fn run(config: Config, args: &RunArgs) -> anyhow::Result<()> {
    #[cfg(debug_assertions)]
    if let Some(at) = &config.crash_at {
        ofs_runtime::crash::arm(&at.point, at.nth);
    }
    let services = services::chosen(&args.services)?;
    exposed::check(&config, args.demo.is_some())?;
    let metrics = telemetry::metrics()?;
    if args.migrate {
        engines::migrate(&config).await?;
    }
    let plan = Launch { services, demo: args.demo, first_key: args.print_first_key };
    run::run(config, plan, metrics).await
}

/// Moves a consumer group. The server must be stopped.
///
/// # Errors
/// If the data directory is in use, or the group cannot be moved.
pub async fn reset(config: Config, args: &ResetArgs) -> anyhow::Result<Value> {
    let services = services::all(&config)?;
    let Some(service) = service_of(&services, &args.group) else {
        let known: Vec<String> = services.iter().map(|service| group_of(service.name())).collect();
        bail!("no group is called `{}`; groups are {}", args.group, known.join(", "));
    };
    let topics = topics_of(service, &args.topics)?;
    let to = match args.to {
        ResetTo::Earliest => Reset::Earliest,
        ResetTo::Latest => Reset::Latest,
        ResetTo::Time(time) => Reset::Time(time),
    };
    let engines =
        engines::open(&config, &[]).await.context("`ofs events reset` needs a stopped server")?;
    let entry = entry("events.reset").with(format!("{} to {:?}", args.group, args.to));
    engines.access.note(&entry.text()).await?;
    engines.log.reset(&args.group, &topics, to).await?;
    Ok(json!({ "group": args.group, "topics": topics }))
}

/// The consumer groups that have a position. On the embedded engines, the server must be stopped.
///
/// # Errors
/// If the data directory is in use, or the log cannot be reached.
pub async fn groups(config: Config) -> anyhow::Result<Value> {
    let services = services::all(&config)?;
    let engines =
        engines::open(&config, &[]).await.context("`ofs events groups` needs a stopped server")?;
    let mut groups = Vec::new();
    for group in engines.log.groups().await? {
        let service = service_of(&services, &group).map(|service| service.name());
        let lags = engines.log.lag(&group, &Topic::ALL).await?;
        let lags: Vec<&Lag> = lags.iter().filter(|lag| lag.position.is_some()).collect();
        let events: u64 = lags.iter().map(|lag| lag.events).sum();
        let oldest = lags.iter().filter_map(|lag| lag.oldest).min();
        groups.push(json!({
            "group": group, "service": service, "lagEvents": events, "oldest": oldest,
        }));
    }
    Ok(json!({ "groups": groups }))
}

/// Forgets a consumer group. It must have no members.
///
/// # Errors
/// If there is no such group, it has members, or it is a service's and that is not wanted.
pub async fn forget(config: Config, args: &ForgetArgs) -> anyhow::Result<Value> {
    let services = services::all(&config)?;
    let engines =
        engines::open(&config, &[]).await.context("`ofs events forget` needs a stopped server")?;
    let known = engines.log.groups().await?;
    if !known.contains(&args.group) {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let text = format!("no group is called `{}`; there are {known}", args.group);
        return Err(Failure::new(Exit::NotFound, text).into());
    }
    if let Some(service) = service_of(&services, &args.group).filter(|_| !args.force) {
        let text = format!(
            "{} is the group of {}, which would read from the oldest event again; add --force if \
             that is what you want",
            args.group,
            service.name()
        );
        return Err(Failure::new(Exit::Conflict, text).into());
    }
    engines.access.note(&entry("events.forget").with(&args.group).text()).await?;
    engines.log.forget(&args.group).await?;
    Ok(json!({ "forgotten": args.group }))
}

/// The service whose group this is.
fn service_of<'a>(services: &'a [Service], group: &str) -> Option<&'a Service> {
    services.iter().find(|service| group_of(service.name()) == group)
}

/// What was found in what is stored.
pub struct Stored {
    /// What is damaged, and what store or log have lost.
    pub found: Value,
    /// Whether that is nothing.
    pub sound: bool,
    /// Every key there is, and was; none if there is damage.
    pub keys: Vec<ApiKey>,
}

/// Looks through what is stored. The server must be stopped.
///
/// # Errors
/// If the data directory is in use, or an engine cannot be reached.
pub async fn doctor(config: &Config) -> anyhow::Result<Stored> {
    let damage = engines::damage(config).await?;
    if !damage.is_empty() {
        let found = json!({ "damage": damage });
        return Ok(Stored { found, sound: false, keys: Vec::new() });
    }
    let services = services::all(config)?;
    let engines =
        engines::open(config, &[]).await.context("`ofs doctor` needs a stopped server")?;
    let lost = repair::repair(&engines, &services, false).await?;
    let (keys, sound) = (engines.access.keys().await?, lost.is_empty());
    Ok(Stored { found: json!({ "damage": damage, "lost": lost }), sound, keys })
}

/// Makes store and log agree again, or says what would have to be done. The server must be stopped.
///
/// # Errors
/// If the data directory is in use, or an engine cannot be reached.
pub async fn repair(config: Config, args: &RepairArgs) -> anyhow::Result<Value> {
    let services = services::all(&config)?;
    let engines =
        engines::open(&config, &[]).await.context("`ofs repair` needs a stopped server")?;
    if args.apply {
        engines.access.note(&entry("repair").text()).await?;
    }
    let repaired = repair::repair(&engines, &services, args.apply).await?;
    Ok(serde_json::to_value(repaired)?)
}

fn topics_of(service: &Service, asked: &[Topic]) -> anyhow::Result<Vec<Topic>> {
    let reads = service.handler.topics();
    if asked.is_empty() {
        return Ok(reads.to_vec());
    }
    match asked.iter().find(|topic| !reads.contains(topic)) {
        Some(topic) => bail!("{} does not read {topic}", service.name()),
        None => Ok(asked.to_vec()),
    }
}

/// Makes and migrates what the engines need.
///
/// # Errors
/// If an engine cannot be reached, or refuses.
pub async fn migrate(config: Config, _: &MigrateArgs) -> anyhow::Result<Value> {
    engines::migrate(&config).await?;
    Ok(json!({ "migrated": true }))
}

/// The least that each service must be allowed at `server`.
///
/// # Errors
/// If the engines are the embedded ones, which know no roles, or a URL cannot be read.
pub fn grants(config: &Config, server: Grantor) -> anyhow::Result<String> {
    let stations = services::stations(&services::all(config)?);
    engines::grants(config, server, &stations)
}

/// The description of the whole surface: OpenAPI, pretty JSON.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn openapi() -> anyhow::Result<String> {
    let config = Config::load(&Inputs::default())?;
    let services = services::all(&config)?;
    let described =
        services.iter().flat_map(|service| [service.routes.clone(), service.reads.clone()]);
    let described = described.map(OpenApiRouter::into_openapi);
    Ok(http::openapi(described).to_pretty_json()?)
}
