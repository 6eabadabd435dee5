//! Index port: versions, durability, generations and their rebuild, scans.

use super::{Engine, STATUS, STORE, at_version, everything, holding, id, ids, order, store};
use super::{target, with};
use ofs_runtime::index::{Document, Error, Put};
use serde_json::json;
use std::collections::BTreeSet;
use std::slice::from_ref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use uuid::Uuid;

pub async fn a_stored_document_is_found_at_once(engine: &impl Engine) {
    let index = holding(engine, &[]).await;
    for number in 1..4 {
        store(&*index, &[order(number)]).await;
        let found = index.search(&everything()).await.unwrap();
        assert_eq!(found.documents[0], order(number).body);
        assert_eq!(found.total, u64::try_from(number).unwrap());
        assert_eq!(found.next, None);
    }
    let status = index.status().await.unwrap();
    assert_eq!(status.documents, 3);
    assert_eq!(status.active, Some(target("one")));
    assert_eq!(status.instance, Some(STORE));
}

pub async fn an_older_or_equal_version_never_replaces_a_newer_one(engine: &impl Engine) {
    let index = holding(engine, &[at_version(order(1), 5)]).await;
    let older = at_version(with(order(1), "status", "older"), 4);
    let same = at_version(with(order(1), "status", "same"), 5);
    let newer = at_version(with(order(1), "status", "PaymentFailed"), 7);
    let one = target("one");
    assert_eq!(index.put(&one, from_ref(&older)).await.unwrap(), [Put::Newer]);
    assert_eq!(index.put(&one, &[same]).await.unwrap(), [Put::Newer]);
    assert_eq!(
        index.put(&one, &[newer.clone(), at_version(older.clone(), 6)]).await.unwrap(),
        [Put::Stored, Put::Newer],
        "within one push, too"
    );
    drop(index);
    let index = engine.open().await;
    assert_eq!(index.put(&one, &[at_version(older, 6)]).await.unwrap(), [Put::Newer]);
    assert_eq!(index.scan(&one, None, 10).await.unwrap(), from_ref(&newer));
    let found = index.search(&everything()).await.unwrap();
    assert_eq!((found.total, found.documents), (1, vec![newer.body]));
    let status = &found.facets[STATUS.name];
    assert_eq!((status.len(), status[0].value.as_str()), (1, "PaymentFailed"));
}

pub async fn everything_stored_is_there_after_a_reopen(engine: &impl Engine) {
    let documents: Vec<_> = (1..40).map(order).collect();
    let index = holding(engine, &documents).await;
    let before = (index.search(&everything()).await.unwrap(), index.status().await.unwrap());
    drop(index);
    let index = engine.open().await;
    let after = (index.search(&everything()).await.unwrap(), index.status().await.unwrap());
    assert_eq!(before, after);
    assert_eq!(index.scan(&target("one"), None, 100).await.unwrap(), documents);
    store(&*index, &[order(40)]).await;
    assert_eq!(index.search(&everything()).await.unwrap().total, 40);
}

pub async fn a_new_generation_is_not_searched_before_it_is_finished(engine: &impl Engine) {
    let index = engine.open().await;
    let status = index.status().await.unwrap();
    assert_eq!((status.instance, status.active, status.targets), (None, None, Vec::new()));
    assert!(matches!(index.search(&everything()).await, Err(Error::Missing(_))));
    index.begin(&target("one"), STORE).await.unwrap();
    store(&*index, &[order(1)]).await;
    assert!(matches!(index.search(&everything()).await, Err(Error::Missing(_))));
    let status = index.status().await.unwrap();
    assert_eq!((status.active, status.targets), (None, vec![target("one")]));
    assert_eq!(status.instance, Some(STORE));
    index.finish(&target("one")).await.unwrap();
    assert_eq!(ids(&*index, &everything()).await, [id(1)]);
}

pub async fn a_rebuild_leaves_no_gap_for_searches(engine: &impl Engine) {
    let documents: Vec<_> = (0..200).map(order).collect();
    let index = holding(engine, &documents).await;
    let searches = Arc::new(AtomicUsize::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let searcher = tokio::spawn({
        let (index, searches, done) = (index.clone(), searches.clone(), done.clone());
        async move {
            while !done.load(Ordering::SeqCst) {
                let found = index.search(&everything()).await.unwrap();
                assert_eq!((found.total, found.documents.len()), (200, 50));
                searches.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let mut old = target("one");
    for round in 2..6 {
        let new = target(&format!("number-{round}"));
        index.begin(&new, STORE).await.unwrap();
        for part in documents.chunks(50) {
            assert_eq!(index.put(&new, part).await.unwrap(), vec![Put::Stored; part.len()]);
        }
        index.finish(&new).await.unwrap();
        index.finish(&new).await.unwrap();
        let status = index.status().await.unwrap();
        assert_eq!((status.active.as_ref(), &status.targets), (Some(&new), &vec![new.clone()]));
        assert!(matches!(index.put(&old, &documents).await, Err(Error::Missing(_))));
        let seen = searches.load(Ordering::SeqCst);
        while searches.load(Ordering::SeqCst) < seen + 3 && !searcher.is_finished() {
            tokio::task::yield_now().await;
        }
        old = new;
    }
    done.store(true, Ordering::SeqCst);
    searcher.await.unwrap();
}

pub async fn beginning_again_keeps_what_is_there(engine: &impl Engine) {
    let index = holding(engine, &[order(1)]).await;
    index.begin(&target("one"), STORE).await.unwrap();
    index.begin(&target("two"), STORE).await.unwrap();
    let puts = index.put(&target("two"), &[order(2)]).await.unwrap();
    assert_eq!(puts, [Put::Stored]);
    drop(index);
    let index = engine.open().await;
    index.begin(&target("two"), STORE).await.unwrap();
    assert_eq!(ids(&*index, &everything()).await, [id(1)], "the old one is still searched");
    index.finish(&target("two")).await.unwrap();
    assert_eq!(ids(&*index, &everything()).await, [id(2)]);
    drop(index);
    let index = engine.open().await;
    assert_eq!(ids(&*index, &everything()).await, [id(2)]);
    assert_eq!(index.status().await.unwrap().targets, [target("two")]);
}

pub async fn a_generation_of_another_store_is_made_anew(engine: &impl Engine) {
    let index = holding(engine, &[order(1)]).await;
    let other = Uuid::from_u128(2);
    index.begin(&target("two"), other).await.unwrap();
    assert_eq!(index.status().await.unwrap().instance, Some(STORE), "until it is finished");
    index.begin(&target("one"), other).await.unwrap();
    assert_eq!(index.scan(&target("one"), None, 10).await.unwrap(), []);
    index.finish(&target("one")).await.unwrap();
    assert_eq!(index.search(&everything()).await.unwrap().total, 0);
    assert_eq!(index.status().await.unwrap().instance, Some(other));
}

pub async fn what_is_not_there_is_missing(engine: &impl Engine) {
    let index = holding(engine, &[order(1)]).await;
    let none = target("none");
    assert!(matches!(index.put(&none, &[order(1)]).await, Err(Error::Missing(_))));
    assert!(matches!(index.scan(&none, None, 10).await, Err(Error::Missing(_))));
    assert!(matches!(index.finish(&none).await, Err(Error::Missing(_))));
    assert_eq!(ids(&*index, &everything()).await, [id(1)]);
}

pub async fn a_scan_pages_through_everything_by_id(engine: &impl Engine) {
    let mut documents: Vec<_> =
        (0..50).map(|number| at_version(order(number * 37 % 50), 3)).collect();
    let index = holding(engine, &[]).await;
    for part in documents.chunks(11) {
        store(&*index, part).await;
    }
    let changed = at_version(with(order(20), "status", "PaymentFailed"), u64::MAX >> 1);
    store(&*index, from_ref(&changed)).await;
    documents.sort_by_key(|document| document.id);
    documents[20] = changed;
    for max in [1, 7, 50, 500] {
        let mut scanned: Vec<Document> = Vec::new();
        loop {
            let after = scanned.last().map(|document| document.id);
            let page = index.scan(&target("one"), after, max).await.unwrap();
            assert!(page.len() <= max);
            if page.is_empty() {
                break;
            }
            scanned.extend(page);
        }
        assert_eq!(scanned, documents);
    }
}

pub async fn a_document_that_does_not_fit_is_refused_alone(engine: &impl Engine) {
    let index = holding(engine, &[]).await;
    let odd = [
        order(1),
        Document { body: json!("a text"), ..order(2) },
        with(order(3), "createdAt", "yesterday"),
        with(order(4), "status", json!({"deep": true})),
        order(5),
    ];
    let puts = index.put(&target("one"), &odd).await.unwrap();
    assert!(
        matches!(
            puts.as_slice(),
            [Put::Stored, Put::Refused(_), Put::Refused(_), Put::Refused(_), Put::Stored]
        ),
        "{puts:?}"
    );
    assert_eq!(ids(&*index, &everything()).await, [id(5), id(1)]);
    let bare = Document { id: id(6), version: 1, body: json!({"id": id(6)}) };
    store(&*index, &[bare]).await;
    assert_eq!(ids(&*index, &everything()).await, [id(5), id(1), id(6)]);
    assert_eq!(index.put(&target("one"), &[]).await.unwrap(), []);
}

pub async fn concurrent_puts_are_all_stored(engine: &impl Engine) {
    let index = holding(engine, &[]).await;
    let puts: Vec<_> = (0..40_u64)
        .map(|number| {
            let index = index.clone();
            tokio::spawn(async move {
                let own = order(u128::from(number) + 100);
                // All of them fight over one order as well; its newest version has to win.
                let shared = at_version(order(1), number + 1);
                index.put(&target("one"), &[own, shared]).await.unwrap()
            })
        })
        .collect();
    for put in puts {
        let answer = put.await.unwrap();
        assert_eq!(answer[0], Put::Stored);
        assert!(matches!(answer[1], Put::Stored | Put::Newer));
    }
    let all = index.scan(&target("one"), None, 100).await.unwrap();
    let different: BTreeSet<_> = all.iter().map(|document| document.id).collect();
    assert_eq!((all.len(), different.len()), (41, 41));
    assert_eq!(all[0].version, 40);
}
