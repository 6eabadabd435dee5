//! How long new orders take to be found while the index is rebuilt, beside the same without a rebuild.
//! `cargo run --profile ci -p ofs --example rebuild -- --help` says how.

#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

use clap::Parser;
use ofs_engines::index::tantivy::{self, TantivyIndex};
use ofs_engines::sqlite::Options;
use ofs_engines::store::sqlite::SqliteStore;
use ofs_events::Key;
use ofs_runtime::books::Books;
use ofs_runtime::courier::{Courier, IndexLane};
use ofs_runtime::index::{Index, Query};
use ofs_runtime::rebuild::Rebuild;
use ofs_runtime::store::{Commit, Record};
use search_indexer_worker::schema::SCHEMA;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Fills a store on the embedded engines, and places orders one after the other, without a rebuild and
/// beside one.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// An empty directory for store and index.
    directory: PathBuf,
    /// Documents to begin with.
    #[arg(long, default_value_t = 20_000)]
    documents: usize,
    /// New orders without a rebuild.
    #[arg(long, default_value_t = 200)]
    orders: usize,
}

struct House {
    books: Books,
    index: Arc<dyn Index>,
    rebuild: Rebuild,
}

/// A commit that adds `count` orders, all of them owed to the index; and the key of the last.
fn new_orders(books: &Books, count: usize) -> (Commit, Key) {
    let mut commit = books.blank();
    let mut last = Key(books.context().new_id());
    for _ in 0..count {
        last = Key(books.context().new_id());
        let now = books.context().now();
        let entry = |name: &str| {
            json!({
                "eventId": books.context().new_id(), "eventType": name, "occurredAt": now,
                "correlationId": last, "causationId": null, "position": null,
            })
        };
        let events = ["OrderCreatedV1", "PaymentAuthorizedV1", "FulfillmentScheduledV1"];
        let body = json!({
            "id": last, "customerEmail": format!("user-{last}@example.com"),
            "productType": "Phone", "country": "US", "status": "FulfillmentScheduled",
            "createdAt": now, "updatedAt": now, "correlationId": last,
            "timeline": events.map(entry),
        });
        commit.records.push(Record::next(None, last, "FulfillmentScheduled", &body, now));
        commit.index.push((last, 1));
    }
    (commit, last)
}

impl House {
    async fn fill(&self, documents: usize) -> anyhow::Result<()> {
        let mut left = documents;
        while left > 0 {
            let some = left.min(1_000);
            self.books.commit(new_orders(&self.books, some).0).await?;
            left -= some;
        }
        self.rebuilt().await
    }

    /// Waits until nothing is owed and nothing is being built.
    async fn rebuilt(&self) -> anyhow::Result<()> {
        loop {
            let state = self.rebuild.state().await?;
            if state.active.is_some() && state.building.is_none() && state.owed == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// How long a new order takes to be found.
    async fn place(&self) -> anyhow::Result<Duration> {
        let (commit, key) = new_orders(&self.books, 1);
        let query = Query {
            text: Some(key.to_string()),
            filters: Vec::new(),
            sort_by: "createdAt",
            descending: true,
            limit: 1,
            after: None,
        };
        let began = Instant::now();
        self.books.commit(commit).await?;
        while self.index.search(&query).await?.total == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(began.elapsed())
    }
}

fn tell(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default();
    let last = took.last().copied().unwrap_or_default();
    let (count, p50, p99) = (took.len(), at(50), at(99));
    println!("{what}: {count} orders found, p50 {p50:.1?}, p99 {p99:.1?}, longest {last:.1?}");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let path = args.directory.join("store.db");
    let store = Arc::new(SqliteStore::open(&path, Options::default()).await?);
    let index =
        TantivyIndex::open(args.directory.join("index"), SCHEMA, tantivy::Options::default())?;
    let index: Arc<dyn Index> = Arc::new(index);
    let books = Books::new("search-indexer-worker", store);
    let rebuild = Rebuild::new(books.clone(), Arc::clone(&index));
    let stop = CancellationToken::new();
    let courier = Courier::new(books.clone(), IndexLane::new(Arc::clone(&index)));
    let background =
        [tokio::spawn(courier.run(stop.clone())), tokio::spawn(rebuild.clone().run(stop.clone()))];
    let house = House { books, index, rebuild };
    let began = Instant::now();
    house.fill(args.documents).await?;
    println!("{} documents in {:.1?}", args.documents, began.elapsed());

    let mut took = Vec::new();
    for _ in 0..args.orders {
        took.push(house.place().await?);
    }
    tell("alone", took);

    let (began, mut took) = (Instant::now(), Vec::new());
    house.rebuild.start().await?;
    while house.rebuild.state().await?.building.is_some() {
        took.push(house.place().await?);
    }
    tell("beside a rebuild", took);
    println!("rebuilt in {:.1?}", began.elapsed());
    stop.cancel();
    for task in background {
        task.await?;
    }
    Ok(())
}
