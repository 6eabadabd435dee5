//! scratch
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, missing_docs)]
use bytes::Bytes;
use ofs_engines::store::postgres::PostgresStore;
use ofs_events::*;
use ofs_runtime::log::Message;
use ofs_runtime::store::*;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

fn body() -> String {
    serde_json::json!({"id":Uuid::now_v7(),"customerEmail":"user@example.com","productType":"Phone","country":"US","paymentScenario":null,"correlationId":Uuid::now_v7(),"createdAt":"2026-01-31T12:00:00.123456Z","updatedAt":"2026-01-31T12:00:00.123456Z","facts":{"paid":null,"shipped":false}}).to_string()
}
fn rec(key: OrderId) -> Record {
    let now = Timestamp::from_micros(1_770_000_000_000_000);
    Record {
        key,
        loaded: 0,
        version: 1,
        status: "Created".into(),
        body: body(),
        created_at: now,
        updated_at: now,
    }
}
fn msg(key: OrderId) -> Message {
    Message {
        topic: Topic::Orders,
        key: Some(Bytes::from(key.to_string())),
        event_id: Some(EventId(Uuid::now_v7())),
        headers: vec![
            ("eventType".into(), "OrderCreatedV1".into()),
            ("correlationId".into(), Uuid::now_v7().to_string()),
        ],
        value: Bytes::from(body()),
    }
}
fn commit(n: usize, worker: bool) -> Commit {
    let mut c = Commit { owner: "order-service".into(), ..Commit::default() };
    for _ in 0..n {
        let key = OrderId(Uuid::now_v7());
        c.records.push(rec(key));
        c.outgoing.push(msg(key));
        if worker {
            c.seen.push(Seen { day: 20_000, key, event_id: EventId(Uuid::now_v7()) });
            c.index.push((key, 1));
        }
    }
    c
}
async fn run(store: &Arc<dyn Store>, clients: usize, n: usize, worker: bool, secs: u64) {
    let started = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut count = 0u64;
                let mut worst = Duration::ZERO;
                let mut lat = vec![];
                while started.elapsed() < Duration::from_secs(secs) {
                    let c = commit(n, worker);
                    let t = Instant::now();
                    store.commit(c).await.unwrap();
                    let e = t.elapsed();
                    worst = worst.max(e);
                    lat.push(e);
                    count += 1;
                }
                (count, lat)
            })
        })
        .collect();
    let mut total = 0;
    let mut lat = vec![];
    for t in tasks {
        let (c, l) = t.await.unwrap();
        total += c;
        lat.extend(l);
    }
    lat.sort();
    println!(
        "{clients} clients x {n} rows worker={worker}: {:.0} commits/s {:.0} rows/s p50 {:?} p99 {:?}",
        total as f64 / started.elapsed().as_secs_f64(),
        (total as usize * n) as f64 / started.elapsed().as_secs_f64(),
        lat[lat.len() / 2],
        lat[lat.len() * 99 / 100]
    );
}
#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    ofs_engines::store::postgres::migrate(&url).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(PostgresStore::open(&url).await.unwrap());
    match std::env::args().nth(2).as_deref() {
        Some("commit") => {
            for c in [1, 8, 64] {
                run(&store, c, 1, false, 4).await;
            }
        }
        Some("bare") => {
            for c in [1usize, 8, 64] {
                let started = Instant::now();
                let tasks: Vec<_> = (0..c).map(|_| { let url = url.clone(); tokio::spawn(async move {
                let (client, conn) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap(); tokio::spawn(conn);
                let st = client.prepare("insert into records values ('bench', $1, 1, 'Created', $2::text::jsonb, now(), now())").await.unwrap();
                let mut n = 0u64; while started.elapsed() < Duration::from_secs(4) { client.execute(&st, &[&Uuid::now_v7(), &body()]).await.unwrap(); n += 1; } n }) }).collect();
                let mut total = 0;
                for t in tasks {
                    total += t.await.unwrap();
                }
                println!(
                    "bare single-row inserts, {c} connections: {:.0}/s",
                    total as f64 / started.elapsed().as_secs_f64()
                );
            }
        }
        Some("worker") => {
            for (c, n) in [(1, 500), (2, 500), (4, 500)] {
                run(&store, c, n, true, 4).await;
            }
        }
        Some("read") => {
            let shards: Vec<u16> = (0..SHARDS).collect();
            for _ in 0..3 {
                for max in [1usize, 512] {
                    for skip in [0usize, 2048] {
                        let skip: Vec<OrderId> =
                            (0..skip).map(|_| OrderId(Uuid::now_v7())).collect();
                        let t = Instant::now();
                        let mut rows = 0;
                        for _ in 0..20 {
                            rows = store
                                .outbox("order-service", &shards, &skip, max)
                                .await
                                .unwrap()
                                .len();
                        }
                        println!(
                            "outbox max {max} skip {}: {:?} rows {rows}",
                            skip.len(),
                            t.elapsed() / 20
                        );
                    }
                }
                let t = Instant::now();
                let r = store.unindexed("order-service", &[], 512).await.unwrap().len();
                println!("unindexed {r} {:?}", t.elapsed());
                let t = Instant::now();
                let d = store.depths().await.unwrap();
                println!("depths {:?} {:?}", t.elapsed(), d);
            }
        }
        Some("drain") => {
            let shards: Vec<u16> = (0..SHARDS).collect();
            let t = Instant::now();
            let (mut n, mut reading, mut settling) = (0usize, Duration::ZERO, Duration::ZERO);
            loop {
                let a = Instant::now();
                let rows = store.outbox("order-service", &shards, &[], 512).await.unwrap();
                reading += a.elapsed();
                if rows.is_empty() {
                    break;
                }
                n += rows.len();
                let b = Instant::now();
                let settled = rows.iter().map(|r| Settled::Sent(r.id)).collect();
                store
                    .commit(Commit { owner: "order-service".into(), settled, ..Commit::default() })
                    .await
                    .unwrap();
                settling += b.elapsed();
                if (n / 512).is_multiple_of(200) {
                    println!("{n} {:?} read {reading:?} settle {settling:?}", t.elapsed());
                }
            }
            println!("{n} drained in {:?}: read {reading:?} settle {settling:?}", t.elapsed());
            for _ in 0..5 {
                let t = Instant::now();
                store.outbox("order-service", &shards, &[], 512).await.unwrap();
                println!("empty read {:?}", t.elapsed());
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        _ => {}
    }
}
