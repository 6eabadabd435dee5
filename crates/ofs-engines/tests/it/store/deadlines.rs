//! Deadlines: set with what needs them, passed in time, dropped by what makes them pointless.

use super::*;
use ofs_runtime::store::{Deadline, Due, Overdue, SHARDS, shard_of};

const NAME: &str = "payment";
const NOW: Option<Duration> = Some(Duration::ZERO);

fn with(commit: Commit, key: Key, due_in: Option<Duration>) -> Commit {
    Commit { deadlines: vec![Deadline { key, name: NAME, due_in }], ..commit }
}

fn passing(due: &Due, again_in: Option<Duration>) -> Commit {
    let Due { key, name, due_at, .. } = due.clone();
    settled([Settled::Passed { key, name, due_at, again_in }])
}

async fn due(store: &Arc<dyn Store>) -> Vec<Due> {
    let shards: Vec<u16> = (0..SHARDS).collect();
    store.passed(OWNER, &shards, 10).await.unwrap()
}

async fn until_due(store: &Arc<dyn Store>) -> Due {
    until("it is due", async || due(store).await.pop()).await
}

async fn overdue(store: &Arc<dyn Store>) -> Vec<Overdue> {
    store.overdue().await.unwrap()
}

pub async fn a_deadline_passes_once_unless_it_is_met(engine: &impl Engine) {
    let store = engine.open().await;
    let (met, missed, later) = (order(1), order(2), order(3));
    store.commit(with(created(met, 1), met, NOW)).await.unwrap();
    store.commit(with(created(missed, 2), missed, NOW)).await.unwrap();
    store.commit(with(created(later, 3), later, Some(LONG))).await.unwrap();
    until("two are due", async || (due(&store).await.len() == 2).then_some(())).await;
    store.commit(with(records([record(met, 1, "x")]), met, None)).await.unwrap();
    let passed = until_due(&store).await;
    assert_eq!((passed.key, passed.name.as_str()), (missed, NAME));
    assert_eq!(passed.overdue_for, Duration::ZERO);
    store.commit(passing(&passed, None)).await.unwrap();
    assert_eq!(store.commit(passing(&passed, None)).await, Err(Error::Stale), "it passes once");
    assert_eq!((due(&store).await, overdue(&store).await), (vec![], vec![]));
    // Dropping what is not there is no conflict: an older build may not have set it.
    store.commit(with(empty(), missed, None)).await.unwrap();
}

pub async fn a_deadline_that_was_set_again_has_not_passed(engine: &impl Engine) {
    let store = engine.open().await;
    let key = order(1);
    store.commit(with(created(key, 1), key, NOW)).await.unwrap();
    let passed = until_due(&store).await;
    tick(&store).await;
    store.commit(with(records([record(key, 1, "x")]), key, Some(LONG))).await.unwrap();
    for again_in in [None, NOW] {
        assert_eq!(store.commit(passing(&passed, again_in)).await, Err(Error::Stale));
    }
    assert_eq!((due(&store).await, overdue(&store).await), (vec![], vec![]));
    // The handler of one that passes may set it again in the same commit.
    store.commit(with(records([record(key, 2, "x")]), key, NOW)).await.unwrap();
    let passed = until_due(&store).await;
    store.commit(with(passing(&passed, None), key, NOW)).await.unwrap();
    assert_eq!(until_due(&store).await.key, key);
}

pub async fn what_is_overdue_is_counted_until_it_is_met(engine: &impl Engine) {
    let store = engine.open().await;
    for nth in [1, 2] {
        store.commit(with(created(order(nth), nth), order(nth), NOW)).await.unwrap();
        let passed = until_due(&store).await;
        store.commit(passing(&passed, Some(LONG))).await.unwrap();
        tick(&store).await;
    }
    let [all] = overdue(&store).await.try_into().unwrap();
    assert_eq!((all.owner.as_str(), all.name.as_str(), all.rows), (OWNER, NAME, 2));
    assert_eq!(all.key, order(1), "the one that is overdue for longest");
    assert!(due(&store).await.is_empty(), "it is looked at again later");
    store.commit(with(records([record(order(1), 1, "x")]), order(1), None)).await.unwrap();
    let [all] = overdue(&store).await.try_into().unwrap();
    assert_eq!((all.key, all.rows), (order(2), 1));
    // Looked at again, it is still overdue since the first time.
    store.commit(with(empty(), order(2), None)).await.unwrap();
    store.commit(with(empty(), order(3), NOW)).await.unwrap();
    let passed = until_due(&store).await;
    store.commit(passing(&passed, NOW)).await.unwrap();
    let since = overdue(&store).await[0].oldest;
    let again = until("it has been overdue for a while", async || {
        due(&store).await.pop().filter(|due| due.overdue_for > Duration::ZERO)
    })
    .await;
    store.commit(passing(&again, Some(LONG))).await.unwrap();
    assert_eq!(overdue(&store).await[0].oldest, since);
}

pub async fn deadlines_are_read_by_shard_owner_and_time(engine: &impl Engine) {
    let store = engine.open().await;
    for nth in 1..=6 {
        store.commit(with(empty(), order(nth), NOW)).await.unwrap();
        tick(&store).await;
    }
    until("all are due", async || (due(&store).await.len() == 6).then_some(())).await;
    let keys = |due: Vec<Due>| due.into_iter().map(|due| due.key).collect::<Vec<_>>();
    assert_eq!(keys(due(&store).await), (1..=6).map(order).collect::<Vec<_>>());
    let shard = shard_of(order(1));
    let own = store.passed(OWNER, &[shard], 10).await.unwrap();
    assert!(own.iter().all(|due| shard_of(due.key) == shard) && own.len() < 6, "{own:?}");
    assert_eq!(store.passed("other", &[shard], 10).await.unwrap(), []);
    let shards: Vec<u16> = (0..SHARDS).collect();
    assert_eq!(keys(store.passed(OWNER, &shards, 2).await.unwrap()), [order(1), order(2)]);
}
