//! Rows that a newer build has written beside ours, and reading on behind rows that have to wait.

use super::*;
use ofs_runtime::store::{Claim, ParkedFilter};

pub async fn what_a_newer_build_has_written_is_left_out_row_by_row(engine: &impl Engine) {
    let store = engine.open().await;
    let now = Some(Duration::ZERO);
    for n in 1..=2 {
        store.commit(created(order(n), n)).await.unwrap();
    }
    let [theirs, ours] = [(3, 3), (4, 4)].map(|(n, at)| parking(Some(order(n)), at, now));
    store.commit(parked([theirs, ours])).await.unwrap();
    let ids: Vec<u64> = store
        .parked(&ParkedFilter::default(), 10)
        .await
        .unwrap()
        .events
        .iter()
        .map(|parked| parked.id)
        .collect();
    drop(store);
    engine
        .execute(
            "UPDATE outbox SET topic = 'returns.events.v1' WHERE id = (SELECT min(id) FROM outbox);
             UPDATE parked_events SET topic = 'returns.events.v1'
             WHERE id = (SELECT min(id) FROM parked_events)",
        )
        .await;
    let store = engine.open().await;
    let rows = store.outbox(OWNER, &all_shards(), &[], 0, 10).await.unwrap();
    let [theirs, ours] = rows.as_slice() else { panic!("{rows:?}") };
    assert!(theirs.message.as_ref().unwrap_err().contains("returns.events.v1"), "{theirs:?}");
    assert_eq!(ours.message, Ok(message(order(2), 2)));
    let listed = store.parked(&ParkedFilter::default(), 10).await.unwrap().events;
    assert_eq!(listed.iter().map(|parked| parked.id).collect::<Vec<_>>(), ids[1..]);
    assert_eq!(store.parked_event(ids[0]).await.unwrap(), None);
    assert!(matches!(store.claim(ids[0], LONG).await.unwrap(), Claim::Closed(None)));
    let due = store.due(OWNER, LONG, 10).await.unwrap();
    assert_eq!(due.iter().map(|parked| parked.id).collect::<Vec<_>>(), ids[1..]);
    let loaded = load(&store, &[order(3), order(4)]).await;
    assert_eq!(loaded.queues.len(), 1, "what is of another topic blocks nothing here");
    // It was not retried: when the newer build comes back to it, it is due.
    drop(store);
    engine.execute("UPDATE parked_events SET topic = 'orders.events.v1'").await;
    let due = engine.open().await.due(OWNER, LONG, 10).await.unwrap();
    let back = due.iter().find(|parked| parked.id == ids[0]).unwrap();
    assert_eq!(back.attempts, 1);
}

pub async fn an_outbox_is_read_on_from_any_row(engine: &impl Engine) {
    let store = engine.open().await;
    // Two of three are of one shard, so that it is read in more pages than the others.
    let key = |n: u128| if n.is_multiple_of(3) { order(n) } else { order((n << 32) | 7) };
    for n in 1..=90 {
        store.commit(created(key(n), n)).await.unwrap();
    }
    let all = outbox(&store, OWNER).await;
    assert_eq!(all.len(), 90);
    let (mut from, mut read) = (0, Vec::new());
    loop {
        let page = store.outbox(OWNER, &all_shards(), &[], from, 10).await.unwrap();
        assert!(page.len() <= 10);
        let Some(last) = page.last() else { break };
        from = last.id + 1;
        read.extend(page.iter().map(|row| row.id));
    }
    assert_eq!(read, all, "without a gap");
}
