//! How fast old rows leave the inbox beside commits, and what that costs the commits.
//! `cargo run --profile ci -p ofs --example purge -- --help` says how.

#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

use clap::Parser;
use ofs_engines::sqlite::Options;
use ofs_engines::store::postgres::{self, PostgresStore};
use ofs_engines::store::sqlite::SqliteStore;
use ofs_events::{EventId, Key};
use ofs_runtime::context::Context;
use ofs_runtime::store::{Commit, Record, Seen, Store};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CONTEXT: Context = Context::new("payment-worker");

/// Fills the inbox, commits beside it, and has it purged as `ofs run` does.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// A file for SQLite, or the URL of an empty PostgreSQL database.
    store: String,
    /// Old rows to purge.
    #[arg(long, default_value_t = 500_000)]
    rows: usize,
    /// Commits under way at the same time.
    #[arg(long, default_value_t = 32)]
    writers: usize,
    /// Seconds of commits alone, for comparison.
    #[arg(long, default_value_t = 10)]
    alone: u64,
}

async fn open(at: &str) -> anyhow::Result<Arc<dyn Store>> {
    if at.starts_with("postgres") {
        postgres::migrate(at).await?;
        return Ok(Arc::new(PostgresStore::open(at).await?));
    }
    Ok(Arc::new(SqliteStore::open(Path::new(at), Options::default()).await?))
}

fn seen(day: i32) -> Seen {
    let (order, event) = (CONTEXT.new_id(), CONTEXT.new_id());
    Seen { day, key: Key(order), event_id: EventId(event) }
}

/// Fills the inbox with rows of a day that is over.
async fn fill(store: &dyn Store, rows: usize) -> anyhow::Result<()> {
    let day = CONTEXT.now().day() - 40;
    let mut left = rows;
    while left > 0 {
        let some = left.min(2_000);
        let seen = (0..some).map(|_| seen(day)).collect();
        store
            .commit(Commit { owner: CONTEXT.service().to_owned(), seen, ..Commit::default() })
            .await?;
        left -= some;
    }
    Ok(())
}

/// What a worker commits for one order.
fn handled() -> Commit {
    let seen = seen(CONTEXT.now().day());
    let body = serde_json::json!({ "orderId": seen.key, "status": "Authorized" });
    let record = Record::next(None, seen.key, "Authorized", &body, CONTEXT.now());
    let owner = CONTEXT.service().to_owned();
    Commit { owner, seen: vec![seen], records: vec![record], ..Commit::default() }
}

/// Commits with all writers until `stop`; how long each commit took.
async fn load(
    store: &Arc<dyn Store>,
    writers: usize,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Vec<Duration>> {
    let writing = (0..writers).map(|_| {
        let (store, stop) = (Arc::clone(store), Arc::clone(stop));
        tokio::spawn(async move {
            let mut took = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                store.commit(handled()).await?;
                took.push(began.elapsed());
            }
            Ok::<_, ofs_runtime::store::Error>(took)
        })
    });
    let mut all = Vec::new();
    for took in futures::future::join_all(writing).await {
        all.extend(took??);
    }
    Ok(all)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn tell(what: &str, mut took: Vec<Duration>, time: Duration) {
    took.sort_unstable();
    let at = |share: usize| took.get(took.len() * share / 1_000).copied().unwrap_or_default();
    let rate = took.len() as f64 / time.as_secs_f64();
    let last = took.last().copied().unwrap_or_default();
    println!(
        "{what}: {rate:.0} commits/s, p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}, longest {last:.1?}",
        at(500),
        at(990),
        at(999)
    );
}

#[tokio::main]
#[expect(clippy::cast_precision_loss, reason = "for people")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let store = open(&args.store).await?;
    fill(&*store, args.rows).await?;
    println!("{} old rows", args.rows);
    let stop = Arc::new(AtomicBool::new(false));
    let (began, ended) = (Instant::now(), Arc::clone(&stop));
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(args.alone)).await;
        ended.store(true, Ordering::Relaxed);
    });
    tell("alone", load(&store, args.writers, &stop).await?, began.elapsed());

    stop.store(false, Ordering::Relaxed);
    let (began, ended) = (Instant::now(), Arc::clone(&stop));
    let purging = Arc::clone(&store);
    let purge = tokio::spawn(async move {
        let retention = ofs::tidy::retention(Duration::from_hours(24 * 30));
        let purged = ofs::tidy::purge(&*purging, retention).await;
        ended.store(true, Ordering::Relaxed);
        purged.map(|()| began.elapsed())
    });
    let took = load(&store, args.writers, &stop).await?;
    let time = purge.await??;
    tell("beside", took, began.elapsed());
    println!("purged {:.0} rows/s in {time:.1?}", args.rows as f64 / time.as_secs_f64());
    Ok(())
}
