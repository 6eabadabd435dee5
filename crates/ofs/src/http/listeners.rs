//! How many answers may go on for ever at once: each looks for new records several times a second.

use ofs_runtime::problem::{self, Problem};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Listeners of one process.
pub(super) const MOST: usize = 256;

/// The seats of those who listen. Cheap to clone.
#[derive(Clone)]
pub struct Listeners(Arc<Semaphore>);

impl Default for Listeners {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Listeners {
    /// A seat, for as long as it is held.
    ///
    /// # Errors
    /// If all are taken.
    pub(super) fn sit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let seat = Arc::clone(&self.0).try_acquire_owned();
        seat.map_err(|_| {
            let detail = format!(
                "{MOST} clients follow the log here already; try again later, ask another process, or read \
                 without `follow`"
            );
            Problem::new(problem::UNAVAILABLE, detail).retry_after(5)
        })
    }
}
