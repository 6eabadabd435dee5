//! Keyring: who holds a key, looked up in the store and believed for a few seconds; and when each key was
//! last used, written every few seconds.

use super::{Access, ApiKey, Entry, Scopes, Secret};
use crate::context::Context;
use crate::store::Error;
use ofs_events::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a key is believed without asking the store: a key that is revoked by another process may
/// be used for as long.
const BELIEVED: Duration = Duration::from_secs(3);
/// Keys believed at once.
const MOST: usize = 10_000;
/// How often the times of last use are written.
const WRITTEN: Duration = Duration::from_secs(5);

/// Why a caller is not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEntry {
    /// It is not a key, or the key does not exist.
    #[error("the key is unknown here; check that it was copied whole")]
    Unknown,
    /// It has expired.
    #[error("key {0} has expired; make a new one with `ofs keys create`")]
    Expired(Uuid),
    /// It was revoked.
    #[error("key {0} has been revoked; make a new one with `ofs keys create`")]
    Revoked(Uuid),
    /// It could not be looked up.
    #[error(transparent)]
    Store(#[from] Error),
}

/// The keys of one process's callers. Cheap to clone.
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

struct Inner {
    access: Arc<dyn Access>,
    context: Context,
    believed: Mutex<HashMap<Uuid, (Instant, ApiKey)>>,
    used: Mutex<BTreeMap<Uuid, Timestamp>>,
}

impl Keyring {
    /// The keys in `access`.
    #[must_use]
    pub fn new(access: Arc<dyn Access>) -> Self {
        let context = Context::new("keys");
        let (believed, used) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { access, context, believed, used }))
    }

    /// Where the keys are stored.
    #[must_use]
    pub fn access(&self) -> Arc<dyn Access> {
        Arc::clone(&self.0.access)
    }

    /// The key that `text` is, if it may be used now.
    ///
    /// # Errors
    /// [`NoEntry`].
    pub async fn admit(&self, text: &str) -> Result<ApiKey, NoEntry> {
        let secret = Secret::parse(text).ok_or(NoEntry::Unknown)?;
        let key = self.look_up(secret.id()).await?;
        let key = key.filter(|key| secret.fits(&key.digest)).ok_or(NoEntry::Unknown)?;
        let now = self.0.context.now();
        usable(&key, now)?;
        lock(&self.0.used).insert(key.id, now);
        Ok(key)
    }

    /// Makes sure that the key `id`, with which a caller was admitted, may still be used.
    ///
    /// # Errors
    /// [`NoEntry`].
    pub async fn check(&self, id: Uuid) -> Result<(), NoEntry> {
        let key = self.look_up(id).await?.ok_or(NoEntry::Unknown)?;
        usable(&key, self.0.context.now())
    }

    async fn look_up(&self, id: Uuid) -> Result<Option<ApiKey>, Error> {
        let believed = lock(&self.0.believed).get(&id).cloned();
        if let Some((since, key)) = believed
            && since.elapsed() < BELIEVED
        {
            return Ok(Some(key));
        }
        // Before the store is asked, so that its answer counts as no younger than it is.
        let asked = Instant::now();
        let found = self.0.access.key(id).await?;
        let mut believed = lock(&self.0.believed);
        if believed.len() >= MOST {
            believed.clear();
        }
        match &found {
            Some(key) => believed.insert(id, (asked, key.clone())),
            None => believed.remove(&id),
        };
        Ok(found)
    }

    /// Makes a key; where it is to be the `first`, none if there is one. `entry` is noted with it.
    ///
    /// # Errors
    /// If the store cannot take it now. It may then hold a key whose secret was never shown.
    pub async fn create(
        &self,
        name: &str,
        scopes: Scopes,
        expires_at: Option<Timestamp>,
        first: bool,
        entry: Entry,
    ) -> Result<Option<(ApiKey, Secret)>, Error> {
        let id = self.0.context.new_id();
        let bits = self.0.context.new_bits();
        let bits = bits.map_err(|error| Error::Unavailable(error.to_string()))?;
        let secret = Secret::new(id, bits);
        let key = ApiKey {
            id,
            name: name.to_owned(),
            scopes,
            digest: secret.digest(),
            created_at: self.0.context.now(),
            expires_at,
            revoked_at: None,
            used_at: None,
        };
        let entry = entry.with(format!("key {id} ({name}): {scopes}"));
        let added = self.0.access.add_key(&key, first, &entry.text()).await?;
        Ok(added.then_some((key, secret)))
    }

    /// Revokes a key, and returns it; none if it does not exist. `entry` is noted with it,
    /// unless it was revoked before.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn revoke(&self, id: Uuid, entry: Entry) -> Result<Option<ApiKey>, Error> {
        let Some(key) = self.0.access.key(id).await? else { return Ok(None) };
        let entry = entry.with(format!("key {id} ({})", key.name));
        self.0.access.revoke_key(id, self.0.context.now(), &entry.text()).await?;
        lock(&self.0.believed).remove(&id);
        self.0.access.key(id).await
    }

    /// Every key, oldest first, with what is not written yet of its use.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn list(&self) -> Result<Vec<ApiKey>, Error> {
        let mut keys = self.0.access.keys().await?;
        let used = lock(&self.0.used);
        for key in &mut keys {
            key.used_at = key.used_at.max(used.get(&key.id).copied());
        }
        Ok(keys)
    }

    /// Writes when keys were last used, every few seconds, until `stop` and then once more.
    pub async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(WRITTEN)).await.is_some() {
            self.write_uses().await;
        }
        self.write_uses().await;
    }

    async fn write_uses(&self) {
        let used: Vec<_> = std::mem::take(&mut *lock(&self.0.used)).into_iter().collect();
        if used.is_empty() {
            return;
        }
        if let Err(error) = self.0.access.keys_used(&used).await {
            tracing::warn!(%error, "cannot write when keys were last used, will try again");
            let mut newer = lock(&self.0.used);
            used.into_iter().for_each(|(id, at)| {
                newer.entry(id).or_insert(at);
            });
        }
    }
}

fn usable(key: &ApiKey, now: Timestamp) -> Result<(), NoEntry> {
    if key.revoked_at.is_some() {
        return Err(NoEntry::Revoked(key.id));
    }
    if key.expires_at.is_some_and(|end| end <= now) {
        return Err(NoEntry::Expired(key.id));
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
