//! The way to keys and audit trail: through a running server, or straight to the store.

use super::client::Client;
use crate::config::{Config, Source};
use crate::engines;
use crate::failure::Failure;
use ofs_runtime::access::Access;
use std::sync::Arc;

/// A way in.
pub(super) enum Door {
    /// A server, asked with the configured key.
    Server(Client),
    /// The store itself: a process that can open it needs no key.
    Store(Arc<dyn Access>),
}

/// Through the server that is named, if one is; else to the store, or through the server that has it.
///
/// # Errors
/// If neither can be used.
pub(super) async fn open(config: &Config) -> anyhow::Result<Door> {
    let server = config.settings.get("server");
    let client = || Client::new(&config.server, config.api_key.as_deref());
    if server.is_some_and(|server| server.source != Source::Default) {
        return Ok(Door::Server(client()?));
    }
    match engines::access(config).await {
        Ok(access) => Ok(Door::Store(access)),
        Err(error) if engines::is_in_use(&error) => {
            let client = client()?;
            let asked = client.answer(&["health", "live"]).await;
            asked.map_err(|failure| {
                let detail = format!("{error:#}; its server was asked instead, but {failure}");
                Failure::new(failure.exit, detail)
            })?;
            Ok(Door::Server(client))
        }
        Err(error) => Err(error),
    }
}
