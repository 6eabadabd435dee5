//! Leases: fair shares, no overlap, and what becomes of a holder's slots.

use super::*;
use std::collections::HashSet;

async fn lease(store: &Arc<dyn Store>, holder: u128) -> Vec<u16> {
    store.lease("outbox", Uuid::from_u128(holder), 8, LONG).await.unwrap()
}

/// Renews for `holders` in turn until a round changes nothing; answers with how many each has.
async fn settle(store: &Arc<dyn Store>, holders: &[u128]) -> Vec<usize> {
    let mut before = Vec::new();
    until("the shares settle", async || {
        let mut round = Vec::new();
        for holder in holders {
            round.push(lease(store, *holder).await);
        }
        let settled = round == before;
        before = round;
        let slots: HashSet<u16> = before.iter().flatten().copied().collect();
        assert_eq!(slots.len(), before.iter().map(Vec::len).sum::<usize>(), "{before:?}");
        settled.then(|| before.iter().map(Vec::len).collect())
    })
    .await
}

pub async fn one_holder_gets_every_slot(engine: &impl Engine) {
    let store = engine.open().await;
    assert_eq!(lease(&store, 1).await, (0..8).collect::<Vec<u16>>());
    assert_eq!(lease(&store, 1).await.len(), 8);
    // Fewer slots than before: the rest is given back.
    let fewer = store.lease("outbox", Uuid::from_u128(1), 3, LONG).await.unwrap();
    assert_eq!(fewer, [0, 1, 2]);
}

pub async fn holders_share_fairly_and_never_overlap(engine: &impl Engine) {
    let store = engine.open().await;
    assert_eq!(lease(&store, 1).await.len(), 8);
    assert!(lease(&store, 2).await.is_empty(), "nothing is taken from a living holder");
    assert_eq!(settle(&store, &[1, 2]).await, [4, 4]);
    let mut three = settle(&store, &[1, 2, 3]).await;
    three.sort_unstable();
    assert_eq!(three, [2, 3, 3]);
    let holders: Vec<u128> = (1..=10).collect();
    let many = settle(&store, &holders).await;
    assert_eq!(many.iter().sum::<usize>(), 8);
    assert!(many.iter().all(|count| *count <= 1));
}

pub async fn a_holder_that_goes_leaves_its_slots(engine: &impl Engine) {
    let store = engine.open().await;
    settle(&store, &[1, 2]).await;
    let gone = store.lease("outbox", Uuid::from_u128(1), 8, Duration::ZERO).await.unwrap();
    assert!(gone.is_empty());
    assert_eq!(lease(&store, 2).await.len(), 8);
}

pub async fn a_holder_that_dies_loses_its_slots(engine: &impl Engine) {
    let store = engine.open().await;
    let brief = Duration::from_millis(30);
    assert_eq!(store.lease("outbox", Uuid::from_u128(1), 8, brief).await.unwrap().len(), 8);
    until("the lease runs out", async || (lease(&store, 2).await.len() == 8).then_some(())).await;
}

pub async fn groups_do_not_touch(engine: &impl Engine) {
    let store = engine.open().await;
    assert_eq!(lease(&store, 1).await.len(), 8);
    let other = store.lease("index", Uuid::from_u128(2), 1, LONG).await.unwrap();
    assert_eq!(other, [0]);
}
