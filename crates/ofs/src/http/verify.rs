//! A comparison of the index with the records that goes on by itself; the last one is remembered.

use ofs_events::Timestamp;
use ofs_runtime::context::Context;
use ofs_runtime::rebuild::{Rebuild, Verified};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where it is.
#[derive(Clone, Debug, Default)]
pub enum State {
    /// None was started.
    #[default]
    Never,
    /// It goes on.
    Running {
        /// When it began.
        since: Timestamp,
        /// Records compared so far.
        checked: u64,
    },
    /// It could not be done.
    Failed(String),
    /// It is done.
    Done {
        /// When it ended.
        at: Timestamp,
        /// What it found.
        verified: Arc<Verified>,
    },
}

/// The one comparison of this process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Verify(Arc<Mutex<State>>);

impl Verify {
    /// Where it is.
    #[must_use]
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// Starts one, unless one goes on.
    pub fn start(&self, rebuild: &Rebuild) {
        let clock = Context::new("verify");
        {
            let mut state = self.lock();
            if matches!(*state, State::Running { .. }) {
                return;
            }
            *state = State::Running { since: clock.now(), checked: 0 };
        }
        let (kept, rebuild) = (self.clone(), rebuild.clone());
        tokio::spawn(async move {
            // Whatever ends it early, even a panic, ends the state of going on.
            let ends = Ends(kept.clone());
            let told = |now: u64| {
                if let State::Running { checked, .. } = &mut *kept.lock() {
                    *checked = now;
                }
            };
            let state = match rebuild.verify_telling(&told).await {
                Ok(verified) => State::Done { at: clock.now(), verified: Arc::new(verified) },
                Err(error) => State::Failed(error.to_string()),
            };
            *kept.lock() = state;
            drop(ends);
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Ends(Verify);

impl Drop for Ends {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if matches!(*state, State::Running { .. }) {
            *state = State::Failed("it was broken off; the server's log says why".to_owned());
        }
    }
}
