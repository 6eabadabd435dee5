//! Tidying: drops what is past its retention, in small steps. A pause after each step leaves everybody
//! else three quarters of the time, however long a step takes.

use ofs_runtime::log::{Log, Reader};
use ofs_runtime::store::{Retention, Store};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Time between two looks when there was nothing left to drop.
const REST: Duration = Duration::from_mins(10);
/// Time until the next try when a step failed.
const RETRY: Duration = Duration::from_mins(1);
/// How much longer than a step the pause after it is.
const SHARE: u32 = 3;

/// Drops records that were appended longer ago than `kept`, but none that one of `readers` has still to read, until
/// `stop`.
pub async fn log(log: Arc<dyn Log>, kept: Duration, readers: Vec<Reader>, stop: CancellationToken) {
    let mut pause = Duration::ZERO;
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        pause = match log.tidy(kept, &readers).await {
            Ok(()) => REST,
            Err(error) => {
                warn!(%error, "cannot drop what the log has kept long enough, will try again");
                RETRY
            }
        };
    }
}

/// Drops rows past their retention (the inbox's is `inbox`), until `stop`.
pub async fn store(store: Arc<dyn Store>, inbox: Duration, stop: CancellationToken) {
    let hours = u16::try_from(inbox.as_secs() / 3600).unwrap_or(u16::MAX);
    let retention = Retention { inbox_days: hours.div_ceil(24), once_hours: 72, parked_days: 30 };
    let mut pause = Duration::ZERO;
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        let began = Instant::now();
        pause = match store.tidy(retention).await {
            Ok(true) => began.elapsed() * SHARE,
            Ok(false) => REST,
            Err(error) => {
                warn!(%error, "cannot drop what the store has kept long enough, will try again");
                RETRY
            }
        };
    }
}
