//! A rebuild, moved by hand over an index that loses documents or gets strange ones meanwhile.

use crate::system::System;
use async_trait::async_trait;
use ofs::engines::Engines;
use ofs_events::Key;
use ofs_runtime::books::Books;
use ofs_runtime::courier::{Courier, IndexLane};
use ofs_runtime::index::{self, By, Document, Field, Filter, Found, Index, Kind, Put, Query};
use ofs_runtime::index::{Schema, Status, Target};
use ofs_runtime::rebuild::{Rebuild, RebuildState};
use ofs_runtime::store::Record;
use search_indexer_worker::schema::{CREATED_AT, SCHEMA};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const INDEXER: &str = "search-indexer-worker";

/// An index that claims to store some documents and does not, until it is first compared.
struct Forgetful {
    index: Arc<dyn Index>,
    forgets: BTreeSet<Key>,
    is_compared: AtomicBool,
    /// Which documents were put since then; some of them twice, where the list of targets changed
    /// while they were on their way.
    puts: Mutex<BTreeSet<Key>>,
}

#[async_trait]
impl Index for Forgetful {
    fn schema(&self) -> &Schema {
        self.index.schema()
    }

    async fn put(&self, target: &Target, documents: &[Document]) -> Result<Vec<Put>, index::Error> {
        if self.is_compared.load(Ordering::SeqCst) {
            let ids = documents.iter().map(|document| document.id);
            self.puts.lock().expect("whole").extend(ids);
            return self.index.put(target, documents).await;
        }
        let kept = documents.iter().filter(|document| !self.forgets.contains(&document.id));
        let kept: Vec<Document> = kept.cloned().collect();
        let mut answers = self.index.put(target, &kept).await?;
        answers.resize(documents.len(), Put::Stored);
        Ok(answers)
    }

    async fn search(&self, query: &Query) -> Result<Found, index::Error> {
        self.index.search(query).await
    }

    async fn scan(
        &self,
        target: &Target,
        after: Option<Key>,
        max: usize,
    ) -> Result<Vec<Document>, index::Error> {
        self.is_compared.store(true, Ordering::SeqCst);
        self.index.scan(target, after, max).await
    }

    async fn status(&self) -> Result<Status, index::Error> {
        self.index.status().await
    }

    async fn begin(&self, target: &Target, instance: Uuid) -> Result<(), index::Error> {
        self.index.begin(target, instance).await
    }

    async fn finish(&self, target: &Target) -> Result<(), index::Error> {
        self.index.finish(target).await
    }
}

fn key(number: u128) -> Key {
    Key(Uuid::from_u128(number))
}

/// The books of the indexer with `count` records.
async fn books_of(engines: &Engines, count: u128) -> Books {
    let books = Books::new(INDEXER, Arc::clone(&engines.store));
    let mut commit = books.blank();
    commit.records = (1..=count)
        .map(|number| {
            let body = json!({"id": key(number), "status": "Created", "shop": number.to_string()});
            Record::next(None, key(number), "Created", &body, books.context().now())
        })
        .collect();
    books.commit(commit).await.expect("committed");
    books
}

/// Carries a rebuild through that is ordered, or orders itself; answers with the generation that is searched then.
async fn carry_through(books: &Books, index: &Arc<dyn Index>) -> Option<Target> {
    let rebuild = Rebuild::new(books.clone(), Arc::clone(index));
    let courier = Courier::new(books.clone(), IndexLane::new(Arc::clone(index)));
    let stop = CancellationToken::new();
    let built = async {
        let is_built = |state: RebuildState| state.active.is_some() && state.building.is_none();
        while !is_built(rebuild.state().await.expect("a state")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
    };
    tokio::join!(rebuild.clone().run(stop.clone()), courier.run(stop.clone()), built);
    let verified = rebuild.verify().await.expect("compared");
    assert_eq!(verified.differences, 0, "{verified:?}");
    rebuild.state().await.expect("a state").active
}

#[tokio::test]
async fn only_documents_that_differ_are_pushed_again() {
    let system = System::new();
    let engines = system.engines().await;
    let books = books_of(&engines, 1_000).await;
    let forgets: BTreeSet<_> = (1..=1_000).step_by(4).map(key).collect();
    let forgetful = Arc::new(Forgetful {
        index: Arc::clone(&engines.index),
        forgets: forgets.clone(),
        is_compared: AtomicBool::default(),
        puts: Mutex::default(),
    });
    let index: Arc<dyn Index> = forgetful.clone();
    let building = Rebuild::new(books.clone(), Arc::clone(&index)).start().await.expect("begun");
    assert_eq!(carry_through(&books, &index).await, Some(building));
    assert_eq!(*forgetful.puts.lock().expect("whole"), forgets);
}

#[tokio::test]
async fn a_new_index_that_somebody_else_wrote_to_is_not_used() {
    let system = System::new();
    let engines = system.engines().await;
    let books = books_of(&engines, 3).await;
    let building = Rebuild::new(books.clone(), Arc::clone(&engines.index)).start().await;
    let building = building.expect("begun");
    let strange = Document { id: key(9), version: 1, body: json!({"id": key(9)}) };
    engines.index.put(&building, &[strange]).await.expect("put");
    let active = carry_through(&books, &engines.index).await;
    assert!(active.is_some() && active != Some(building), "{active:?}");
}

/// The program's schema, and one field more.
fn wider() -> Schema {
    let shop = Field { name: "shop", member: "shop", kind: Kind::Keyword { facet: None } };
    Schema::new(SCHEMA.name(), SCHEMA.key(), Vec::leak([SCHEMA.fields(), &[shop]].concat()))
}

async fn an_index_whose_schema_has_changed_is_built_anew_by_itself(system: System) {
    let engines = system.engines().await;
    let books = books_of(&engines, 40).await;
    Rebuild::new(books.clone(), Arc::clone(&engines.index)).start().await.expect("begun");
    let first = carry_through(&books, &engines.index).await;
    drop(engines);

    let index = system.index_of(wider());
    let second = carry_through(&books, &index).await;
    assert!(first.is_some() && second.is_some() && first != second, "{first:?} {second:?}");
    assert_eq!(index.status().await.expect("a status").targets, second.as_slice(), "one is left");
    let query = Query {
        text: None,
        filters: vec![Filter { field: "shop", by: By::Values(vec!["7".to_owned()]) }],
        sort_by: CREATED_AT,
        descending: true,
        limit: 9,
        after: None,
    };
    let found = index.search(&query).await.expect("an answer");
    assert_eq!((found.total, &found.documents[0]["id"]), (1, &json!(key(7))));
    drop(index);

    let index = system.index_of(SCHEMA);
    assert_ne!(carry_through(&books, &index).await, second, "and back with the build before");
    assert!(matches!(index.search(&query).await, Err(index::Error::Rejected(_))));
}

on_every_set! {
    an_index_whose_schema_has_changed_is_built_anew_by_itself,
}
