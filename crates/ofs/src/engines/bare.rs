//! What the engines of a configuration do bare: the limits of the program on this machine.

use super::{Set, cluster};
use crate::config::Config;
use ofs_engines::bare::{Error, RECORDS, ROWS};
use ofs_engines::{index, sqlite};
use std::path::Path;
use std::time::Duration;

/// What one engine does bare.
#[derive(Clone, Debug)]
pub struct Limit {
    /// What the engine is for: `log`, `store` or `index`.
    pub part: &'static str,
    /// Orders a second whose rows, records or documents it makes durable.
    pub per_second: f64,
}

/// Measures the engines that `config` names, one after the other, each for `time`; those of the embedded
/// set in the current directory.
///
/// # Errors
/// If the three URLs are of different sets, a server cannot be reached, or nothing can be written there.
pub async fn bare(config: &Config, time: Duration) -> anyhow::Result<Vec<Limit>> {
    let rates = match Set::of(config)? {
        Set::Embedded => tokio::task::spawn_blocking(move || embedded(time)).await??,
        Set::Cluster => cluster::bare(config, time).await?,
    };
    let parts = ["log", "store", "index"].into_iter().zip(rates);
    Ok(parts.map(|(part, per_second)| Limit { part, per_second }).collect())
}

fn embedded(time: Duration) -> Result<[f64; 3], Error> {
    let here = Path::new(".");
    Ok([
        sqlite::bare(here, &RECORDS, time)?,
        sqlite::bare(here, &ROWS, time)?,
        index::tantivy::bare(here, time)?,
    ])
}
