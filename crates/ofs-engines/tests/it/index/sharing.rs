//! Elasticsearch only: generations that come and go, in a cluster that others use as well.

use super::schemas::WIDER;
use super::{Elasticsearch, Engine, STORE, everything, holding, id, ids, on_engine, order, target};
use ofs_runtime::index::Put;
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_search_fails_while_generations_come_and_go() {
    on_engine(async |engine: &Elasticsearch| {
        let documents: Vec<_> = (0..20).map(order).collect();
        let index = holding(engine, &documents).await;
        let (searches, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let searchers: Vec<_> = (0..4)
            .map(|_| {
                let (index, searches, done) = (index.clone(), searches.clone(), done.clone());
                tokio::spawn(async move {
                    while !done.load(Ordering::SeqCst) {
                        assert_eq!(index.search(&everything()).await.unwrap().total, 20);
                        searches.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for round in 0..15 {
            let new = target(&format!("round-{round}"));
            index.begin(&new, STORE).await.unwrap();
            index.put(&new, &documents).await.unwrap();
            index.finish(&new).await.unwrap();
        }
        done.store(true, Ordering::SeqCst);
        for searcher in searchers {
            searcher.await.unwrap();
        }
        assert!(searches.load(Ordering::SeqCst) > 15);
    })
    .await;
}

#[tokio::test]
async fn installations_in_one_cluster_leave_each_other_alone() {
    on_engine(async |engine: &Elasticsearch| {
        let mut indices = vec![holding(engine, &[order(1)]).await];
        // Prefixes that make each other's patterns match.
        for (number, inner) in (2..).zip(["orders-v1-write.a-", "orders-v1-"]) {
            let prefix = format!("{}{inner}", engine.prefix);
            let inner = Elasticsearch { server: engine.server.clone(), prefix };
            indices.push(holding(&inner, &[order(number)]).await);
        }
        for (number, index) in (1..).zip(&indices) {
            assert_eq!(ids(&**index, &everything()).await, [id(number)]);
            let status = index.status().await.unwrap();
            assert_eq!(status.targets, [target("one")]);
            index.begin(&target("two"), STORE).await.unwrap();
            index.finish(&target("two")).await.unwrap();
            assert_eq!(index.status().await.unwrap().targets, [target("two")]);
        }
        for index in &indices {
            assert_eq!(index.status().await.unwrap().active, Some(target("two")));
        }
    })
    .await;
}

#[tokio::test]
async fn a_generation_laid_out_by_another_build_is_rebuilt() {
    on_engine(async |engine: &Elasticsearch| {
        let index = holding(engine, &[order(1)]).await;
        let meta = json!({"prefix": engine.prefix, "instance": STORE, "layout": 0});
        let mapping = format!("{}/_mapping", engine.concrete("one"));
        engine.done(Method::PUT, &mapping, json!({"_meta": {"ofs": meta}})).await;
        let status = index.status().await.unwrap();
        assert_eq!((status.instance, status.active, status.targets), (None, None, Vec::new()));
        index.begin(&target("two"), STORE).await.unwrap();
        assert_eq!(index.put(&target("two"), &[order(2)]).await.unwrap(), [Put::Stored]);
        index.finish(&target("two")).await.unwrap();
        assert_eq!(ids(&*index, &everything()).await, [id(2)]);
        assert!(!engine.is_there(&engine.concrete("one")).await, "the old one is removed");
    })
    .await;
}

#[tokio::test]
async fn a_generation_that_says_nothing_of_its_schema_has_the_first_one() {
    on_engine(async |engine: &Elasticsearch| {
        let index = holding(engine, &[order(1)]).await;
        let meta = json!({"prefix": engine.prefix, "instance": STORE, "layout": 4});
        let mapping = format!("{}/_mapping", engine.concrete("one"));
        engine.done(Method::PUT, &mapping, json!({"_meta": {"ofs": meta}})).await;
        let status = index.status().await.unwrap();
        assert_eq!((status.instance, status.active), (Some(STORE), Some(target("one"))));
        let other = engine.open_with(WIDER).await.status().await.unwrap();
        assert_eq!((other.active, other.targets), (None, Vec::new()));
    })
    .await;
}

#[tokio::test]
async fn a_target_no_index_can_be_called_after_is_refused() {
    on_engine(async |engine: &Elasticsearch| {
        let index = holding(engine, &[order(1)]).await;
        for name in ["", "..", ".hidden", "a/b", "A", "a*", "a,b", "é", "orders-v1", "a?x", "_all"]
        {
            let target = target(name);
            assert!(index.begin(&target, STORE).await.is_err(), "{name}");
            assert!(index.put(&target, &[order(2)]).await.is_err(), "{name}");
            assert!(index.scan(&target, None, 1).await.is_err(), "{name}");
            assert!(index.finish(&target).await.is_err(), "{name}");
        }
        assert_eq!(ids(&*index, &everything()).await, [id(1)]);
    })
    .await;
}
