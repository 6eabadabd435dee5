//! `ofs doctor`: what is open in the configuration, and what is wrong with what is stored.

use super::offline;
use super::output::{self, Format};
use crate::config::{AuthMode, Config};
use crate::open;
use anyhow::ensure;
use ofs_runtime::context::Context;
use ofs_runtime::text::printable;
use serde_json::json;

/// Says what it finds, one line each.
///
/// # Errors
/// If anything is open or wrong, or what is stored cannot be looked at: then after what is open.
pub(super) async fn run(format: Format, config: &Config) -> anyhow::Result<()> {
    let mut open = open::in_config(config);
    let (mut found, sound, failure) = match offline::doctor(config).await {
        Ok(stored) => {
            if config.auth_mode == Some(AuthMode::Required) {
                open.extend(open::in_keys(&stored.keys, Context::new("doctor").now()));
            }
            (stored.found, stored.sound, None)
        }
        Err(error) => (json!({}), true, Some(error)),
    };
    match format {
        Format::Json => {
            found["open"] = serde_json::to_value(&open)?;
            output::json(&found)?;
        }
        Format::Text => {
            for open in &open {
                let line =
                    format!("open: {}: {}; close it with {}", open.what, open.why, open.close);
                output::line(&printable(&line))?;
            }
            if found.as_object().is_some_and(|found| !found.is_empty()) {
                output::document(format, &found)?;
            }
        }
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    ensure!(sound, "something is wrong with what is stored, as listed");
    ensure!(open.is_empty(), "something is open, as listed");
    Ok(())
}
