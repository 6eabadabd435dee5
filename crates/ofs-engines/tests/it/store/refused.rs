//! Records that the index refuses.

use super::*;
use ofs_runtime::store::Refused;

fn owed(key: Key, loaded: u64) -> Commit {
    Commit { index: vec![(key, loaded + 1)], ..records([record(key, loaded, "x")]) }
}

fn refusal(key: Key, version: u64, reason: &str) -> Settled {
    Settled::Refused { key, version, reason: reason.to_owned() }
}

async fn refused(store: &Arc<dyn Store>) -> Vec<Refused> {
    store.refused(OWNER, None, 100).await.unwrap()
}

/// Owners with something refused, and how much.
async fn counted(store: &Arc<dyn Store>) -> Vec<(String, u64)> {
    let depths = store.depths().await.unwrap().refused;
    assert!(depths.iter().all(|depth| depth.oldest.is_some()));
    depths.into_iter().map(|depth| (depth.owner, depth.rows)).collect()
}

pub async fn what_the_index_refuses_is_kept_until_a_version_is_indexed(engine: &impl Engine) {
    let store = engine.open().await;
    let key = order(1);
    assert_eq!(store.commit(settled([refusal(key, 1, "why")])).await, Err(Error::Stale));
    assert_eq!((refused(&store).await, counted(&store).await), (vec![], vec![]));
    store.commit(owed(key, 0)).await.unwrap();
    store.commit(settled([refusal(key, 1, "why")])).await.unwrap();
    let depths = store.depths().await.unwrap();
    assert!(depths.index.is_empty(), "{depths:?}");
    assert!(store.unindexed(OWNER, &[], 10).await.unwrap().is_empty());
    assert_eq!(counted(&store).await, [(OWNER.to_owned(), 1)]);
    let first = refused(&store).await.remove(0);
    assert_eq!((first.key, first.version, first.reason.as_str()), (key, 1, "why"));
    tick(&store).await;
    // Pushed again, and refused again.
    store.commit(Commit { index: vec![(key, 1)], ..empty() }).await.unwrap();
    assert_eq!(store.unindexed(OWNER, &[], 10).await.unwrap().len(), 1);
    store.commit(settled([refusal(key, 1, "why else")])).await.unwrap();
    assert_eq!(refused(&store).await, [Refused { reason: "why else".to_owned(), ..first }]);
    store.commit(owed(key, 1)).await.unwrap();
    store.commit(settled([Settled::Indexed { key, version: 2 }])).await.unwrap();
    assert_eq!((refused(&store).await, counted(&store).await), (vec![], vec![]));
}

pub async fn a_refused_version_does_not_settle_a_newer_one(engine: &impl Engine) {
    let store = engine.open().await;
    let key = order(1);
    store.commit(owed(key, 0)).await.unwrap();
    store.commit(owed(key, 1)).await.unwrap();
    store.commit(settled([refusal(key, 1, "why")])).await.unwrap();
    assert_eq!(store.unindexed(OWNER, &[], 10).await.unwrap().len(), 1);
    assert_eq!(refused(&store).await, [], "the newer one may be taken");
    store.commit(settled([refusal(key, 2, "why")])).await.unwrap();
    assert!(store.unindexed(OWNER, &[], 10).await.unwrap().is_empty());
    assert_eq!(refused(&store).await[0].version, 2);
    // An older version that is in the index says nothing of the newer one.
    store.commit(Commit { index: vec![(key, 1)], ..empty() }).await.unwrap();
    store.commit(settled([Settled::Indexed { key, version: 1 }])).await.unwrap();
    assert_eq!(refused(&store).await[0].version, 2);
}

pub async fn refused_records_are_listed_by_key_in_pages(engine: &impl Engine) {
    let store = engine.open().await;
    let keys = [3, u128::MAX, 1, 2].map(order);
    for key in keys {
        store.commit(owed(key, 0)).await.unwrap();
    }
    let all = keys.iter().map(|key| refusal(*key, 1, "why"));
    store.commit(settled(all)).await.unwrap();
    let theirs = |commit| Commit { owner: "payment-worker".to_owned(), ..commit };
    store.commit(theirs(owed(order(9), 0))).await.unwrap();
    store.commit(theirs(settled([refusal(order(9), 1, "why")]))).await.unwrap();
    let page = async |after, max| {
        let page = store.refused(OWNER, after, max).await.unwrap();
        page.iter().map(|refused| refused.key).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 3).await, [1, 2, 3].map(order));
    assert_eq!(page(Some(order(2)), 9).await, [3, u128::MAX].map(order));
    assert_eq!(page(Some(order(u128::MAX)), 9).await, []);
    let both = [(OWNER.to_owned(), 4), ("payment-worker".to_owned(), 1)];
    assert_eq!(counted(&store).await, both);
}
