//! Telemetry: log lines on stderr, and the recorder behind `GET /metrics`. Serves nothing itself.

use crate::config::{Config, LogFormat};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use ofs_runtime::task;
use std::io::IsTerminal as _;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How often histograms are folded; without it they grow as long as they are not scraped.
const UPKEEP: Duration = Duration::from_secs(5);

/// Libraries whose `info` says nothing to an operator.
const QUIET: &str =
    "refinery_core=warn,tantivy=warn,tokio_postgres=warn,ofs_engines::log::kafka::client=error";

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log filter, or a logger that is there already.
    #[error("cannot set up log lines: {0}")]
    Logs(String),
    /// The recorder.
    #[error("cannot set up metrics: {0}")]
    Metrics(String),
}

/// Sends log lines to stderr, as `logs.format` and `logs.level` say.
///
/// # Errors
/// [`Error::Logs`], also when called twice in one process.
pub fn logs(config: &Config) -> Result<(), Error> {
    // What comes later wins, so the filter can still ask for the migrator's lines.
    let filter = EnvFilter::try_new(format!("{QUIET},{}", config.log_level))
        .map_err(|error| Error::Logs(error.to_string()))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let set = match config.log_format {
        LogFormat::Text => lines.finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    set.map_err(|error| Error::Logs(error.to_string()))
}

/// Installs the metrics recorder of this process and keeps it, and the figures of the process itself
/// (memory, file descriptors, processor time), up to date. Call it inside the runtime.
///
/// # Errors
/// [`Error::Metrics`], also when called twice in one process.
pub fn metrics() -> Result<PrometheusHandle, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Metrics(error.to_string());
    let mut builder = PrometheusBuilder::new();
    for name in ofs_runtime::metrics::HISTOGRAMS {
        builder = builder
            .set_buckets_for_metric(Matcher::Full(name.to_owned()), &ofs_runtime::metrics::BUCKETS)
            .map_err(|error| failed(&error))?;
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| failed(&error))?;
    let process = metrics_process::Collector::default();
    process.describe();
    process.collect();
    let kept = handle.clone();
    tokio::spawn(task::guard("metrics", async move {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            kept.run_upkeep();
            process.collect();
        }
    }));
    Ok(handle)
}
