//! Many at once: processes, cancelled callers, bad neighbours.

use super::*;
use futures::future::join_all;
use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Sessions of stores in this database that have a transaction open.
const OPEN: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                    AND application_name = 'ofs' AND (state <> 'idle' OR xact_start IS NOT NULL)";
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                        AND application_name = 'ofs'";

/// Runs `future` and drops it where it stands: after a few of its steps, after a while, or not at all.
async fn cut<T>(future: impl Future<Output = T>, n: u32) -> Option<T> {
    let chance = n.wrapping_mul(2_654_435_761) >> 8;
    match n % 3 {
        0 => {
            let mut future = std::pin::pin!(future);
            for _ in 0..chance % 6 {
                if let std::task::Poll::Ready(answer) = futures::poll!(future.as_mut()) {
                    return Some(answer);
                }
                tokio::task::yield_now().await;
            }
            None
        }
        1 => {
            let patience = Duration::from_micros(u64::from(chance % 20_000));
            tokio::time::timeout(patience, future).await.ok()
        }
        _ => Some(future.await),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_stop_at_any_moment_leave_nothing_open() {
    let Some(database) = fresh().await else { return };
    let store = database.store().await;
    let watcher = database.client().await;
    let done = Mutex::new(HashSet::new());
    let callers = (0..4_000_u32).map(|n| {
        let (store, done) = (&store, &done);
        async move {
            let key = order(u128::from(n));
            let wanted = Wanted {
                owner: OWNER.to_owned(),
                keys: vec![key],
                events: vec![seen(key, 1)],
                positions: vec![at(1)],
                once: Some("k".to_owned()),
            };
            let holder = Uuid::from_u128(u128::from(n % 3));
            match n % 8 {
                0 => drop(cut(store.load(&wanted), n).await),
                1 => drop(cut(store.lease("outbox", holder, 8, LONG), n).await),
                2 => drop(cut(store.due(OWNER, LONG, 10), n).await),
                _ => {
                    let commit = Commit { seen: vec![seen(key, 1)], ..created(key, u128::from(n)) };
                    if let Some(outcome) = cut(store.commit(commit), n).await {
                        outcome.unwrap();
                        done.lock().unwrap().insert(key);
                    }
                }
            }
        }
    });
    let callers = futures::stream::StreamExt::buffer_unordered(futures::stream::iter(callers), 200);
    futures::stream::StreamExt::collect::<Vec<()>>(callers).await;
    until("nothing is open", async || (count(&watcher, OPEN).await == 0).then_some(())).await;
    let done = done.into_inner().unwrap();
    assert!((800..2_300).contains(&done.len()), "{}", done.len());
    let keys: Vec<Key> = done.into_iter().collect();
    assert_eq!(load(&store, &keys).await.records.len(), keys.len());
    drop(store);
    until("the sessions end", async || (count(&watcher, SESSIONS).await == 0).then_some(())).await;
    let halves = "SELECT count(*) FROM records r
                  FULL JOIN outbox o ON o.key = r.key FULL JOIN processed_events e ON e.key = r.key
                  WHERE r.key IS NULL OR o.key IS NULL OR e.key IS NULL";
    assert_eq!(count(&watcher, halves).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_neighbours_under_load_fail_alone() {
    let Some(database) = fresh().await else { return };
    let store = database.store().await;
    store.commit(records([record(order(0), 0, "old")])).await.unwrap();
    store.commit(Commit { once: Some(once("taken")), ..empty() }).await.unwrap();
    let bad: [fn(u128) -> Commit; 6] = [
        |n| Commit { once: Some(once("taken")), ..created(order(n), n) },
        |n| records([record(order(0), 0, "late"), record(order(n), 0, "x")]),
        |n| Commit { settled: vec![Settled::Sent(u64::MAX >> 1)], ..created(order(n), n) },
        |n| Commit { guards: vec![guard(order(0), 7)], ..created(order(n), n) },
        |n| Commit { seen: vec![seen(order(n), n), seen(order(n), n)], ..created(order(n), n) },
        |n| records([Record { body: "{".to_owned(), ..record(order(n), 0, "x") }]),
    ];
    let callers = (0..64_u128).map(|caller| {
        let store = &store;
        async move {
            for round in 0..20_u128 {
                let n = 1 + caller * 1_000 + round;
                if caller % 8 != 0 {
                    store.commit(created(order(n), n)).await.unwrap();
                    continue;
                }
                let kind = usize::try_from(caller / 8 + round).unwrap() % bad.len();
                let outcome = store.commit(bad[kind](n)).await;
                match kind {
                    0 => assert_eq!(outcome, Err(Error::KeyTaken)),
                    5 => assert!(matches!(outcome, Err(Error::Rejected(_))), "{outcome:?}"),
                    _ => assert_eq!(outcome, Err(Error::Stale), "{kind}"),
                }
                assert_eq!(version(store, order(n)).await, 0, "{kind}");
            }
        }
    });
    join_all(callers).await;
    let client = database.client().await;
    assert_eq!(count(&client, "SELECT count(*) FROM records").await, 1 + 56 * 20);
    assert_eq!(count(&client, "SELECT count(*) FROM outbox").await, 56 * 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_the_shards_and_settle_each_row_once() {
    let Some(database) = fresh().await else { return };
    let stores = [database.store().await, database.store().await];
    assert_eq!(stores[0].instance(), stores[1].instance());
    let mut held = [Vec::new(), Vec::new()];
    until("the shards are shared", async || {
        for (n, store) in stores.iter().enumerate() {
            held[n] = store.lease("outbox", Uuid::from_u128(n as u128), 8, LONG).await.unwrap();
        }
        (held[0].len() == 4 && held[1].len() == 4).then_some(())
    })
    .await;
    assert!(held[0].iter().all(|shard| !held[1].contains(shard)));
    join_all((0..300).map(|n| stores[0].commit(created(order(n), n)))).await;
    // Both act as if they held every shard: a lease is no guarantee.
    let settled = Mutex::new(BTreeMap::<u64, u32>::new());
    let courier = |store: Arc<dyn Store>| {
        let settled = &settled;
        async move {
            loop {
                let rows = outbox(&store, OWNER).await;
                if rows.is_empty() {
                    return;
                }
                let sent = |id: u64| super::settled([Settled::Sent(id)]);
                let outcomes = join_all(rows.iter().map(|id| store.commit(sent(*id)))).await;
                for (id, outcome) in rows.into_iter().zip(outcomes) {
                    match outcome {
                        Ok(()) => *settled.lock().unwrap().entry(id).or_default() += 1,
                        outcome => assert_eq!(outcome, Err(Error::Stale)),
                    }
                }
            }
        }
    };
    join_all(stores.into_iter().map(courier)).await;
    let settled = settled.into_inner().unwrap();
    assert_eq!(settled.len(), 300);
    assert!(settled.values().all(|times| *times == 1), "{settled:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_the_same_records_never_deadlock() {
    let Some(database) = fresh().await else { return };
    let stores = [database.store().await, database.store().await];
    let keys: Vec<Key> = (0..24).map(order).collect();
    let first = records(keys.iter().map(|key| record(*key, 0, "first")));
    stores[0].commit(first).await.unwrap();
    let writer = |n: usize| {
        let (store, keys) = (&stores[n % 2], &keys);
        async move {
            for round in 0..25_usize {
                // Its own eight keys in an order of its own.
                let (from, step) = (n * 5 + round * 7, [1, 5, 7, 11][(n + round) % 4]);
                let mine: Vec<Key> = (0..8).map(|k| keys[(from + k * step) % 24]).collect();
                let loaded = load(store, &mine).await.records;
                let next = mine.iter().map(|key| record(*key, loaded[key].version, "next"));
                let outcome = store.commit(records(next)).await;
                assert!(matches!(outcome, Ok(()) | Err(Error::Stale)), "{outcome:?}");
            }
        }
    };
    join_all((0..12).map(writer)).await;
    drop(stores);
    // What sessions saw is known once they are gone.
    let client = database.client().await;
    until("the sessions end", async || (count(&client, SESSIONS).await == 0).then_some(())).await;
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(count(&client, sql).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outbox_ids_grow_with_the_versions_of_an_order_whoever_writes_them() {
    let Some(database) = fresh().await else { return };
    let stores = [database.store().await, database.store().await, database.store().await];
    let racer = |n: usize| {
        let store = &stores[n % 3];
        async move {
            for _ in 0..40 {
                let loaded = version(store, order(1)).await;
                // The event's number is the version it came with.
                let outgoing = vec![message(order(1), u128::from(loaded) + 1)];
                let commit = Commit { outgoing, ..records([record(order(1), loaded, "raced")]) };
                let outcome = store.commit(commit).await;
                assert!(matches!(outcome, Ok(()) | Err(Error::Stale)), "{outcome:?}");
            }
        }
    };
    join_all((0..6).map(racer)).await;
    let reached = version(&stores[0], order(1)).await;
    let sql = "SELECT event_id FROM outbox ORDER BY id";
    let sent = database.client().await.query(sql, &[]).await.unwrap();
    let sent: Vec<u128> = sent.iter().map(|row| row.get::<_, Uuid>(0).as_u128()).collect();
    assert_eq!(sent, (1..=u128::from(reached)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_cut_are_replaced() {
    let Some(database) = fresh().await else { return };
    let store = database.store().await;
    let client = database.client().await;
    for n in 0..5 {
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'ofs'";
        let commits = (0..40).map(|k| {
            let (store, number) = (&store, n * 100 + k);
            async move {
                // What was done without our knowing shows when it is done again.
                until("it is committed", async || {
                    match store.commit(created(order(number), number)).await {
                        Ok(()) | Err(Error::Stale) => Some(()),
                        Err(error) => {
                            assert!(matches!(error, Error::Unavailable(_)), "{error}");
                            None
                        }
                    }
                })
                .await;
            }
        });
        futures::join!(join_all(commits), count(&client, cut));
        until("it reads", async || {
            store.scan(OWNER, None, 1).await.ok().map(|page| assert_eq!(page.len(), 1))
        })
        .await;
    }
    assert_eq!(count(&client, "SELECT count(*) FROM records").await, 200);
    assert_eq!(count(&client, "SELECT count(*) FROM outbox").await, 200);
}
