//! The cluster set.

use super::Engines;
use crate::config::Config;

pub(super) async fn open(_: &Config, _: &[&str]) -> anyhow::Result<Engines> {
    anyhow::bail!("not yet")
}

pub(super) async fn migrate(_: &Config) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}
