//! Index lane: from changed records into every current target of the search index.

use super::{Lane, Receipt, Receipts};
use crate::books::Books;
use crate::budget::Appetite;
use crate::crash;
use crate::index::{Document, Index, Put, Target};
use crate::metrics;
use crate::rebuild::Targets;
use crate::store::{Error, Record, Settled};
use async_trait::async_trait;
use ofs_events::Key;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;
use tracing::error;

/// Carries changed records into the index.
pub struct IndexLane {
    index: Arc<dyn Index>,
    appetite: Appetite,
}

impl IndexLane {
    /// The lane into `index`.
    #[must_use]
    pub fn new(index: Arc<dyn Index>) -> Self {
        Self { index, appetite: Appetite::new(Self::BATCH) }
    }

    /// Pushes into one target, and notes what it does not take.
    async fn push(&self, target: &Target, documents: &[Document], missed: &mut Missed) {
        match self.index.put(target, documents).await {
            Err(error) => {
                let all = documents.iter().map(|document| (document.id, error.to_string()));
                missed.failed.extend(all);
            }
            Ok(answers) => {
                for (document, answer) in documents.iter().zip(answers) {
                    match answer {
                        Put::Stored | Put::Newer => {}
                        Put::Later(reason) => {
                            missed.failed.insert(document.id, reason);
                        }
                        Put::Refused(reason) => {
                            error!(key = %document.id, reason, "the index refuses a document");
                            missed.refused.insert(document.id, reason);
                        }
                    }
                }
            }
        }
    }
}

/// What some target did not take, and why.
#[derive(Default)]
struct Missed {
    /// Not now.
    failed: HashMap<Key, String>,
    /// Whatever happens: pushed again when an operator requests it, or the record changes.
    refused: HashMap<Key, String>,
}

/// A record as the document that the index holds.
pub(crate) fn document(record: &Record) -> Document {
    let body = serde_json::from_str(&record.body).unwrap_or_default();
    Document { id: record.key, version: record.version, body }
}

#[async_trait]
impl Lane for IndexLane {
    type Item = Record;

    const NAME: metrics::LaneName = metrics::LaneName::Index;
    const SLOTS: u16 = 1;
    const BATCH: usize = 512;

    fn bell<'a>(&self, books: &'a Books) -> &'a Notify {
        &books.bell().index
    }

    fn key(item: &Record) -> Key {
        item.key
    }

    async fn owed(&self, books: &Books, _: &[u16], skip: &[Key]) -> Result<Vec<Record>, Error> {
        let most = self.appetite.ask();
        let owed = books.store().unindexed(books.owner(), skip, most).await?;
        self.appetite.came(owed.len());
        // Before the first index is begun there is nowhere to carry them, and nothing is wrong.
        if owed.is_empty() || Targets::load(books).await?.current().next().is_some() {
            return Ok(owed);
        }
        Ok(Vec::new())
    }

    async fn deliver(&self, books: &Books, items: Vec<Record>, receipts: &Receipts) {
        // The receiver may be gone.
        let _ = receipts.send(self.push_all(books, items).await);
    }
}

impl IndexLane {
    async fn push_all(&self, books: &Books, items: Vec<Record>) -> Receipt {
        let mut missed = Missed::default();
        let targets = match Targets::load(books).await {
            Ok(targets) => targets,
            Err(error) => {
                let failed = items.iter().map(|item| (item.key, error.to_string())).collect();
                return Receipt { failed, ..Receipt::default() };
            }
        };
        let documents: Vec<Document> = items.iter().map(document).collect();
        if targets.current().next().is_none() {
            let none = "the index has no target yet".to_owned();
            missed.failed.extend(items.iter().map(|item| (item.key, none.clone())));
        }
        crash::point("push.before");
        for target in targets.current() {
            self.push(target, &documents, &mut missed).await;
        }
        crash::point("push.after");
        let Missed { failed, mut refused } = missed;
        let delivered = items.iter().filter(|item| !failed.contains_key(&item.key));
        let settled = delivered.map(|&Record { key, version, .. }| match refused.remove(&key) {
            Some(reason) => (key, Settled::Refused { key, version, reason }),
            None => (key, Settled::Indexed { key, version }),
        });
        let settled = settled.collect();
        let (guards, failed) = (vec![targets.guard(books)], failed.into_iter().collect());
        Receipt { settled, guards, failed, ..Receipt::default() }
    }
}
