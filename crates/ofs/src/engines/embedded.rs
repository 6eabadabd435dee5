//! The embedded set: SQLite, SQLite and tantivy, in one directory of one process.

use super::Engines;
use crate::config::Config;
use anyhow::Context as _;
use ofs_engines::index::tantivy::TantivyIndex;
use ofs_engines::log::sqlite::SqliteLog;
use ofs_engines::store::sqlite::SqliteStore;
use ofs_engines::{index, sqlite};
use rustix::fs::Mode;
use search_indexer_worker::schema::SCHEMA;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

/// Opens the data directory; makes and migrates its files as needed. It holds personal data, so it and
/// all that this process makes from then on are for its own user alone.
pub(super) async fn open(config: &Config) -> anyhow::Result<Engines> {
    let dir = &config.data_dir;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    if let Ok(metadata) = std::fs::metadata(dir)
        && metadata.permissions().mode() & 0o077 != 0
    {
        std::fs::set_permissions(dir, Permissions::from_mode(0o700))
            .with_context(|| format!("cannot make {} private to this user", dir.display()))?;
    }
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
    let index = tokio::task::spawn_blocking(move || TantivyIndex::open(folder, SCHEMA, options))
        .await?
        .context("cannot open the search index")?;
    let store = Arc::new(store);
    let (log, index) = (Arc::new(log), Arc::new(index));
    Ok(Engines { access: Arc::<SqliteStore>::clone(&store), store, log, index })
}

/// What is damaged in the databases there are.
pub(super) async fn damage(config: &Config) -> anyhow::Result<BTreeMap<&'static str, Vec<String>>> {
    let mut damage = BTreeMap::new();
    for name in ["store.db", "log.db"] {
        let path = config.data_dir.join(name);
        if !path.exists() {
            continue;
        }
        let looked = tokio::task::spawn_blocking(move || sqlite::check(&path)).await?;
        let wrong = looked.with_context(|| format!("cannot check {name}"))?;
        if !wrong.is_empty() {
            damage.insert(name, wrong);
        }
    }
    Ok(damage)
}

fn pages(most: Option<NonZeroU32>) -> sqlite::Options {
    sqlite::Options { max_pages: most.map(NonZeroU32::get), ..sqlite::Options::default() }
}
