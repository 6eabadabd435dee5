//! Rebuilding the search index beside the old one, and comparing it with the records.
//!
//! Resumable: every step is idempotent and its progress is one versioned row in the store.

use crate::backoff::Backoff;
use crate::books::Books;
use crate::courier::document;
use crate::index::{self, Document, Index, Target};
use crate::store::{self, Guard, Record, Wanted};
use ofs_events::{OrderId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

/// The key of the row that lists the targets. No order has it.
const TARGETS: OrderId = OrderId(Uuid::nil());
const PAGE: usize = 1000;
/// How often the engine is asked whether it still has the index.
const CHECK: Duration = Duration::from_secs(5);
const LISTED: usize = 100;

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
    marked: Option<OrderId>,
    /// When the last record was marked.
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

    /// Holds as long as nobody has changed the list.
    pub(crate) fn guard(&self, books: &Books) -> Guard {
        let version = self.record.as_ref().map_or(0, |record| record.version);
        Guard { owner: books.owner().to_owned(), key: TARGETS, version }
    }

    async fn save(
        &self,
        books: &Books,
        plan: &Plan,
        owed: Vec<(OrderId, u64)>,
    ) -> Result<(), store::Error> {
        let mut commit = books.blank();
        let now = books.context().now();
        commit.records.push(Record::next(self.record.as_ref(), TARGETS, "targets", plan, now));
        commit.index = owed;
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
}

/// A document that is not what its record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Different {
    /// The order.
    pub id: OrderId,
    /// The record's version.
    pub record_version: u64,
    /// The document's version.
    pub index_version: u64,
    /// Members that differ.
    pub members: Vec<String>,
}

/// The outcome of a comparison. Lists hold at most the first 100; the counts hold all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Records compared.
    pub checked: u64,
    /// Differences of all kinds.
    pub differences: u64,
    /// Records without a document.
    pub missing: Vec<OrderId>,
    /// Documents without a record.
    pub extra: Vec<OrderId>,
    /// Documents that say something else.
    pub different: Vec<Different>,
}

/// Rebuilds and verifies. The owner of `books` is the service whose records are indexed.
#[derive(Clone)]
pub struct Rebuild {
    books: Books,
    index: Arc<dyn Index>,
}

impl Rebuild {
    /// Over the records of `books` and `index`.
    #[must_use]
    pub fn new(books: Books, index: Arc<dyn Index>) -> Self {
        Self { books, index }
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
            let building = Some(self.new_target());
            let plan = Plan { building, marked: None, marked_at: None, ..targets.plan.clone() };
            match targets.save(&self.books, &plan, Vec::new()).await {
                Ok(()) => self.books.bell().index.notify_one(),
                Err(store::Error::Stale) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn new_target(&self) -> Target {
        Target(format!("orders-v1-{}", self.books.context().now().as_micros()))
    }

    /// What there is, and what is being built.
    ///
    /// # Errors
    /// If store or index cannot be reached.
    pub async fn state(&self) -> Result<RebuildState, Error> {
        let targets = Targets::load(&self.books).await?;
        let status = self.index.status().await?;
        let depths = self.books.store().depths().await?;
        let owed = depths.index.iter().filter(|depth| depth.owner == self.books.owner());
        Ok(RebuildState {
            targets: status.targets,
            active: status.active,
            building: targets.plan.building,
            documents: status.documents,
            owed: owed.map(|depth| depth.rows).sum(),
        })
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
        let plan = Plan {
            active: plan.active.clone().filter(|_| !lost),
            building: plan.building.clone().or_else(|| Some(self.new_target())),
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
            Some(marked_at) if self.is_pushed(marked_at).await? => {
                self.complete(&targets, building).await
            }
            Some(_) => Ok(false),
        }
    }

    /// Marks the next page of records as owed.
    async fn mark(&self, targets: &Targets) -> Result<bool, Error> {
        let (store, owner) = (self.books.store(), self.books.owner());
        let page = store.scan(owner, targets.plan.marked, PAGE).await?;
        let mut plan = targets.plan.clone();
        match page.last() {
            Some(last) => plan.marked = Some(last.key),
            None => plan.marked_at = Some(self.books.context().now()),
        }
        let orders = page.iter().filter(|record| record.key != TARGETS);
        let owed = orders.map(|record| (record.key, record.version)).collect();
        targets.save(&self.books, &plan, owed).await?;
        Ok(true)
    }

    async fn is_pushed(&self, marked_at: Timestamp) -> Result<bool, Error> {
        let depths = self.books.store().depths().await?;
        let mut owed = depths.index.iter().filter(|depth| depth.owner == self.books.owner());
        Ok(owed.all(|depth| depth.oldest.is_none_or(|oldest| oldest > marked_at)))
    }

    async fn complete(&self, targets: &Targets, building: Target) -> Result<bool, Error> {
        let verified = self.compare(&building).await?;
        if verified.differences > 0 {
            warn!(differences = verified.differences, "the new index differs: pushing again");
            let plan = Plan { marked: None, marked_at: None, ..targets.plan.clone() };
            targets.save(&self.books, &plan, Vec::new()).await?;
            return Ok(true);
        }
        self.index.finish(&building).await?;
        let name = building.0.clone();
        let plan = Plan { active: Some(building), ..Plan::default() };
        targets.save(&self.books, &plan, Vec::new()).await?;
        info!(target_name = name, documents = verified.checked, "the search index is rebuilt");
        Ok(true)
    }

    /// Compares every document of the active target with its record.
    ///
    /// # Errors
    /// If store or index cannot be reached, or there is no active target.
    pub async fn verify(&self) -> Result<Verified, Error> {
        let status = self.index.status().await?;
        let none =
            || index::Error::Missing("it has no active target; it is being built".to_owned());
        let active = status.active.ok_or_else(none)?;
        self.compare(&active).await
    }

    async fn compare(&self, target: &Target) -> Result<Verified, Error> {
        let mut verified = Verified::default();
        let mut after = None;
        loop {
            let (checked, suspects, last) = self.compare_page(target, after).await?;
            verified.checked += checked;
            self.recheck(target, suspects, &mut verified).await?;
            let Some(last) = last else { return Ok(verified) };
            after = Some(last);
        }
    }

    /// Orders of one page whose document is not what the record says, at this moment.
    async fn compare_page(
        &self,
        target: &Target,
        after: Option<OrderId>,
    ) -> Result<(u64, Vec<OrderId>, Option<OrderId>), Error> {
        let records = self.books.store().scan(self.books.owner(), after, PAGE).await?;
        let documents = self.index.scan(target, after, PAGE).await?;
        let full = |len: usize| len == PAGE;
        let ends = [
            records.last().filter(|_| full(records.len())).map(|record| record.key),
            documents.last().filter(|_| full(documents.len())).map(|document| document.id),
        ];
        let end = ends.into_iter().flatten().min();
        let within = |id: OrderId| end.is_none_or(|end| id <= end);
        let mut pairs: BTreeMap<OrderId, (Option<Document>, Option<Document>)> = BTreeMap::new();
        for record in records.iter().filter(|record| record.key != TARGETS) {
            pairs.entry(record.key).or_default().0 = Some(document(record));
        }
        for found in documents {
            let id = found.id;
            pairs.entry(id).or_default().1 = Some(found);
        }
        pairs.retain(|id, _| within(*id));
        let checked = pairs.values().filter(|(record, _)| record.is_some()).count();
        let suspects = pairs.into_iter().filter(|(_, (record, found))| record != found);
        let suspects = suspects.map(|(id, _)| id).collect();
        Ok((u64::try_from(checked).unwrap_or(u64::MAX), suspects, end))
    }

    /// Documents may only be late. Looks again until they agree, or for two seconds.
    async fn recheck(
        &self,
        target: &Target,
        mut suspects: Vec<OrderId>,
        verified: &mut Verified,
    ) -> Result<(), Error> {
        for left in (0..20).rev() {
            let mut still = Vec::new();
            for id in suspects {
                let (record, found) = self.pair(target, id).await?;
                if record == found {
                    continue;
                }
                still.push(id);
                if left == 0 {
                    verified.note(id, record, found);
                }
            }
            suspects = still;
            if suspects.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// One order's record, as the document it should be, and the document it is.
    async fn pair(
        &self,
        target: &Target,
        id: OrderId,
    ) -> Result<(Option<Document>, Option<Document>), Error> {
        let wanted = Wanted { keys: vec![id], ..Wanted::default() };
        let record = self.books.load(wanted).await?.records.get(&id).map(document);
        let before = id.0.as_u128().checked_sub(1).map(|id| OrderId(Uuid::from_u128(id)));
        let found = self.index.scan(target, before, 1).await?;
        Ok((record, found.into_iter().find(|document| document.id == id)))
    }
}

impl Verified {
    fn note(&mut self, id: OrderId, record: Option<Document>, found: Option<Document>) {
        self.differences += 1;
        match (record, found) {
            (Some(record), Some(found)) if self.different.len() < LISTED => {
                let members = differing_members(&record.body, &found.body);
                let (record_version, index_version) = (record.version, found.version);
                self.different.push(Different { id, record_version, index_version, members });
            }
            (Some(_), None) if self.missing.len() < LISTED => self.missing.push(id),
            (None, Some(_)) if self.extra.len() < LISTED => self.extra.push(id),
            _ => {}
        }
    }
}

fn differing_members(one: &serde_json::Value, other: &serde_json::Value) -> Vec<String> {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else {
        return vec!["the whole document".to_owned()];
    };
    let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
}
