//! From the URLs of the configuration to engines: one of two sets, never a mixture.
//!
//! The only folder of this crate that names an engine.

mod bare;
mod cluster;
mod embedded;
mod reach;

pub use bare::{Limit, bare};

use crate::config::Config;
use anyhow::bail;
use ofs_engines::sqlite::OpenError;
use ofs_runtime::access::Access;
use ofs_runtime::index::Index;
use ofs_runtime::log::Log;
use ofs_runtime::pipeline::Station;
use ofs_runtime::store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One engine for each port.
#[derive(Clone)]
pub struct Engines {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// The search index.
    pub index: Arc<dyn Index>,
    /// Keys and the audit trail, kept where the store is.
    pub access: Arc<dyn Access>,
}

/// A server that knows who may do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Grantor {
    /// SQL: a role for each service, with its tables and the rows that it may write.
    Postgres,
    /// Calls of kafka-acls: a principal for each service, and one that makes the topics.
    Kafka,
    /// Bodies for `POST /_security/api_key`: a key for each service.
    Elasticsearch,
}

/// A set of engines that is supported and tested as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// SQLite, SQLite and tantivy in `data-dir`.
    Embedded,
    /// Kafka, PostgreSQL and Elasticsearch.
    Cluster,
}

impl Set {
    /// The set that the three URLs of `config` name together.
    ///
    /// # Errors
    /// If a scheme is unknown, or the three are of different sets; the text says what to set.
    pub fn of(config: &Config) -> anyhow::Result<Set> {
        let urls = [
            ("log.url", &config.log_url, ["sqlite"].as_slice(), ["kafka", "kafka+tls"].as_slice()),
            ("store.url", &config.store_url, &["sqlite"], &["postgres", "postgresql"]),
            ("index.url", &config.index_url, &["tantivy"], &["http", "https"]),
        ];
        let mut sets = Vec::with_capacity(urls.len());
        for (key, url, embedded, cluster) in urls {
            let scheme = url.split(':').next().unwrap_or_default();
            if embedded.contains(&scheme) {
                sets.push(Set::Embedded);
            } else if cluster.contains(&scheme) {
                sets.push(Set::Cluster);
            } else {
                let known = [embedded, cluster].concat().join(", ");
                bail!("{key}: no engine has the scheme `{scheme}:`; there are {known}");
            }
        }
        match sets.as_slice() {
            [first, others @ ..] if others.iter().all(|set| set == first) => Ok(*first),
            _ => bail!(
                "log.url, store.url and index.url belong together: leave all three as they are \
                 (SQLite and tantivy), or set all three (Kafka, PostgreSQL, Elasticsearch)"
            ),
        }
    }
}

/// Opens what the configuration names, for a process that runs `services`. The embedded set is made
/// and migrated as needed; the servers of the cluster set that these services need are waited for, up
/// to `startup.timeout`.
///
/// # Errors
/// If a server stays unreachable ([`Exit::Unreachable`](crate::failure::Exit)), or an engine cannot be
/// used; the text says what to do.
pub async fn open(config: &Config, services: &[&str]) -> anyhow::Result<Engines> {
    match Set::of(config)? {
        Set::Embedded => embedded::open(config).await,
        Set::Cluster => cluster::open(config, services).await,
    }
}

/// Opens keys and the audit trail alone, for a command that needs no more.
///
/// # Errors
/// As [`open`]; of the embedded set, also if a server runs on it ([`is_in_use`]).
pub async fn access(config: &Config) -> anyhow::Result<Arc<dyn Access>> {
    match Set::of(config)? {
        Set::Embedded => Ok(embedded::open(config).await?.access),
        Set::Cluster => cluster::access(config).await,
    }
}

/// Whether `error` says that another process has the files of the embedded set.
#[must_use]
pub fn is_in_use(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(OpenError::InUse(_))))
}

/// What is damaged, by file; looked for in the embedded set's files only, because servers look after
/// theirs.
///
/// # Errors
/// If a file cannot be read.
pub async fn damage(config: &Config) -> anyhow::Result<BTreeMap<&'static str, Vec<String>>> {
    match Set::of(config)? {
        Set::Embedded => embedded::damage(config).await,
        Set::Cluster => Ok(BTreeMap::new()),
    }
}

/// Makes and migrates what the engines need: tables and topics.
///
/// # Errors
/// As [`open`].
pub async fn migrate(config: &Config) -> anyhow::Result<()> {
    match Set::of(config)? {
        Set::Embedded => embedded::open(config).await.map(drop),
        Set::Cluster => cluster::migrate(config).await,
    }
}

/// The least that each of `services` must be allowed at `server`, in words that it takes.
///
/// # Errors
/// If the set is the embedded one, which knows no roles, or a URL cannot be read.
pub fn grants(config: &Config, server: Grantor, services: &[Station]) -> anyhow::Result<String> {
    match Set::of(config)? {
        Set::Embedded => bail!(
            "SQLite and tantivy know no roles; set log.url, store.url and index.url to the servers \
             that are to be used"
        ),
        Set::Cluster => cluster::grants(config, server, services),
    }
}
