//! Scanning, forgetting and remembering.

use super::*;
use ofs_runtime::store::{Depths, ParkedFilter, Retention};

const NOTHING: Retention = Retention { inbox_days: 0, once_hours: 0, parked_days: 0 };
const MONTH: Retention = Retention { inbox_days: 30, once_hours: 72, parked_days: 30 };

pub async fn records_are_scanned_by_key_in_pages(engine: &impl Engine) {
    let store = engine.open().await;
    let keys = [0, 1, 0x80, 0xFF00, u128::MAX];
    store.commit(records(keys.map(|n| record(order(n), 0, "x")))).await.unwrap();
    store
        .commit(Commit { owner: "a".to_owned(), ..records([record(order(2), 0, "y")]) })
        .await
        .unwrap();
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = store.scan(OWNER, after, 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        after = Some(last.key);
        found.extend(page.iter().map(|record| record.key));
    }
    assert_eq!(found, keys.map(order));
}

pub async fn old_events_leave_the_inbox(engine: &impl Engine) {
    let store = engine.open().await;
    for owner in ["a", "b"] {
        let old = Commit { owner: owner.to_owned(), seen: vec![seen(order(1), 1)], ..empty() };
        store.commit(old).await.unwrap();
    }
    assert!(!store.tidy(MONTH).await.unwrap());
    for owner in ["a", "b"] {
        let events = vec![seen(order(1), 1)];
        let wanted = Wanted { owner: owner.to_owned(), events, ..Wanted::default() };
        assert!(store.load(&wanted).await.unwrap().seen.is_empty());
    }
}

pub async fn what_is_young_is_kept(engine: &impl Engine) {
    let store = engine.open().await;
    let today =
        Seen { day: ofs_runtime::context::Context::new("test").now().day(), ..seen(order(1), 1) };
    let commit = Commit {
        seen: vec![today],
        once: Some(once("k")),
        parked: vec![parking(Some(order(1)), 1, None), parking(Some(order(2)), 2, None)],
        ..empty()
    };
    store.commit(commit).await.unwrap();
    let open = store.parked(&ParkedFilter::default(), 10).await.unwrap().events;
    store.commit(settled([Settled::Resolved(open[0].id)])).await.unwrap();
    let wanted = Wanted {
        owner: OWNER.to_owned(),
        events: vec![today],
        once: Some("k".to_owned()),
        positions: vec![at(1), at(2)],
        ..Wanted::default()
    };
    assert!(!store.tidy(MONTH).await.unwrap());
    let kept = store.load(&wanted).await.unwrap();
    assert_eq!((kept.seen.len(), kept.once.is_some(), kept.parked.len()), (1, true, 2));
    // Nothing is kept on purpose: only what is still open stays.
    tick(&store).await;
    assert!(!store.tidy(NOTHING).await.unwrap());
    let kept = store.load(&wanted).await.unwrap();
    assert_eq!((kept.once.is_some(), kept.parked), (false, [at(2)].into()));
}

pub async fn tidying_drops_a_bounded_amount_at_a_time(engine: &impl Engine) {
    let store = engine.open().await;
    let events: Vec<Seen> = (0..12_000).map(|n| seen(order(1), n)).collect();
    store.commit(Commit { seen: events.clone(), ..empty() }).await.unwrap();
    let wanted = Wanted { owner: OWNER.to_owned(), events, ..Wanted::default() };
    let mut calls = 1;
    while store.tidy(MONTH).await.unwrap() {
        assert!(!store.load(&wanted).await.unwrap().seen.is_empty() || calls > 1);
        calls += 1;
        assert!(calls < 100);
    }
    assert!(calls > 1);
    assert!(store.load(&wanted).await.unwrap().seen.is_empty());
}

pub async fn an_older_event_that_comes_while_others_are_dropped_is_dropped_after_them(
    engine: &impl Engine,
) {
    let store = engine.open().await;
    let events = (0..12_000).map(|n| seen(order(1), n)).collect();
    store.commit(Commit { seen: events, ..empty() }).await.unwrap();
    assert!(store.tidy(MONTH).await.unwrap());
    let older = vec![Seen { day: 19_000, ..seen(order(1), 1) }];
    store.commit(Commit { seen: older.clone(), ..empty() }).await.unwrap();
    for _ in 0..2 {
        while store.tidy(MONTH).await.unwrap() {}
    }
    let wanted = Wanted { owner: OWNER.to_owned(), events: older, ..Wanted::default() };
    assert!(store.load(&wanted).await.unwrap().seen.is_empty());
}

pub async fn what_is_durable_survives_reopening(engine: &impl Engine) {
    let store = engine.open().await;
    let instance = store.instance();
    let commit = Commit {
        seen: vec![seen(order(1), 1)],
        index: vec![(order(1), 1)],
        parked: vec![parking(Some(order(1)), 1, None)],
        once: Some(once("k")),
        ..created(order(1), 1)
    };
    store.commit(commit.clone()).await.unwrap();
    let rows = outbox(&store, OWNER).await;
    let depths = store.depths().await.unwrap();
    drop(store);
    let store = engine.open().await;
    assert_eq!(store.instance(), instance);
    assert_eq!(version(&store, order(1)).await, 1);
    assert_eq!(outbox(&store, OWNER).await, rows);
    assert_eq!(Depths { at: depths.at, ..store.depths().await.unwrap() }, depths);
    assert_eq!(store.commit(commit).await, Err(Error::Stale));
}
