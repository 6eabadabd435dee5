//! From the URLs of the configuration to engines. The only file that names one.

use crate::config::Config;
use anyhow::{Context as _, bail};
use ofs_engines::index::tantivy::TantivyIndex;
use ofs_engines::log::sqlite::SqliteLog;
use ofs_engines::store::sqlite::SqliteStore;
use ofs_engines::{index, sqlite};
use ofs_runtime::index::Index;
use ofs_runtime::log::Log;
use ofs_runtime::store::Store;
use std::num::NonZeroU32;
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
}

/// Opens what the configuration names; makes and migrates embedded files as needed.
///
/// # Errors
/// If a URL names no engine of this build, or its files cannot be used; the text says what to do.
pub async fn open(config: &Config) -> anyhow::Result<Engines> {
    let embedded = |key: &str, url: &str, scheme: &str| {
        if url.starts_with(scheme) {
            return Ok(());
        }
        bail!("{key}: this build has no engine for `{url}`; use `{scheme}`")
    };
    embedded("store.url", &config.store_url, "sqlite:")?;
    embedded("log.url", &config.log_url, "sqlite:")?;
    embedded("index.url", &config.index_url, "tantivy:")?;
    let dir = &config.data_dir;
    let store = SqliteStore::open(&dir.join("store.db"), pages(config.store_max_pages))
        .await
        .with_context(|| format!("cannot use the data directory {}", dir.display()))?;
    let (path, options, instance) =
        (dir.join("log.db"), pages(config.log_max_pages), store.instance());
    let log = tokio::task::spawn_blocking(move || SqliteLog::open(&path, options, instance))
        .await?
        .with_context(|| format!("cannot use the data directory {}", dir.display()))?;
    let options =
        index::tantivy::Options { commit_interval: config.commit_interval, ..Default::default() };
    let folder = dir.join("index");
    let index = tokio::task::spawn_blocking(move || TantivyIndex::open(folder, options))
        .await?
        .context("cannot open the search index")?;
    Ok(Engines { store: Arc::new(store), log: Arc::new(log), index: Arc::new(index) })
}

fn pages(most: Option<NonZeroU32>) -> sqlite::Options {
    sqlite::Options { max_pages: most.map(NonZeroU32::get) }
}
