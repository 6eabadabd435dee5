//! The one definition of the index port. Each engine is one line of `conformance!`.
//!
//! `files` tests what only tantivy has (files that rot, vanish or cannot be written);
//! `only_elasticsearch`, `sharing` and `overload` what only a server has (other clients, trouble).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alike;
mod files;
mod filters;
mod generations;
mod heavy;
mod only_elasticsearch;
mod overload;
mod schemas;
mod searching;
mod sharing;

use futures::FutureExt;
use ofs_engines::index::elasticsearch::ElasticsearchIndex;
use ofs_engines::index::tantivy::{Options, TantivyIndex};
use ofs_events::{Key, Timestamp};
use ofs_runtime::index::{By, Document, Field, Filter, Index, Kind, Put, Query, Schema, Target};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;
use uuid::Uuid;

/// Where an engine keeps an index of its own for one test.
pub trait Engine: Sized {
    /// A place with nothing in it; none if this engine is not there to be tested.
    async fn new() -> Option<Self>;
    /// The index there, opened (again) for documents of `schema`.
    async fn open_with(&self, schema: Schema) -> Arc<dyn Index>;
    /// The same for orders.
    async fn open(&self) -> Arc<dyn Index> {
        self.open_with(SCHEMA).await
    }
    /// Removes what the test left.
    async fn clear(&self) {}
}

/// tantivy in a temporary directory.
pub struct Tantivy {
    pub dir: tempfile::TempDir,
}

impl Engine for Tantivy {
    async fn new() -> Option<Self> {
        Some(Self { dir: tempfile::tempdir().unwrap() })
    }

    async fn open_with(&self, schema: Schema) -> Arc<dyn Index> {
        let options = Options { commit_interval: Duration::from_millis(5), ..Options::default() };
        Arc::new(TantivyIndex::open(self.dir.path(), schema, options).unwrap())
    }
}

/// The Elasticsearch at `OFS_TEST_ELASTICSEARCH_URL`, under a prefix of the test's own.
pub struct Elasticsearch {
    pub server: String,
    pub prefix: String,
}

impl Engine for Elasticsearch {
    async fn new() -> Option<Self> {
        static SKIPPED: Once = Once::new();
        static TESTS: AtomicU32 = AtomicU32::new(0);
        #[expect(clippy::disallowed_methods, reason = "no configuration names a test's servers")]
        let Ok(server) = std::env::var("OFS_TEST_ELASTICSEARCH_URL") else {
            SKIPPED.call_once(|| {
                eprintln!("OFS_TEST_ELASTICSEARCH_URL is not set: Elasticsearch is not tested");
            });
            return None;
        };
        let process = std::process::id();
        let started = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let test = TESTS.fetch_add(1, Ordering::Relaxed);
        Some(Self { server, prefix: format!("ofs-test-{started}-{process}-{test}-") })
    }

    async fn open_with(&self, schema: Schema) -> Arc<dyn Index> {
        let url = format!("{}?prefix={}", self.server, self.prefix);
        Arc::new(ElasticsearchIndex::open(&url, schema).unwrap())
    }

    async fn clear(&self) {
        let all = self.get(&format!("{}*?expand_wildcards=all", self.prefix)).await;
        for index in all.as_object().unwrap().keys() {
            self.delete(index).await;
        }
    }
}

/// Runs `test` on an index of its own, and leaves nothing behind even if it fails.
async fn on_engine<E: Engine>(test: impl AsyncFnOnce(&E)) {
    let Some(engine) = E::new().await else { return };
    let outcome = AssertUnwindSafe(test(&engine)).catch_unwind().await;
    engine.clear().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

macro_rules! conformance {
    ($engine:ident: $factory:ident) => {
        conformance! { $engine: $factory,
            generations::a_stored_document_is_found_at_once,
            generations::an_older_or_equal_version_never_replaces_a_newer_one,
            generations::everything_stored_is_there_after_a_reopen,
            generations::a_new_generation_is_not_searched_before_it_is_finished,
            generations::a_rebuild_leaves_no_gap_for_searches,
            generations::beginning_again_keeps_what_is_there,
            generations::a_generation_of_another_store_is_made_anew,
            generations::what_is_not_there_is_missing,
            generations::a_scan_pages_through_everything_by_id,
            generations::a_document_that_does_not_fit_is_refused_alone,
            generations::concurrent_puts_are_all_stored,
            schemas::a_generation_of_another_schema_is_built_anew,
            schemas::what_the_schema_does_not_have_is_not_asked_for,
            schemas::ids_are_found_wherever_the_schema_has_them,
            heavy::a_scan_of_large_documents_pages_through_them,
            heavy::a_page_of_large_documents_is_short_and_has_a_next,
            filters::filters_are_exact,
            filters::a_filter_with_several_values_finds_any_of_them,
            searching::a_word_is_found_whole_or_as_a_beginning,
            searching::a_text_is_found_as_people_type_it,
            searching::nothing_a_person_types_is_an_error,
            searching::walking_the_pages_gives_every_order_once_and_in_order,
            searching::pages_stay_stable_while_orders_are_added,
            searching::totals_and_facets_count_all_matches,
            searching::a_time_counts_to_the_microsecond_however_it_is_written,
        }
    };
    ($engine:ident: $factory:ident, $($group:ident::$test:ident,)+) => {
        mod $engine {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::on_engine::<super::$factory>(super::$group::$test).await;
            })+
        }
    };
}

conformance!(tantivy: Tantivy);
conformance!(elasticsearch: Elasticsearch);

pub const STORE: Uuid = Uuid::from_u128(1);

const STATUS: Field =
    Field { name: "status", member: "status", kind: Kind::Keyword { facet: Some(1_000) } };
const COUNTRY: Field =
    Field { name: "country", member: "country", kind: Kind::Keyword { facet: Some(50) } };
const PRODUCT: Field = Field { name: "product", member: "productType", kind: Kind::Name };
const EMAIL: Field = Field { name: "email", member: "customerEmail", kind: Kind::Text };
const CORRELATION: Field = Field { name: "correlation", member: "correlationId", kind: Kind::Id };
const EVENTS: Field = Field { name: "events", member: "timeline", kind: Kind::Ids("eventId") };
const CREATED: Field =
    Field { name: "createdAt", member: "createdAt", kind: Kind::Time { sortable: true } };
const UPDATED: Field =
    Field { name: "updatedAt", member: "updatedAt", kind: Kind::Time { sortable: true } };

/// Orders, as the first indices had them.
pub const SCHEMA: Schema = Schema::new(
    "orders-v1",
    "id",
    &[STATUS, COUNTRY, PRODUCT, EMAIL, CORRELATION, EVENTS, CREATED, UPDATED],
);

pub fn target(name: &str) -> Target {
    Target(name.to_owned())
}

pub fn id(number: u128) -> Key {
    Key(Uuid::from_u128(number << 64 | 0x4000_8000_0000_0000_0000 | number))
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
}

/// A plain order, created `number` seconds after the first.
pub fn order(number: u128) -> Document {
    let at = time(i64::try_from(number).unwrap());
    Document {
        id: id(number),
        version: 1,
        body: json!({
            "id": id(number), "customerEmail": format!("user{number}@example.com"),
            "productType": "Phone", "country": "US", "status": "Created",
            "createdAt": at, "updatedAt": at, "timeline": [],
        }),
    }
}

fn with(mut document: Document, member: &str, value: impl Into<Value>) -> Document {
    document.body[member] = value.into();
    document
}

fn at_version(mut document: Document, version: u64) -> Document {
    document.version = version;
    document
}

pub fn everything() -> Query {
    let sort_by = CREATED.name;
    Query { text: None, filters: Vec::new(), sort_by, descending: true, limit: 50, after: None }
}

/// What has one of `values` in `field`.
fn any_of(field: Field, values: &[&str]) -> Filter {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Filter { field: field.name, by: By::Values(values) }
}

/// What was created between two times.
fn created(from: Option<Timestamp>, until: Option<Timestamp>) -> Filter {
    Filter { field: CREATED.name, by: By::Times(from, until) }
}

/// All that `filters` leave.
fn only(filters: impl Into<Vec<Filter>>) -> Query {
    Query { filters: filters.into(), ..everything() }
}

pub async fn store(index: &dyn Index, documents: &[Document]) {
    let puts = index.put(&target("one"), documents).await.unwrap();
    assert_eq!(puts, vec![Put::Stored; documents.len()]);
}

/// A fresh index whose active generation `one` holds `documents`.
async fn holding(engine: &impl Engine, documents: &[Document]) -> Arc<dyn Index> {
    let index = engine.open().await;
    index.begin(&target("one"), STORE).await.unwrap();
    index.finish(&target("one")).await.unwrap();
    store(&*index, documents).await;
    index
}

async fn ids(index: &dyn Index, query: &Query) -> Vec<Key> {
    let found = index.search(query).await.unwrap();
    found.documents.iter().map(|order| order["id"].as_str().unwrap().parse().unwrap()).collect()
}

async fn typed(index: &dyn Index, text: &str) -> Vec<Key> {
    let mut found = ids(index, &Query { text: Some(text.to_owned()), ..everything() }).await;
    found.sort();
    found
}
