//! Records that the index refuses: looking at them, and having them pushed again.

use super::{Error, PAGE, Rebuild};
use crate::store::{Commit, Refused};
use ofs_events::Key;

impl Rebuild {
    /// Records that the index refuses, by ascending key, after `after`, at most `max`.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn refused(&self, after: Option<Key>, max: usize) -> Result<Vec<Refused>, Error> {
        Ok(self.books.store().refused(self.books.owner(), after, max).await?)
    }

    /// Has everything that the index refuses pushed again; answers with how much that is.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn retry_refused(&self) -> Result<u64, Error> {
        let (mut pushed, mut after) = (0, None);
        loop {
            let page = self.refused(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(pushed) };
            after = Some(last.key);
            pushed += u64::try_from(page.len()).unwrap_or(u64::MAX);
            let index = page.iter().map(|refused| (refused.key, refused.version)).collect();
            self.books.commit(Commit { index, ..self.books.blank() }).await?;
        }
    }

    /// Whether the index refuses this version of `key`.
    pub(super) async fn is_refused(&self, key: Key, version: u64) -> Result<bool, Error> {
        let found = self.refused(super::before(key), 1).await?;
        Ok(found.iter().any(|refused| refused.key == key && refused.version == version))
    }
}
