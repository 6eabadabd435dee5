//! The embedded set: SQLite, SQLite and tantivy, in one directory of one process.

use super::Engines;
use crate::config::Config;
use anyhow::Context as _;
use ofs_engines::index::tantivy::TantivyIndex;
use ofs_engines::log::sqlite::SqliteLog;
use ofs_engines::store::sqlite::SqliteStore;
use ofs_engines::{index, sqlite};
use std::num::NonZeroU32;
use std::sync::Arc;

/// Opens the data directory; makes and migrates its files as needed.
pub(super) async fn open(config: &Config) -> anyhow::Result<Engines> {
    let dir = &config.data_dir;
    let store = SqliteStore::open(&dir.join("store.db"), pages(config.store_max_pages))
        .await
        .with_context(|| format!("cannot use the data directory {}", dir.display()))?;
    let (path, options, instance) = (
        dir.join("log.db"),
        pages(config.log_max_pages),
        ofs_runtime::store::Store::instance(&store),
    );
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
