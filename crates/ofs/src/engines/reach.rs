//! Waiting for a server at start: tried again for a while, one line when it is missing, one when it
//! is there. Knows no server.

use crate::failure::{Exit, Failure};
use ofs_runtime::backoff::Backoff;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

/// Why a server could not be used.
#[derive(Debug)]
pub(super) enum NotReached {
    /// It may come.
    NotYet(String),
    /// It does not let us in, or we do not trust it.
    Refused(String),
    /// Waiting helps nothing.
    Never(anyhow::Error),
}

/// A server that is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    /// What it is.
    pub name: &'static str,
    /// The key that says where it is.
    pub key: &'static str,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.key)
    }
}

/// Asks until it is there.
///
/// # Errors
/// A [`Failure`] with [`Exit::Unreachable`] once `patience` is over or it refuses us, or what waiting
/// cannot help.
pub(super) async fn reach<T>(
    server: Server,
    patience: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, NotReached>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let mut waiting = false;
    loop {
        let reason = match ask().await {
            Ok(there) => {
                if waiting {
                    info!("{server} answers");
                }
                return Ok(there);
            }
            Err(NotReached::Never(error)) => return Err(error),
            Err(NotReached::Refused(reason)) => {
                return Err(Failure::new(Exit::Unreachable, format!("{server}: {reason}")).into());
            }
            Err(NotReached::NotYet(reason)) => reason,
        };
        if began.elapsed() >= patience {
            let text = format!(
                "{server} did not answer within {}: {reason}; start it, or set {} to where it is",
                humantime::format_duration(patience),
                server.key,
            );
            return Err(Failure::new(Exit::Unreachable, text).into());
        }
        if !waiting {
            warn!(reason, "waiting for {server}");
            waiting = true;
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}
