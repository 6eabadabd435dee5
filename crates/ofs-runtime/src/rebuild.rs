//! Rebuilding the search index beside the old one, and comparing it with the records.
//!
//! Resumable: every step is idempotent and its progress is one versioned row in the store.

mod compare;
mod refused;

pub use compare::{Different, Verified};

use crate::backoff::Backoff;
use crate::books::Books;
use crate::budget::Appetite;
use crate::index::{self, Index, Target};
use crate::store::{self, Commit, Depth, Guard, Oldest, Record, Wanted};
use ofs_events::{Key, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

/// The key of the row that lists the targets; nothing else has it.
const TARGETS: Key = Key(Uuid::nil());
const PAGE: usize = 1000;
/// Pages that are marked between two times that the plan is saved; after a crash, marked again.
const PAGES: usize = 64;
/// How often the engine is asked whether it still has the index.
const CHECK: Duration = Duration::from_secs(5);

/// After what to scan, to find `key` first.
fn before(key: Key) -> Option<Key> {
    key.0.as_u128().checked_sub(1).map(|key| Key(Uuid::from_u128(key)))
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] index::Error),
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Plan {
    active: Option<Target>,
    building: Option<Target>,
    /// All records up to here are owed to the one being built.
    marked: Option<Key>,
    /// When the last record was marked, on the store's clock.
    marked_at: Option<Timestamp>,
}

/// The current targets, as read at one version.
pub(crate) struct Targets {
    plan: Plan,
    record: Option<Record>,
}

impl Targets {
    pub(crate) async fn load(books: &Books) -> Result<Targets, store::Error> {
        let mut loaded = books.load(Wanted { keys: vec![TARGETS], ..Wanted::default() }).await?;
        let record = loaded.records.remove(&TARGETS);
        let plan = record.as_ref().and_then(|record| record.read().ok()).unwrap_or_default();
        Ok(Targets { plan, record })
    }

    /// Where every document has to go.
    pub(crate) fn current(&self) -> impl Iterator<Item = &Target> {
        self.plan.active.iter().chain(&self.plan.building)
    }

    /// Holds as long as the list is unchanged.
    pub(crate) fn guard(&self, books: &Books) -> Guard {
        let version = self.record.as_ref().map_or(0, |record| record.version);
        Guard { owner: books.owner().to_owned(), key: TARGETS, version }
    }

    async fn save(
        &self,
        books: &Books,
        plan: &Plan,
        owed: Vec<(Key, u64)>,
    ) -> Result<(), store::Error> {
        let mut commit = books.blank();
        let now = books.context().now();
        commit.records.push(Record::next(self.record.as_ref(), TARGETS, "targets", plan, now));
        commit.again = owed;
        books.commit(commit).await
    }
}

/// What there is, and what is being built.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RebuildState {
    /// Every generation the engine holds.
    pub targets: Vec<Target>,
    /// The one that search reads.
    pub active: Option<Target>,
    /// The one being built.
    pub building: Option<Target>,
    /// Documents in the active one.
    pub documents: u64,
    /// Records not yet in every target.
    pub owed: u64,
    /// Records that some target refuses.
    pub refused: u64,
}

/// Rebuilds and verifies. The owner of `books` is the service whose records are indexed.
#[derive(Clone)]
pub struct Rebuild {
    books: Books,
    index: Arc<dyn Index>,
    /// Records of one page.
    page: Arc<Appetite>,
}

impl Rebuild {
    /// Over the records of `books` and `index`.
    #[must_use]
    pub fn new(books: Books, index: Arc<dyn Index>) -> Self {
        Self { books, index, page: Arc::new(Appetite::new(PAGE)) }
    }

    /// Orders a rebuild; answers with the target being built, which may have been ordered before.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn start(&self) -> Result<Target, Error> {
        loop {
            let targets = Targets::load(&self.books).await?;
            if let Some(target) = targets.plan.building {
                return Ok(target);
            }
            let target = self.new_target();
            self.make(&target).await;
            let building = Some(target);
            let plan = Plan { building, marked: None, marked_at: None, ..targets.plan.clone() };
            match targets.save(&self.books, &plan, Vec::new()).await {
                Ok(()) => self.books.bell().index.notify_one(),
                Err(store::Error::Stale) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes `target` before it is ordered, so that no document comes before it is there. If the index
    /// cannot be reached, it is made when it can.
    async fn make(&self, target: &Target) {
        if let Err(error) = self.index.begin(target, self.books.store().instance()).await {
            debug!(%error, target_name = target.0, "cannot make an index yet");
        }
    }

    fn new_target(&self) -> Target {
        Target(format!("{}-{}", self.index.schema().name(), self.books.context().now().as_micros()))
    }

    /// What there is, and what is being built.
    ///
    /// # Errors
    /// If store or index cannot be reached.
    pub async fn state(&self) -> Result<RebuildState, Error> {
        let targets = Targets::load(&self.books).await?;
        let status = self.index.status().await?;
        let depths = self.books.store().depths().await?;
        let rows = |depths: &[Depth]| {
            let own = depths.iter().filter(|depth| depth.owner == self.books.owner());
            own.map(|depth| depth.rows).sum()
        };
        Ok(RebuildState {
            targets: status.targets,
            active: status.active,
            building: targets.plan.building,
            documents: status.documents,
            owed: rows(&depths.index),
            refused: rows(&depths.refused),
        })
    }

    /// Makes the index at once where there is nothing to put into it yet, so that a new system answers
    /// searches from the start.
    ///
    /// # Errors
    /// If store or index cannot be reached; then it is made when they can.
    pub async fn make_empty(&self) -> Result<(), Error> {
        let records = self.books.store().scan(self.books.owner(), None, 2).await?;
        if records.iter().all(|record| record.key == TARGETS) {
            self.check().await?;
            while self.step().await? {}
        }
        Ok(())
    }

    /// Drives rebuilds until `stop`: orders one where the index is not this store's, and carries
    /// through whatever was ordered, here or elsewhere.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::world();
        let mut checked: Option<Instant> = None;
        loop {
            let step = async {
                if checked.is_none_or(|at| at.elapsed() > CHECK) {
                    self.check().await?;
                    checked = Some(Instant::now());
                }
                self.step().await
            };
            let wait = match step.await {
                Ok(true) => Duration::ZERO,
                Ok(false) => Duration::from_millis(100),
                Err(Error::Store(store::Error::Stale)) => Duration::from_millis(10),
                Err(error) => {
                    warn!(%error, "cannot go on with the search index, will try again");
                    backoff.next_wait()
                }
            };
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// An index that is new, lost or another store's has to be rebuilt. A target that is gone gets no
    /// more documents, or nothing could ever be settled.
    async fn check(&self) -> Result<(), Error> {
        let targets = Targets::load(&self.books).await?;
        let status = self.index.status().await?;
        let plan = &targets.plan;
        let lost = plan.active.as_ref().is_some_and(|active| !status.targets.contains(active));
        let ours = status.instance == Some(self.books.store().instance());
        let known = status.active.is_some() && status.active == plan.active;
        if (ours && known) || (plan.building.is_some() && !lost) {
            return Ok(());
        }
        info!("the search index is new, lost or not this store's: building it");
        let building = plan.building.clone().unwrap_or_else(|| self.new_target());
        self.make(&building).await;
        let plan = Plan {
            active: plan.active.clone().filter(|_| !lost),
            building: Some(building),
            ..plan.clone()
        };
        Ok(targets.save(&self.books, &plan, Vec::new()).await?)
    }

    /// One step of the rebuild that is ordered; `false` if there is nothing to do now.
    async fn step(&self) -> Result<bool, Error> {
        let targets = Targets::load(&self.books).await?;
        let Some(building) = targets.plan.building.clone() else { return Ok(false) };
        self.index.begin(&building, self.books.store().instance()).await?;
        match targets.plan.marked_at {
            None => self.mark(&targets).await,
            Some(_) if self.is_pushed().await? => self.complete(&targets, building).await,
            Some(_) => Ok(false),
        }
    }

    /// Marks the next records as owed, many pages at a time: whenever the plan is saved, nothing that
    /// was pushed under the one before can be settled.
    async fn mark(&self, targets: &Targets) -> Result<bool, Error> {
        let mut plan = targets.plan.clone();
        for _ in 0..PAGES {
            let (owed, is_last) = self.next_page(&mut plan).await?;
            if is_last {
                targets.save(&self.books, &plan, owed).await?;
                return self.marked().await;
            }
            let guards = vec![targets.guard(&self.books)];
            self.books.commit(Commit { again: owed, guards, ..self.books.blank() }).await?;
        }
        targets.save(&self.books, &plan, Vec::new()).await?;
        Ok(true)
    }

    /// The versions behind what `plan` says is marked, which it says of them then; and whether they are
    /// the last.
    async fn next_page(&self, plan: &mut Plan) -> Result<(Vec<(Key, u64)>, bool), Error> {
        let most = self.page.ask();
        let page = self.books.store().scan(self.books.owner(), plan.marked, most).await?;
        self.page.came(page.len());
        plan.marked = page.last().map(|last| last.key).or(plan.marked);
        let records = page.iter().filter(|record| record.key != TARGETS);
        let owed = records.map(|record| (record.key, record.version)).collect();
        Ok((owed, !compare::is_full(&page, most)))
    }

    /// All is marked. What comes later is owed by itself, so there is an end however fast it comes.
    async fn marked(&self) -> Result<bool, Error> {
        let targets = Targets::load(&self.books).await?;
        let marked_at = Some(self.books.store().oldest_owed(self.books.owner()).await?.at);
        let plan = Plan { marked_at, ..targets.plan.clone() };
        targets.save(&self.books, &plan, Vec::new()).await?;
        Ok(true)
    }

    /// Whether all that was marked is pushed, or has changed since and is owed by itself.
    async fn is_pushed(&self) -> Result<bool, Error> {
        let Oldest { again, .. } = self.books.store().oldest_owed(self.books.owner()).await?;
        Ok(!again)
    }

    async fn complete(&self, targets: &Targets, building: Target) -> Result<bool, Error> {
        let compared = self.compare(&building, &|_| ()).await?;
        let differ = compared.again.len();
        if differ >= compare::AGAIN {
            warn!("much of the new index differs: pushing everything again");
            let plan = Plan { marked: None, marked_at: None, ..targets.plan.clone() };
            targets.save(&self.books, &plan, Vec::new()).await?;
            return Ok(true);
        }
        if differ > 0 {
            warn!(documents = differ, "the new index differs: pushing again");
            // What is marked now is after all records: the next step finds no more, and notes when.
            let plan = Plan { marked_at: None, ..targets.plan.clone() };
            targets.save(&self.books, &plan, compared.again).await?;
            return Ok(true);
        }
        let Verified { checked, refused, extra, .. } = compared.verified;
        if !extra.is_empty() {
            warn!(?extra, "another program put documents into the new index: building another one");
            let building = Some(self.new_target());
            let plan = Plan { building, marked: None, marked_at: None, ..targets.plan.clone() };
            targets.save(&self.books, &plan, Vec::new()).await?;
            return Ok(true);
        }
        self.index.finish(&building).await?;
        let name = building.0.clone();
        let plan = Plan { active: Some(building), ..Plan::default() };
        targets.save(&self.books, &plan, Vec::new()).await?;
        // What only the old one refused is in the new one, which is told by pushing it once more.
        self.retry_refused().await?;
        info!(target_name = name, documents = checked, refused, "the search index is rebuilt");
        Ok(true)
    }
}
