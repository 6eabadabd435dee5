//! What is owed: the outbox and the index lane.

use super::*;
use futures::future::join_all;
use ofs_runtime::context::Context;
use ofs_runtime::store::{Depth, Depths, ParkedFilter, shard_of};
use std::collections::HashSet;

pub async fn an_outgoing_event_is_read_back_as_it_was_given(engine: &impl Engine) {
    let store = engine.open().await;
    let key = order(0xAB);
    let mut sent = message(key, 1);
    sent.topic = Topic::Payments;
    sent.headers.push(("correlationId".to_owned(), "ü \"x\"".to_owned()));
    sent.value = Bytes::from_static(b"{\"a\" : 1.50, \"\xC3\xA9\": null}");
    let bare = Message { event_id: None, headers: Vec::new(), ..message(order(0xAC), 2) };
    let commit = Commit {
        outgoing: vec![sent.clone(), bare.clone()],
        ..records([record(key, 0, "a"), record(order(0xAC), 0, "b")])
    };
    store.commit(commit).await.unwrap();
    let rows = store.outbox(OWNER, &all_shards(), &[], 0, 10).await.unwrap();
    let messages: Vec<_> = rows.iter().map(|row| (row.key, row.message.clone().unwrap())).collect();
    assert_eq!(messages, [(key, sent), (order(0xAC), bare)]);
}

pub async fn only_the_lowest_row_of_a_key_is_offered(engine: &impl Engine) {
    let store = engine.open().await;
    let (a, b) = (order(1), order(2));
    let two = Commit { outgoing: vec![message(a, 1), message(a, 2)], ..created(a, 1) };
    store.commit(two).await.unwrap();
    store.commit(created(b, 3)).await.unwrap();
    let rows = store.outbox(OWNER, &all_shards(), &[], 0, 10).await.unwrap();
    let offered: Vec<_> = rows.iter().map(|row| row.message.as_ref().unwrap().event_id).collect();
    assert_eq!(offered, [Some(event(1)), Some(event(3))]);
    assert_eq!(store.outbox(OWNER, &all_shards(), &[], 0, 1).await.unwrap().len(), 1);
    store.commit(settled([Settled::Sent(rows[0].id)])).await.unwrap();
    let rows = store.outbox(OWNER, &all_shards(), &[], 0, 10).await.unwrap();
    let offered: Vec<_> = rows.iter().map(|row| row.message.as_ref().unwrap().event_id).collect();
    assert_eq!(offered, [Some(event(2)), Some(event(3))]);
}

pub async fn keys_in_flight_hide_no_others(engine: &impl Engine) {
    let store = engine.open().await;
    for n in 0..20 {
        store.commit(created(order(n), n)).await.unwrap();
    }
    let skip: Vec<Key> = (0..18).map(order).collect();
    let rows = store.outbox(OWNER, &all_shards(), &skip, 0, 2).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.key).collect::<Vec<_>>(), [order(18), order(19)]);
}

pub async fn shards_divide_the_outbox(engine: &impl Engine) {
    let store = engine.open().await;
    join_all((0..40).map(|n| store.commit(created(order(n), n)))).await;
    let mut total = 0;
    for shard in all_shards() {
        let rows = store.outbox(OWNER, &[shard], &[], 0, 100).await.unwrap();
        assert!(rows.iter().all(|row| shard_of(row.key) == shard));
        total += rows.len();
    }
    assert_eq!(total, 40);
    assert!(store.outbox(OWNER, &[], &[], 0, 100).await.unwrap().is_empty());
    assert!(store.outbox("payment-worker", &all_shards(), &[], 0, 100).await.unwrap().is_empty());
}

pub async fn outbox_ids_grow_within_a_key_under_contention(engine: &impl Engine) {
    let store = engine.open().await;
    let key = order(1);
    // Writers race for each version; the message says which version it came with.
    let race = (0..4).map(|_| async {
        while version(&store, key).await < 20 {
            let loaded = version(&store, key).await;
            let commit = Commit {
                outgoing: vec![message(key, u128::from(loaded) + 1)],
                ..records([record(key, loaded, "raced")])
            };
            let _ = store.commit(commit).await;
        }
    });
    join_all(race).await;
    let reached = version(&store, key).await;
    for expected in 1..=reached {
        let rows = store.outbox(OWNER, &all_shards(), &[], 0, 10).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].message.as_ref().unwrap().event_id, Some(event(u128::from(expected))));
        store.commit(settled([Settled::Sent(rows[0].id)])).await.unwrap();
    }
    assert!(outbox(&store, OWNER).await.is_empty());
}

pub async fn an_outbox_id_is_never_used_again(engine: &impl Engine) {
    let store = engine.open().await;
    store.commit(created(order(1), 1)).await.unwrap();
    let first = outbox(&store, OWNER).await[0];
    store.commit(settled([Settled::Sent(first)])).await.unwrap();
    drop(store);
    let store = engine.open().await;
    store.commit(created(order(2), 2)).await.unwrap();
    assert!(outbox(&store, OWNER).await[0] > first);
}

pub async fn a_row_is_sent_once_and_by_its_owner(engine: &impl Engine) {
    let store = engine.open().await;
    store.commit(created(order(1), 1)).await.unwrap();
    let id = outbox(&store, OWNER).await[0];
    let theirs = Commit { owner: "payment-worker".to_owned(), ..settled([Settled::Sent(id)]) };
    assert_eq!(store.commit(theirs).await, Err(Error::Stale));
    store.commit(settled([Settled::Sent(id)])).await.unwrap();
    assert_eq!(store.commit(settled([Settled::Sent(id)])).await, Err(Error::Stale));
}

pub async fn what_is_owed_to_the_index_is_the_newest_version(engine: &impl Engine) {
    let store = engine.open().await;
    let key = order(1);
    let owing = |loaded| Commit {
        index: vec![(key, loaded + 1)],
        ..records([record(key, loaded, &format!("v{}", loaded + 1))])
    };
    store.commit(owing(0)).await.unwrap();
    store.commit(owing(1)).await.unwrap();
    // A lower version owed does not undo a higher one.
    store.commit(Commit { index: vec![(key, 1)], ..empty() }).await.unwrap();
    let owed = store.unindexed(OWNER, &[], 10).await.unwrap();
    assert_eq!(owed, [load(&store, &[key]).await.records[&key].clone()]);
    assert_eq!((owed[0].version, owed[0].status.as_str()), (2, "v2"));
    store.commit(settled([Settled::Indexed { key, version: 1 }])).await.unwrap();
    assert_eq!(store.unindexed(OWNER, &[], 10).await.unwrap().len(), 1);
    assert!(store.unindexed(OWNER, &[key], 10).await.unwrap().is_empty());
    store.commit(settled([Settled::Indexed { key, version: 2 }])).await.unwrap();
    assert!(store.unindexed(OWNER, &[], 10).await.unwrap().is_empty());
}

pub async fn of_what_is_owed_to_the_index_the_oldest_and_the_newest_come_first(
    engine: &impl Engine,
) {
    let store = engine.open().await;
    for n in [5, 3, 4, 1, 2] {
        let commit = Commit { index: vec![(order(n), 1)], ..records([record(order(n), 0, "x")]) };
        store.commit(commit).await.unwrap();
        tick(&store).await;
    }
    let owed = async |skip: &[Key], max| {
        let owed = store.unindexed(OWNER, skip, max).await.unwrap();
        owed.iter().map(|record| record.key).collect::<HashSet<_>>()
    };
    assert_eq!(owed(&[], 4).await, [5, 3, 1, 2].map(order).into());
    assert_eq!(owed(&[order(5), order(2)], 2).await, [3, 1].map(order).into());
    assert_eq!(owed(&[], 1).await, [order(5)].into());
    assert_eq!(owed(&[], 10).await.len(), 5);
}

pub async fn the_index_cannot_settle_what_is_not_owed(engine: &impl Engine) {
    let store = engine.open().await;
    let key = order(1);
    let indexed = settled([Settled::Indexed { key, version: 1 }]);
    assert_eq!(store.commit(indexed.clone()).await, Err(Error::Stale));
    store.commit(Commit { index: vec![(key, 1)], ..records([record(key, 0, "x")]) }).await.unwrap();
    store.commit(indexed.clone()).await.unwrap();
    assert_eq!(store.commit(indexed).await, Err(Error::Stale));
}

pub async fn depths_count_what_is_owed_by_owner(engine: &impl Engine) {
    let store = engine.open().await;
    let nothing = store.depths().await.unwrap();
    assert!(nothing.outbox.is_empty() && nothing.index.is_empty() && nothing.parked.is_empty());
    for n in 0..3 {
        let commit = Commit {
            index: vec![(order(n), 1)],
            parked: vec![parking(None, u64::try_from(n).unwrap(), None)],
            ..created(order(n), n)
        };
        store.commit(commit).await.unwrap();
    }
    store.commit(Commit { owner: "a".to_owned(), ..created(order(1), 9) }).await.unwrap();
    let depths = store.depths().await.unwrap();
    let rows = |depths: &[Depth]| -> Vec<(String, u64)> {
        depths.iter().map(|depth| (depth.owner.clone(), depth.rows)).collect()
    };
    assert_eq!(rows(&depths.outbox), [("a".to_owned(), 1), (OWNER.to_owned(), 3)]);
    assert_eq!(rows(&depths.index), [(OWNER.to_owned(), 3)]);
    assert_eq!(rows(&depths.parked), [(OWNER.to_owned(), 3)]);
    assert!(depths.outbox.iter().all(|depth| depth.oldest.is_some()));
}

pub async fn since_when_the_oldest_waits_for_the_index_is_told(engine: &impl Engine) {
    let store = engine.open().await;
    assert_eq!(store.oldest_owed(OWNER).await.unwrap().since, None);
    let owe = |number| Commit {
        index: vec![(order(number), 1)],
        ..records([record(order(number), 0, "owed")])
    };
    store.commit(owe(2)).await.unwrap();
    let first = store.oldest_owed(OWNER).await.unwrap();
    assert!(first.since.is_some_and(|since| since <= first.at));
    tick(&store).await;
    store.commit(owe(1)).await.unwrap();
    assert_eq!(store.oldest_owed(OWNER).await.unwrap().since, first.since);
    assert_eq!(store.oldest_owed("payment-worker").await.unwrap().since, None);
    let done = settled([Settled::Indexed { key: order(2), version: 1 }]);
    store.commit(done).await.unwrap();
    assert!(store.oldest_owed(OWNER).await.unwrap().since > first.since);
}

pub async fn the_index_is_behind_since_the_first_event_that_it_lacks(engine: &impl Engine) {
    engine.set_clock(0).await;
    let store = engine.open().await;
    let now = Context::new("test").now();
    let hours = |hours: i64| Some(now.plus_seconds(-3_600 * hours));
    let behind = async || {
        let depths = store.depths().await.unwrap();
        let oldest = depths.index[0].oldest.unwrap();
        depths.at.since(oldest).as_secs() / 3_600
    };
    let owe = |number, loaded, since| Commit {
        index: vec![(order(number), loaded + 1)],
        since,
        ..records([record(order(number), loaded, "owed")])
    };
    store.commit(owe(1, 0, hours(2))).await.unwrap();
    assert_eq!(behind().await, 2);
    store.commit(owe(2, 0, hours(1))).await.unwrap();
    store.commit(owe(1, 1, hours(1))).await.unwrap();
    assert_eq!(behind().await, 2, "a later event does not bring the index nearer");
    store.commit(owe(2, 1, hours(3))).await.unwrap();
    assert_eq!(behind().await, 3, "an earlier one, read later, is behind all the more");
    let indexed = |number| Settled::Indexed { key: order(number), version: 2 };
    store.commit(settled([indexed(2)])).await.unwrap();
    assert_eq!(behind().await, 2);
    let long_ago = "0000-01-01T00:00:00Z".parse().unwrap();
    store.commit(owe(3, 0, Some(long_ago))).await.unwrap();
    assert!(behind().await > 24 * 365 * 900, "as far back as times go");
}

pub async fn what_the_index_gets_once_more_stands_behind_what_changes(engine: &impl Engine) {
    let store = engine.open().await;
    let all = (1..=4).map(|number| record(order(number), 0, "x"));
    let again = (1..=4).map(|number| (order(number), 1)).collect();
    store.commit(Commit { again, ..records(all) }).await.unwrap();
    let none = store.oldest_owed(OWNER).await.unwrap();
    assert_eq!((none.since, none.again), (None, true));
    let depths = store.depths().await.unwrap();
    assert_eq!((depths.index[0].rows, depths.index[0].oldest), (4, Some(depths.at)));
    let first = async || store.unindexed(OWNER, &[], 1).await.unwrap().remove(0).key;
    tick(&store).await;
    let change = |number, loaded| Commit {
        index: vec![(order(number), loaded + 1)],
        ..records([record(order(number), loaded, "x")])
    };
    store.commit(change(3, 1)).await.unwrap();
    let changed = store.oldest_owed(OWNER).await.unwrap();
    assert!(changed.since.is_some_and(|since| since <= changed.at) && changed.again);
    assert_eq!(first().await, order(3));
    tick(&store).await;
    store.commit(change(5, 0)).await.unwrap();
    // What is owed because it changed stays that, and stays as old.
    store.commit(Commit { again: vec![(order(3), 2)], ..empty() }).await.unwrap();
    assert_eq!(first().await, order(3));
    assert_eq!(store.oldest_owed(OWNER).await.unwrap().since, changed.since);
    let indexed = |(number, version)| Settled::Indexed { key: order(number), version };
    store.commit(settled([(3, 2), (5, 1)].map(indexed))).await.unwrap();
    assert_eq!(store.depths().await.unwrap().index[0].rows, 3);
    store.commit(settled([(1, 1), (2, 1), (4, 1)].map(indexed))).await.unwrap();
    let none = store.oldest_owed(OWNER).await.unwrap();
    assert_eq!((none.since, none.again), (None, false));
}

pub async fn depths_follow_what_is_settled(engine: &impl Engine) {
    let store = engine.open().await;
    for number in 0..4 {
        let owed = Commit { index: vec![(order(number), 1)], ..created(order(number), number) };
        store.commit(owed).await.unwrap();
        let event = parking(Some(order(number)), u64::try_from(number).unwrap(), None);
        store.commit(parked([event])).await.unwrap();
    }
    let depths = async || {
        let Depths { outbox, index, refused, parked, .. } = store.depths().await.unwrap();
        [outbox, index, refused, parked]
            .map(|lane| lane.iter().map(|depth| depth.rows).sum::<u64>())
    };
    assert_eq!(depths().await, [4, 4, 0, 4]);
    // What is owed already, or refused again, counts once.
    store.commit(Commit { index: vec![(order(0), 1)], ..empty() }).await.unwrap();
    let sent = outbox(&store, OWNER).await[0];
    let page = store.parked(&ParkedFilter::default(), 10).await.unwrap();
    let [one, two, three, _] = page.events.iter().map(|parked| parked.id).collect::<Vec<_>>()[..]
    else {
        panic!("four are parked")
    };
    let refused =
        |number| Settled::Refused { key: order(number), version: 1, reason: "too long".to_owned() };
    let all = [
        Settled::Sent(sent),
        Settled::Indexed { key: order(0), version: 1 },
        refused(1),
        Settled::Resolved(one),
        Settled::Discarded(two, "given up".to_owned()),
        Settled::Deferred { id: three, reason: "again".to_owned(), retry_in: None },
    ];
    store.commit(settled(all)).await.unwrap();
    assert_eq!(depths().await, [3, 2, 1, 2]);
    store.commit(Commit { index: vec![(order(1), 1)], ..empty() }).await.unwrap();
    store.commit(settled([refused(1)])).await.unwrap();
    // Of a commit that fails, nothing is counted.
    let stale = Commit { parked: vec![parking(None, 0, None)], ..created(order(9), 9) };
    assert_eq!(store.commit(stale).await, Err(Error::Stale));
    assert_eq!(depths().await, [3, 2, 1, 2]);
    store.commit(Commit { index: vec![(order(1), 1)], ..empty() }).await.unwrap();
    store.commit(settled([Settled::Indexed { key: order(1), version: 1 }])).await.unwrap();
    assert_eq!(depths().await, [3, 2, 0, 2]);
}
