//! Large rows: whatever reads many of them answers with as many as weigh no more than a batch, and then
//! with the others.

use super::*;
use ofs_runtime::budget::{BATCH_BYTES, Weight};
use ofs_runtime::store::ParkedFilter;
use std::collections::{BTreeSet, HashSet};

/// Bytes of each.
const LARGE: usize = 200 * 1024;
const COUNT: u64 = 40;

fn heavy(number: u64) -> Record {
    let body = json!({ "text": "x".repeat(LARGE) }).to_string();
    Record { body, ..record(order(number.into()), 0, "heavy") }
}

fn all_keys() -> BTreeSet<Key> {
    (0..COUNT).map(|number| order(number.into())).collect()
}

/// Commits what `commit` makes of each number, a few at once.
async fn commit_all(store: &Arc<dyn Store>, commit: impl Fn(u64) -> Commit) {
    for number in 0..COUNT {
        store.commit(commit(number)).await.unwrap();
    }
}

/// A part of what there is: some of it, not more than a batch and the one that filled it.
fn assert_part<T: Weight>(part: &[T]) {
    let weight: usize = part.iter().map(Weight::weight).sum();
    assert!(!part.is_empty() && part.len() < all_keys().len());
    assert!(weight < BATCH_BYTES + 2 * LARGE, "{weight} bytes at once");
}

pub async fn a_page_of_records_ends_when_it_weighs_enough(engine: &impl Engine) {
    let store = engine.open().await;
    commit_all(&store, |number| records([heavy(number)])).await;
    let mut scanned: Vec<Key> = Vec::new();
    loop {
        let page = store.scan(OWNER, scanned.last().copied(), 1_000).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert_part(&page);
        scanned.extend(page.iter().map(|record| record.key));
    }
    assert_eq!(scanned, all_keys().into_iter().collect::<Vec<_>>());
}

pub async fn what_is_too_much_to_load_at_once_is_left(engine: &impl Engine) {
    let store = engine.open().await;
    commit_all(&store, |number| records([heavy(number)])).await;
    store.commit(parked([parking(Some(order(7)), 7, None)])).await.unwrap();
    let mut wanted = Wanted { owner: OWNER.to_owned(), ..Wanted::default() };
    wanted.keys = all_keys().into_iter().chain([order(1_000)]).collect();
    let (mut found, mut queues) = (BTreeSet::new(), HashSet::new());
    while !wanted.keys.is_empty() {
        let loaded = store.load(&wanted).await.unwrap();
        let records: Vec<Record> = loaded.records.into_values().collect();
        assert_part(&records);
        found.extend(records.iter().map(|record| record.key));
        queues.extend(loaded.queues);
        assert!(loaded.left.iter().all(|key| wanted.keys.contains(key)));
        wanted.keys = loaded.left.into_iter().collect();
    }
    assert_eq!(found, all_keys());
    assert_eq!(queues, [(Topic::Orders, order(7))].into());
}

pub async fn large_outgoing_events_are_offered_a_few_at_a_time(engine: &impl Engine) {
    let store = engine.open().await;
    let value = Bytes::from(vec![b'x'; LARGE]);
    commit_all(&store, |number| {
        let key = order(number.into());
        let sent = Message { value: value.clone(), ..message(key, number.into()) };
        Commit { outgoing: vec![sent], ..records([record(key, 0, "sent")]) }
    })
    .await;
    let (mut sent, mut from) = (BTreeSet::new(), 0);
    loop {
        let rows = store.outbox(OWNER, &all_shards(), &[], from, 512).await.unwrap();
        let Some(last) = rows.last() else { break };
        from = last.id + 1;
        assert_part(&rows);
        sent.extend(rows.iter().map(|row| row.key));
    }
    assert_eq!(sent, all_keys());
}

pub async fn large_records_are_owed_oldest_and_newest_first(engine: &impl Engine) {
    let store = engine.open().await;
    for number in 0..COUNT {
        let index = vec![(order(number.into()), 1)];
        store.commit(Commit { index, ..records([heavy(number)]) }).await.unwrap();
        if number == 0 || number == COUNT - 2 {
            tick(&store).await;
        }
    }
    let mut owed = BTreeSet::new();
    while owed.len() < all_keys().len() {
        let skip: Vec<Key> = owed.iter().copied().collect();
        let some = store.unindexed(OWNER, &skip, 512).await.unwrap();
        assert_part(&some);
        owed.extend(some.iter().map(|record| record.key));
        assert!(owed.contains(&order(0)) && owed.contains(&order(u128::from(COUNT - 1))));
    }
    assert_eq!(owed, all_keys());
}

/// Parks large events that are due at once.
async fn park_all(store: &Arc<dyn Store>) {
    let raw = Bytes::from(vec![b'x'; LARGE]);
    commit_all(store, |number| {
        let key = Some(order(number.into()));
        parked([Parking { raw: raw.clone(), ..parking(key, number, Some(Duration::ZERO)) }])
    })
    .await;
}

pub async fn only_as_many_large_events_as_are_answered_are_claimed(engine: &impl Engine) {
    let store = engine.open().await;
    park_all(&store).await;
    let mut claimed = BTreeSet::new();
    while claimed.len() < all_keys().len() {
        let due = store.due(OWNER, LONG, 64).await.unwrap();
        assert_part(&due);
        for parked in due {
            assert!(claimed.insert(parked.id), "{} is claimed twice", parked.id);
        }
    }
}

pub async fn a_page_of_large_parked_events_is_short_and_has_a_next(engine: &impl Engine) {
    let store = engine.open().await;
    park_all(&store).await;
    let (mut filter, mut listed) = (ParkedFilter::default(), BTreeSet::new());
    loop {
        let page = store.parked(&filter, 200).await.unwrap();
        if !page.events.is_empty() {
            assert_part(&page.events);
        }
        listed.extend(page.events.iter().filter_map(|parked| parked.event.key));
        let Some(next) = page.next else { break };
        filter.after = Some(next);
    }
    assert_eq!(listed, all_keys());
}
