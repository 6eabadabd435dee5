//! Tidying: drops what is past its retention, in small steps. A pause after each step leaves everybody
//! else three quarters of the time, however long a step takes; half of it while a backlog lasts.

use ofs_runtime::log::{Log, Reader};
use ofs_runtime::store::{Error, Retention, Store};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Time between two looks when there was nothing left to drop.
const REST: Duration = Duration::from_mins(10);
/// Time until the next try when a step failed.
const RETRY: Duration = Duration::from_mins(1);
/// How much longer than a step the pause after it is; then, if there is still more to drop after
/// `PATIENCE`: more may be coming in than that share of the time can take.
const SHARES: [u32; 2] = [3, 1];
const PATIENCE: Duration = Duration::from_secs(10);

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

/// What is kept for how long; the inbox for `inbox`, in whole days.
#[must_use]
pub fn retention(inbox: Duration) -> Retention {
    let hours = u16::try_from(inbox.as_secs() / 3600).unwrap_or(u16::MAX);
    Retention { inbox_days: hours.div_ceil(24), once_hours: 72, parked_days: 30 }
}

/// Drops rows past their retention, until `stop`.
pub async fn store(store: Arc<dyn Store>, retention: Retention, stop: CancellationToken) {
    loop {
        let purged = stop.run_until_cancelled(purge(&*store, retention)).await;
        let pause = match purged {
            None => return,
            Some(Ok(())) => REST,
            Some(Err(error)) => {
                warn!(%error, "cannot drop what the store has kept long enough, will try again");
                RETRY
            }
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Drops everything that is past its retention now.
///
/// # Errors
/// If the store fails.
pub async fn purge(store: &dyn Store, retention: Retention) -> Result<(), Error> {
    let start = Instant::now();
    loop {
        let began = Instant::now();
        if !store.tidy(retention).await? {
            return Ok(());
        }
        let share = SHARES[usize::from(start.elapsed() > PATIENCE)];
        tokio::time::sleep(began.elapsed() * share).await;
    }
}
