//! Agreement: whether store and log date from the same point in time. Each notes how far the other was, so
//! that a side that was restored from an older copy, or lost a file, is detected at the next start.

use crate::log::{self, Log, Position, StoreMark};
use crate::store::{self, LogEnd, Store};
use crate::trouble::Troubles;
use ofs_events::Topic;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// How often what was appended and committed is noted: what was lost later than that is not noticed.
const EVERY: Duration = Duration::from_millis(200);
/// How often what the log has noted is noted again: Kafka forgets it after a week.
const RENEW: Duration = Duration::from_hours(24);
/// Time until the next try when store or log did not answer.
const RETRY: Duration = Duration::from_secs(2);
/// The trouble's name.
const BOTH: &str = "store and log";

/// Why it is unknown whether they agree.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The log did not answer.
    #[error(transparent)]
    Log(#[from] log::Error),
}

/// Store and log, and how far this process has brought them. Cheap to clone.
#[derive(Clone)]
pub struct Agreement {
    store: Arc<dyn Store>,
    log: Arc<dyn Log>,
    appended: Arc<Mutex<Ends>>,
}

/// Where partitions end by what was appended since it was last noted.
type Ends = BTreeMap<(Topic, u32), u64>;

impl Agreement {
    /// Between these two.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, log: Arc<dyn Log>) -> Self {
        Self { store, log, appended: Arc::default() }
    }

    /// An event stands at `at`.
    pub fn appended(&self, at: Position) {
        raise(&mut self.lock(), (at.topic, at.partition), at.offset + 1);
    }

    /// Compares, once store and log answer; then notes how far they are, until `stop`.
    pub async fn run(self, troubles: Troubles, stop: CancellationToken) {
        let mut compared = false;
        let mut renewed: Option<Instant> = None;
        let mut commits = 0;
        let mut pause = Duration::ZERO;
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let renews = compared && renewed.is_none_or(|at| at.elapsed() >= RENEW);
            let done = match (compared, renews) {
                (false, _) => self.report(&troubles).await,
                (true, true) => self.renew().await,
                (true, false) => self.note(&mut commits).await,
            };
            pause = match done {
                Ok(()) => {
                    compared = true;
                    renewed = if renews { Some(Instant::now()) } else { renewed };
                    EVERY
                }
                Err(error) => {
                    warn!(%error, "cannot compare store and log yet, will try again");
                    RETRY
                }
            };
        }
    }

    /// Compares, and raises a trouble for what is missing.
    ///
    /// # Errors
    /// If store or log do not answer.
    pub async fn report(&self, troubles: &Troubles) -> Result<(), Error> {
        let missing = self.missing().await?;
        if missing.is_empty() {
            troubles.clear(BOTH);
        } else {
            let reason = format!("{}; stop the services and run `ofs repair`", missing.join("; "));
            error!(%reason, "store and log are not of the same moment");
            troubles.raise(BOTH, reason);
        }
        Ok(())
    }

    /// What either side has lost, in words. It stays noted until [`Agreement::settle`].
    ///
    /// # Errors
    /// If store or log do not answer.
    pub async fn missing(&self) -> Result<Vec<String>, Error> {
        let mut missing = Vec::new();
        for end in self.ends().await? {
            if end.missing > 0 {
                let LogEnd { topic, partition, missing: count, .. } = end;
                missing.push(format!("the log has lost {count} records of {topic}/{partition}"));
            }
        }
        if let Some(mark) = self.mark().await?.filter(|mark| mark.missing > 0) {
            missing.push(format!(
                "the store has lost its last writes; its outbox has numbered {} rows less than it had",
                mark.missing
            ));
        }
        Ok(missing)
    }

    /// From now on both sides are right as they are.
    ///
    /// # Errors
    /// If store or log do not answer.
    pub async fn settle(&self) -> Result<(), Error> {
        let ends = self.ends().await?.into_iter().map(|end| LogEnd { missing: 0, ..end });
        self.store.set_log_ends(&ends.collect::<Vec<_>>()).await?;
        if let Some(mark) = self.mark().await? {
            self.log.note_store(StoreMark { missing: 0, ..mark }).await?;
        }
        Ok(())
    }

    /// The ends of the log as they were noted; what it has lost since is noted first.
    async fn ends(&self) -> Result<Vec<LogEnd>, Error> {
        let mut noted = self.store.log_ends().await?;
        let mut ends = BTreeMap::new();
        for topic in Topic::ALL {
            for bounds in self.log.bounds(topic).await? {
                ends.insert((topic, bounds.partition), bounds.end);
            }
        }
        let mut shorter = Vec::new();
        for end in &mut noted {
            let now = ends.get(&(end.topic, end.partition)).copied().unwrap_or(0);
            if now < end.next {
                end.missing += end.next - now;
                end.next = now;
                shorter.push(*end);
            }
        }
        if !shorter.is_empty() {
            self.store.set_log_ends(&shorter).await?;
        }
        Ok(noted)
    }

    /// How far the store was, as the log noted it; what it has lost since is noted first.
    async fn mark(&self) -> Result<Option<StoreMark>, Error> {
        let Some(mut mark) = self.log.noted_store().await? else { return Ok(None) };
        let newest = self.store.newest_outgoing().await?;
        if newest < mark.newest {
            mark.missing += mark.newest - newest;
            mark.newest = newest;
            self.log.note_store(mark).await?;
        }
        Ok(Some(mark))
    }

    async fn renew(&self) -> Result<(), Error> {
        if let Some(mark) = self.log.noted_store().await? {
            self.log.note_store(mark).await?;
        }
        Ok(())
    }

    /// Notes what was appended, and that there are more than `noted` commits.
    async fn note(&self, noted: &mut u64) -> Result<(), Error> {
        let commits = self.store.commits();
        let appended = std::mem::take(&mut *self.lock());
        if appended.is_empty() && commits == *noted {
            return Ok(());
        }
        let done = self.note_down(&appended).await;
        if done.is_ok() {
            *noted = commits;
        } else {
            let mut later = self.lock();
            appended.into_iter().for_each(|(place, end)| raise(&mut later, place, end));
        }
        done
    }

    async fn note_down(&self, appended: &Ends) -> Result<(), Error> {
        let ends: Vec<Position> = appended
            .iter()
            .map(|(&(topic, partition), &offset)| Position { topic, partition, offset })
            .collect();
        let newest = self.store.note_log_ends(&ends).await?;
        if let Some(mark) = self.log.noted_store().await?
            && mark.newest < newest
        {
            self.log.note_store(StoreMark { newest, ..mark }).await?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Ends> {
        self.appended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn raise(ends: &mut Ends, place: (Topic, u32), end: u64) {
    let known = ends.entry(place).or_default();
    *known = end.max(*known);
}
