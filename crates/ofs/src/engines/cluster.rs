//! The cluster set: Kafka, PostgreSQL and Elasticsearch, waited for at the start.

use super::reach::{NotReached, Server, reach};
use super::{Engines, Grantor};
use crate::config::{Config, Source};
use ofs_engines::ServerUrl;
use ofs_engines::index::elasticsearch::{self, ElasticsearchIndex};
use ofs_engines::log::kafka::{self, KafkaLog};
use ofs_engines::store::postgres::{self, PostgresStore};
use ofs_runtime::access::Access;
use ofs_runtime::index::{self, Index as _};
use ofs_runtime::log::{self, Layout, Log as _};
use ofs_runtime::pipeline::Station;
use search_indexer_worker::schema::SCHEMA;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

const STORE: Server = Server { name: "PostgreSQL", key: "store.url" };
const LOG: Server = Server { name: "Kafka", key: "log.url" };
const INDEX: Server = Server { name: "Elasticsearch", key: "index.url" };

/// Where `server` is; a login in a file is read again when it is needed.
fn url(config: &Config, server: Server) -> ServerUrl {
    let setting = config.settings.get(server.key);
    let text = setting.and_then(|setting| setting.value.clone()).unwrap_or_default();
    let file = setting.and_then(|setting| match &setting.source {
        Source::EnvFile(_, file) => Some(file.clone()),
        _ => None,
    });
    ServerUrl::new(text, file)
}

/// Connects to the servers; to the search server only where `services` write to it, for its being
/// down must stop nothing else.
pub(super) async fn open(config: &Config, services: &[&str]) -> anyhow::Result<Engines> {
    let patience = config.startup_timeout;
    let index = ElasticsearchIndex::open(url(config, INDEX), SCHEMA)?;
    let indexing = services.contains(&search_indexer_worker::NAME);
    let (store, log, ()) = tokio::try_join!(
        store(config),
        reach(LOG, patience, async || prepared_log(config).await),
        async {
            if indexing {
                reach(INDEX, patience, async || answers(&index).await).await?;
            }
            Ok(())
        },
    )?;
    let (log, index) = (Arc::new(log), Arc::new(index));
    Ok(Engines { access: Arc::<PostgresStore>::clone(&store), store, log, index })
}

/// Keys and the audit trail.
pub(super) async fn access(config: &Config) -> anyhow::Result<Arc<dyn Access>> {
    Ok(store(config).await?)
}

async fn store(config: &Config) -> anyhow::Result<Arc<PostgresStore>> {
    let open = async || PostgresStore::open(url(config, STORE)).await.map_err(store_trouble);
    Ok(Arc::new(reach(STORE, config.startup_timeout, open).await?))
}

/// Makes the tables and the topics. The search index is made by the service that fills it.
pub(super) async fn migrate(config: &Config) -> anyhow::Result<()> {
    let patience = config.startup_timeout;
    tokio::try_join!(
        reach(STORE, patience, async || postgres::migrate(url(config, STORE))
            .await
            .map_err(store_trouble)),
        reach(LOG, patience, async || connect(config)
            .await?
            .prepare(layout(config))
            .await
            .map_err(log_trouble)),
    )?;
    Ok(())
}

/// Orders a second whose records, rows and documents the servers take bare.
pub(super) async fn bare(config: &Config, time: Duration) -> anyhow::Result<[f64; 3]> {
    Ok([
        kafka::bare(url(config, LOG), time).await?,
        postgres::bare(url(config, STORE), time).await?,
        elasticsearch::bare(url(config, INDEX), time).await?,
    ])
}

/// The least that each of `services` must be allowed at `server`.
pub(super) fn grants(
    config: &Config,
    server: Grantor,
    services: &[Station],
) -> anyhow::Result<String> {
    Ok(match server {
        Grantor::Postgres => {
            let names: Vec<&str> = services.iter().map(|service| service.service).collect();
            postgres::grants(url(config, STORE), &names)?
        }
        Grantor::Kafka => kafka::grants(url(config, LOG), services)?,
        Grantor::Elasticsearch => elasticsearch::grants(url(config, INDEX), &SCHEMA, services)?,
    })
}

fn layout(config: &Config) -> Layout {
    let replication = config.log_replication.map_or(0, NonZeroU32::get);
    let replication = u16::try_from(replication).unwrap_or(u16::MAX);
    Layout { partitions: config.log_partitions.get(), replication }
}

async fn prepared_log(config: &Config) -> Result<KafkaLog, NotReached> {
    let log = connect(config).await?;
    log.check(layout(config)).await.map_err(log_trouble)?;
    Ok(log)
}

async fn connect(config: &Config) -> Result<KafkaLog, NotReached> {
    let url = url(config, LOG);
    let opened = tokio::task::spawn_blocking(move || KafkaLog::open(url)).await;
    opened.map_err(|error| NotReached::Never(error.into()))?.map_err(|error| {
        if error.is_transient() {
            NotReached::NotYet(error.to_string())
        } else if error.is_refusal() {
            NotReached::Refused(error.to_string())
        } else {
            NotReached::Never(error.into())
        }
    })
}

fn log_trouble(error: log::Error) -> NotReached {
    match error {
        log::Error::Unavailable(reason) => NotReached::NotYet(reason),
        error => NotReached::Never(error.into()),
    }
}

fn store_trouble(error: postgres::OpenError) -> NotReached {
    if error.is_transient() {
        NotReached::NotYet(error.to_string())
    } else if error.is_refusal() {
        NotReached::Refused(error.to_string())
    } else {
        NotReached::Never(error.into())
    }
}

async fn answers(index: &ElasticsearchIndex) -> Result<(), NotReached> {
    index.check().await.map_err(|error| match error.is_refusal() {
        true => NotReached::Refused(error.to_string()),
        false => NotReached::NotYet(error.to_string()),
    })?;
    match index.status().await {
        Err(index::Error::Unavailable(reason)) => Err(NotReached::NotYet(reason)),
        Ok(_) | Err(index::Error::Missing(_) | index::Error::Rejected(_)) => Ok(()),
    }
}
