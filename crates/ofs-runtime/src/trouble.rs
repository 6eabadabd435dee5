//! Troubles: what keeps this process from doing its work until an operator acts. A process that has one
//! is not ready, and says why.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The troubles of one process, by what does not work; the reason is for people.
#[derive(Clone, Debug, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<String, String>>>);

impl Troubles {
    /// `what` does not work, because of `reason`; replaces an older reason.
    pub fn raise(&self, what: &str, reason: String) {
        self.lock().insert(what.to_owned(), reason);
    }

    /// `what` works (again).
    pub fn clear(&self, what: &str) {
        self.lock().remove(what);
    }

    /// All there are.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
