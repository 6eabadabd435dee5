//! `ofs config`: show and check.

use super::args::ConfigCommand;
use super::output::{self, Format};
use crate::config::{Config, Inputs, Settings};
use serde_json::json;

pub(super) fn run(format: Format, inputs: &Inputs, command: &ConfigCommand) -> anyhow::Result<()> {
    let settings = Settings::merge(inputs)?;
    for warning in &settings.warnings {
        output::note(&format!("warning: {warning}"));
    }
    match command {
        ConfigCommand::Show => show(format, &settings),
        ConfigCommand::Check => {
            let warnings = settings.warnings.clone();
            Config::read(settings)?;
            match format {
                Format::Json => output::json(&json!({ "ok": true, "warnings": warnings }))?,
                Format::Text => output::line("the configuration can be used")?,
            }
            Ok(())
        }
    }
}

fn show(format: Format, settings: &Settings) -> anyhow::Result<()> {
    let rows: Vec<_> = settings
        .list()
        .iter()
        .map(|setting| {
            let value = setting.shown().unwrap_or_else(|| "-".to_owned());
            vec![setting.key.name.to_owned(), value, setting.source.to_string()]
        })
        .collect();
    let all = settings.list().iter().map(|setting| {
        json!({
            "key": setting.key.name,
            "value": setting.shown(),
            "source": setting.source.to_string(),
            "default": setting.key.default,
            "variable": setting.key.variable(),
            "doc": setting.key.doc,
        })
    });
    let value = json!({ "settings": all.collect::<Vec<_>>() });
    Ok(output::list(format, &value, &["key", "value", "source"], &rows)?)
}
