//! What a process is: what runs in it, on which engines, and how it was configured. Holds no secret.

use crate::config::{Config, Source};
use crate::engines::Set;
use std::net::SocketAddr;

/// One process, for people.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Where it listens.
    pub url: String,
    /// Whether its engines are the embedded ones, which belong to one process.
    pub embedded: bool,
    /// The services that run in it.
    pub services: Vec<&'static str>,
    /// Every key with its value as it may be shown, and where that comes from.
    pub settings: Vec<Shown>,
}

/// A setting as it may be shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The key's name.
    pub key: &'static str,
    /// Its value, secrets masked; none if it is not set.
    pub value: Option<String>,
    /// Who said so.
    pub source: String,
    /// Whether that is not the default.
    pub changed: bool,
    /// What it does.
    pub doc: &'static str,
}

impl About {
    /// Of a process with `config` that runs `services` and listens on `address`.
    #[must_use]
    pub fn of(config: &Config, services: &[&'static str], address: SocketAddr) -> Self {
        let shown = config.settings.list().iter().map(|setting| Shown {
            key: setting.key.name,
            value: setting.shown(),
            source: setting.source.to_string(),
            changed: setting.source != Source::Default,
            doc: setting.key.doc,
        });
        Self {
            url: format!("{}://{address}", if config.tls.is_some() { "https" } else { "http" }),
            embedded: matches!(Set::of(config), Ok(Set::Embedded)),
            services: services.to_vec(),
            settings: shown.collect(),
        }
    }
}
