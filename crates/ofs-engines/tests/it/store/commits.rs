//! Commits: what they write, what undoes them, and what they do to their neighbours.

use super::*;
use futures::future::join_all;

pub async fn what_was_written_is_read_back(engine: &impl Engine) {
    let store = engine.open().await;
    let (a, b) = (order(1), order(2));
    let commit = Commit {
        seen: vec![seen(a, 10)],
        once: Some(once("k")),
        parked: vec![parking(Some(b), 7, None)],
        ..records([record(b, 0, "B"), record(a, 0, "A")])
    };
    store.commit(commit).await.unwrap();
    let wanted = Wanted {
        owner: OWNER.to_owned(),
        keys: vec![a, b, order(3)],
        events: vec![seen(a, 10), seen(b, 10)],
        positions: vec![at(7), at(8)],
        once: Some("k".to_owned()),
    };
    let loaded = store.load(&wanted).await.unwrap();
    assert_eq!(loaded.records.len(), 2);
    let found = &loaded.records[&a];
    assert_eq!((found.loaded, found.version, found.status.as_str()), (1, 1, "A"));
    assert_eq!(found.read::<serde_json::Value>().unwrap(), json!({ "status": "A" }));
    assert_eq!((found.created_at, found.updated_at), (time(1), time(1)));
    assert_eq!(loaded.seen, [seen(a, 10)].into());
    assert_eq!(loaded.parked, [at(7)].into());
    assert_eq!(loaded.queues, [(Topic::Orders, b)].into());
    assert_eq!(loaded.once, Some(once("k")));
}

pub async fn a_version_conflict_is_stale(engine: &impl Engine) {
    let store = engine.open().await;
    let key = order(1);
    store.commit(records([record(key, 0, "one")])).await.unwrap();
    store.commit(records([record(key, 1, "two")])).await.unwrap();
    assert_eq!(store.commit(records([record(key, 1, "again")])).await, Err(Error::Stale));
    assert_eq!(store.commit(records([record(key, 7, "ahead")])).await, Err(Error::Stale));
    assert_eq!(store.commit(records([record(order(2), 1, "none")])).await, Err(Error::Stale));
    assert_eq!(load(&store, &[key]).await.records[&key].status, "two");
}

pub async fn a_second_first_version_is_stale(engine: &impl Engine) {
    let store = engine.open().await;
    store.commit(records([record(order(1), 0, "one")])).await.unwrap();
    assert_eq!(store.commit(records([record(order(1), 0, "one")])).await, Err(Error::Stale));
    let other =
        Commit { owner: "payment-worker".to_owned(), ..records([record(order(1), 0, "p")]) };
    store.commit(other).await.unwrap();
}

pub async fn an_event_is_handled_once(engine: &impl Engine) {
    let store = engine.open().await;
    let commit = Commit { seen: vec![seen(order(1), 1)], ..empty() };
    store.commit(commit.clone()).await.unwrap();
    assert_eq!(store.commit(commit.clone()).await, Err(Error::Stale));
    let both = Commit { seen: vec![seen(order(1), 2), seen(order(1), 1)], ..empty() };
    assert_eq!(store.commit(both).await, Err(Error::Stale));
}

pub async fn the_inbox_tells_owners_and_orders_apart(engine: &impl Engine) {
    let store = engine.open().await;
    store.commit(Commit { seen: vec![seen(order(1), 1)], ..empty() }).await.unwrap();
    store.commit(Commit { seen: vec![seen(order(2), 1)], ..empty() }).await.unwrap();
    let owner = "payment-worker".to_owned();
    let wanted =
        Wanted { owner: owner.clone(), events: vec![seen(order(1), 1)], ..Wanted::default() };
    assert!(store.load(&wanted).await.unwrap().seen.is_empty());
    let commit = Commit { owner, seen: vec![seen(order(1), 1)], ..Commit::default() };
    store.commit(commit).await.unwrap();
}

pub async fn a_guard_holds_another_owners_record(engine: &impl Engine) {
    let store = engine.open().await;
    store.commit(records([record(order(1), 0, "one")])).await.unwrap();
    let owner = "search-indexer-worker".to_owned();
    let guarded = |guard, event| Commit {
        owner: owner.clone(),
        guards: vec![guard],
        seen: vec![seen(order(9), event)],
        ..Commit::default()
    };
    store.commit(guarded(guard(order(1), 1), 1)).await.unwrap();
    store.commit(guarded(guard(order(2), 0), 2)).await.unwrap();
    for (key, version) in [(1, 0), (1, 2), (2, 1)] {
        let commit = guarded(guard(order(key), version), 3);
        assert_eq!(store.commit(commit).await, Err(Error::Stale));
    }
}

pub async fn commits_that_guard_each_others_record_do_not_both_hold(engine: &impl Engine) {
    let store = engine.open().await;
    for version in 0..8 {
        let over = |mine, theirs| Commit {
            guards: vec![guard(order(theirs), version)],
            ..records([record(order(mine), version, "mine")])
        };
        let outcomes = join_all([store.commit(over(1, 2)), store.commit(over(2, 1))]).await;
        assert!(outcomes.contains(&Err(Error::Stale)), "{outcomes:?}");
        for (n, outcome) in (1..).zip(outcomes) {
            if outcome.is_err() {
                store.commit(records([record(order(n), version, "alone")])).await.unwrap();
            }
        }
    }
}

pub async fn nothing_of_a_failed_commit_stays(engine: &impl Engine) {
    let store = engine.open().await;
    store.commit(Commit { once: Some(once("taken")), ..empty() }).await.unwrap();
    let key = order(1);
    let all = Commit {
        seen: vec![seen(key, 1)],
        parked: vec![parking(Some(key), 1, None)],
        index: vec![(key, 1)],
        once: Some(once("taken")),
        ..created(key, 1)
    };
    assert_eq!(store.commit(all.clone()).await, Err(Error::KeyTaken));
    assert_eq!(version(&store, key).await, 0);
    let depths = store.depths().await.unwrap();
    assert!(depths.outbox.is_empty() && depths.index.is_empty() && depths.parked.is_empty());
    let stale = Commit { settled: vec![Settled::Sent(99)], once: None, ..all.clone() };
    assert_eq!(store.commit(stale).await, Err(Error::Stale));
    assert_eq!(version(&store, key).await, 0);
    store.commit(Commit { once: Some(once("free")), ..all }).await.unwrap();
}

pub async fn a_bad_commit_among_many_fails_alone(engine: &impl Engine) {
    let store = engine.open().await;
    store.commit(records([record(order(1_000), 0, "old")])).await.unwrap();
    let commits = (0..64).map(|n| {
        let mut commit = created(order(n), n);
        if n % 16 == 3 {
            commit.records.push(record(order(1_000), 0, "conflict"));
        }
        if n % 16 == 7 {
            commit.records[0].body = "not json".to_owned();
        }
        store.commit(commit)
    });
    for (n, outcome) in (0..64_u128).zip(join_all(commits).await) {
        match n % 16 {
            3 => assert_eq!(outcome, Err(Error::Stale)),
            7 => assert!(matches!(outcome, Err(Error::Rejected(_))), "{outcome:?}"),
            _ => assert_eq!(outcome, Ok(())),
        }
        assert_eq!(version(&store, order(n)).await, u64::from(outcome.is_ok()));
    }
    assert_eq!(outbox(&store, OWNER).await.len(), 56);
}

pub async fn of_many_writers_of_one_version_one_wins(engine: &impl Engine) {
    let store = engine.open().await;
    for loaded in 0..5 {
        let commits =
            (0..16).map(|n| store.commit(records([record(order(1), loaded, &format!("{n}"))])));
        let outcomes = join_all(commits).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert_eq!(
            outcomes.iter().filter(|outcome| **outcome == Err(Error::Stale)).count(),
            15,
            "{outcomes:?}"
        );
    }
    assert_eq!(version(&store, order(1)).await, 5);
}

pub async fn many_commits_at_once_are_all_written(engine: &impl Engine) {
    let store = engine.open().await;
    // Two rounds in opposite orders: rows are locked in key order, so there is no deadlock.
    let keys: Vec<Key> = (0..256).map(order).collect();
    let chunks = keys.chunks(4);
    let first = chunks
        .clone()
        .map(|some| store.commit(records(some.iter().map(|key| record(*key, 0, "a")))));
    assert!(join_all(first).await.iter().all(Result::is_ok));
    let second = chunks
        .rev()
        .map(|some| store.commit(records(some.iter().rev().map(|key| record(*key, 1, "b")))));
    assert!(join_all(second).await.iter().all(Result::is_ok));
    let loaded = load(&store, &keys).await;
    assert!(keys.iter().all(|key| loaded.records[key].version == 2));
}

pub async fn a_body_that_is_not_json_is_rejected(engine: &impl Engine) {
    let store = engine.open().await;
    let bad = Record { body: "{".to_owned(), ..record(order(1), 0, "bad") };
    let outcome = store.commit(records([bad])).await;
    assert!(matches!(outcome, Err(Error::Rejected(_))), "{outcome:?}");
}

pub async fn an_event_without_a_record_of_its_key_is_rejected(engine: &impl Engine) {
    let store = engine.open().await;
    let none = Commit { outgoing: vec![message(order(1), 1)], ..empty() };
    let other =
        Commit { outgoing: vec![message(order(1), 1)], ..records([record(order(2), 0, "x")]) };
    let mut keyless = created(order(3), 1);
    keyless.outgoing[0].key = None;
    for commit in [none, other, keyless] {
        let outcome = store.commit(commit).await;
        assert!(matches!(outcome, Err(Error::Rejected(_))), "{outcome:?}");
    }
    assert!(outbox(&store, OWNER).await.is_empty());
}

pub async fn an_idempotency_key_is_taken_once_per_owner(engine: &impl Engine) {
    let store = engine.open().await;
    let with_key = |n| Commit { once: Some(once("k")), ..created(order(n), n) };
    let outcomes = join_all((0..8).map(|n| store.commit(with_key(n)))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Err(Error::KeyTaken)).count(), 7);
    assert_eq!(outbox(&store, OWNER).await.len(), 1);
    store.commit(Commit { owner: "other".to_owned(), ..with_key(9) }).await.unwrap();
    let wanted = |owner: &str, once: &str| Wanted {
        owner: owner.to_owned(),
        once: Some(once.to_owned()),
        ..Wanted::default()
    };
    assert_eq!(store.load(&wanted("other", "k")).await.unwrap().once, Some(once("k")));
    assert_eq!(store.load(&wanted("third", "k")).await.unwrap().once, None);
    assert_eq!(store.load(&wanted("other", "K")).await.unwrap().once, None);
}

pub async fn a_record_keeps_the_time_it_was_made(engine: &impl Engine) {
    let store = engine.open().await;
    let key = order(1);
    store.commit(records([record(key, 0, "one")])).await.unwrap();
    let next = Record { created_at: time(500), updated_at: time(900), ..record(key, 1, "two") };
    store.commit(records([next])).await.unwrap();
    let found = &load(&store, &[key]).await.records[&key];
    assert_eq!((found.created_at, found.updated_at), (time(1), time(900)));
}
