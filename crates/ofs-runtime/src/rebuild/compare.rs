//! Comparing the index with the records: every document, each difference by name. Changes nothing.

use super::{Error, Rebuild, TARGETS, before};
use crate::budget::{BATCH_BYTES, Weight};
use crate::courier::document;
use crate::index::{self, Document, Target};
use crate::store::{Record, Wanted};
use ofs_events::Key;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How many differences of each kind are listed.
const LISTED: usize = 100;
/// How many records are pushed again alone; beyond that, all of them are.
pub(super) const AGAIN: usize = 10_000;
/// How long a document may be late.
const PATIENCE: Duration = Duration::from_secs(2);

/// A document that is not what its record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Different {
    /// The key.
    pub id: Key,
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
    /// Records whose document the index refuses; no differences.
    pub refused: u64,
    /// Records without a document.
    pub missing: Vec<Key>,
    /// Documents without a record.
    pub extra: Vec<Key>,
    /// Documents that say something else.
    pub different: Vec<Different>,
}

/// A comparison, and what would have to be pushed again: records and their versions, at most [`AGAIN`].
#[derive(Default)]
pub(super) struct Compared {
    pub(super) verified: Verified,
    pub(super) again: Vec<(Key, u64)>,
}

impl Rebuild {
    /// Compares every document of the active target with its record.
    ///
    /// # Errors
    /// If store or index cannot be reached, or there is no active target.
    pub async fn verify(&self) -> Result<Verified, Error> {
        self.verify_telling(&|_| ()).await
    }

    /// As [`Rebuild::verify`]; says again and again how many records are compared.
    ///
    /// # Errors
    /// As [`Rebuild::verify`].
    pub async fn verify_telling(&self, told: &(dyn Fn(u64) + Sync)) -> Result<Verified, Error> {
        let status = self.index.status().await?;
        let none =
            || index::Error::Missing("it has no active target; it is being built".to_owned());
        let active = status.active.ok_or_else(none)?;
        Ok(self.compare(&active, told).await?.verified)
    }

    pub(super) async fn compare(
        &self,
        target: &Target,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<Compared, Error> {
        let mut compared = Compared::default();
        let mut after = None;
        loop {
            let (checked, suspects, last) = self.compare_page(target, after).await?;
            compared.verified.checked += checked;
            told(compared.verified.checked);
            self.recheck(target, suspects, &mut compared).await?;
            let Some(last) = last else { return Ok(compared) };
            after = Some(last);
        }
    }

    /// Keys of one page whose document is not what the record says, at this moment.
    async fn compare_page(
        &self,
        target: &Target,
        after: Option<Key>,
    ) -> Result<(u64, Vec<Key>, Option<Key>), Error> {
        let most = self.page.ask();
        let records = self.books.store().scan(self.books.owner(), after, most).await?;
        self.page.came(records.len());
        let documents = self.index.scan(target, after, most).await?;
        // Up to where both are known; what is behind a page that is not full came later.
        let is_heavy = || {
            let bytes = documents.iter().map(|document| document.body.to_string().len());
            bytes.sum::<usize>() >= BATCH_BYTES
        };
        let ends = [
            records.last().filter(|_| is_full(&records, most)).map(|record| record.key),
            documents
                .last()
                .filter(|_| documents.len() >= most || is_heavy())
                .map(|document| document.id),
        ];
        let end = ends.into_iter().flatten().min();
        let mut pairs: BTreeMap<Key, (Option<Document>, Option<Document>)> = BTreeMap::new();
        for record in records.iter().filter(|record| record.key != TARGETS) {
            pairs.entry(record.key).or_default().0 = Some(document(record));
        }
        for found in documents {
            let id = found.id;
            pairs.entry(id).or_default().1 = Some(found);
        }
        pairs.retain(|id, _| end.is_none_or(|end| *id <= end));
        let checked = pairs.values().filter(|(record, _)| record.is_some()).count();
        let suspects = pairs.into_iter().filter(|(_, (record, found))| record != found);
        let suspects = suspects.map(|(id, _)| id).collect();
        Ok((u64::try_from(checked).unwrap_or(u64::MAX), suspects, end))
    }

    /// Documents may only be late, or refused. Looks again until that is told, or for two seconds.
    async fn recheck(
        &self,
        target: &Target,
        mut suspects: Vec<Key>,
        compared: &mut Compared,
    ) -> Result<(), Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            let is_late = Instant::now() >= until;
            let mut still = Vec::new();
            for id in suspects {
                let (record, found) = self.pair(target, id).await?;
                if record == found {
                    continue;
                }
                if let Some(record) = &record
                    && self.is_refused(id, record.version).await?
                {
                    compared.verified.refused += 1;
                } else if is_late {
                    compared.note(id, record, found);
                } else {
                    still.push(id);
                }
            }
            if still.is_empty() {
                return Ok(());
            }
            suspects = still;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// One key's record, as the document it should be, and the document it is.
    async fn pair(
        &self,
        target: &Target,
        id: Key,
    ) -> Result<(Option<Document>, Option<Document>), Error> {
        let wanted = Wanted { keys: vec![id], ..Wanted::default() };
        let record = self.books.load(wanted).await?.records.get(&id).map(document);
        let found = self.index.scan(target, before(id), 1).await?;
        Ok((record, found.into_iter().find(|document| document.id == id)))
    }
}

/// Whether there may be more records behind a page of which `most` were asked for.
pub(super) fn is_full(page: &[Record], most: usize) -> bool {
    page.len() >= most || page.iter().map(Weight::weight).sum::<usize>() >= BATCH_BYTES
}

impl Compared {
    fn note(&mut self, id: Key, record: Option<Document>, found: Option<Document>) {
        if let Some(record) = &record
            && self.again.len() < AGAIN
        {
            self.again.push((id, record.version));
        }
        self.verified.note(id, record, found);
    }
}

impl Verified {
    fn note(&mut self, id: Key, record: Option<Document>, found: Option<Document>) {
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
