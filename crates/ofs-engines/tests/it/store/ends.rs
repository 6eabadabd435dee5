//! How far the log was, as the store noted it.

use super::*;
use ofs_runtime::store::LogEnd;

async fn ends(store: &Arc<dyn Store>) -> Vec<LogEnd> {
    let mut ends = store.log_ends().await.unwrap();
    ends.sort_by_key(|end| (end.topic, end.partition));
    ends
}

pub async fn how_far_the_log_was_is_kept_and_raised(engine: &impl Engine) {
    let store = engine.open().await;
    assert_eq!(ends(&store).await, []);
    let at = |partition, offset| Position { topic: Topic::Orders, partition, offset };
    let end = |partition, next, missing| LogEnd { topic: Topic::Orders, partition, next, missing };
    store.note_log_ends(&[at(0, 7), at(1, 3)]).await.unwrap();
    store.note_log_ends(&[at(1, 9), at(0, 5)]).await.unwrap();
    assert_eq!(ends(&store).await, [end(0, 7, 0), end(1, 9, 0)]);
    store.set_log_ends(&[end(0, 2, 5)]).await.unwrap();
    store.note_log_ends(&[at(0, 4)]).await.unwrap();
    drop(store);
    let store = engine.open().await;
    assert_eq!(ends(&store).await, [end(0, 4, 5), end(1, 9, 0)]);
}

pub async fn the_newest_outgoing_event_is_known_after_it_is_gone(engine: &impl Engine) {
    let store = engine.open().await;
    assert_eq!(store.newest_outgoing().await.unwrap(), 0);
    let key = order(1);
    let outgoing = vec![message(key, 1), message(key, 2)];
    store.commit(Commit { outgoing, ..records([record(key, 0, "Created")]) }).await.unwrap();
    let mut newest = 0;
    while let [id] = outbox(&store, OWNER).await[..] {
        newest = id;
        let settled = vec![Settled::Sent(id)];
        store.commit(Commit { settled, ..empty() }).await.unwrap();
    }
    assert!(newest > 0);
    drop(store);
    assert_eq!(engine.open().await.newest_outgoing().await.unwrap(), newest);
}

pub async fn a_note_has_an_id_above_every_earlier_event_and_below_every_later_one(
    engine: &impl Engine,
) {
    let store = engine.open().await;
    let first = store.note_log_ends(&[]).await.unwrap();
    assert_eq!(store.newest_outgoing().await.unwrap(), first);
    let mut noted = first;
    for n in 1..3 {
        let (key, before) = (order(n), store.commits());
        let outgoing = vec![message(key, 1)];
        store.commit(Commit { outgoing, ..records([record(key, 0, "Created")]) }).await.unwrap();
        assert!(store.commits() > before);
        let newest = store.newest_outgoing().await.unwrap();
        assert!(newest > noted, "{newest} {noted}");
        noted = store.note_log_ends(&[]).await.unwrap();
        assert!(noted > newest, "{noted} {newest}");
    }
    drop(store);
    assert_eq!(engine.open().await.newest_outgoing().await.unwrap(), noted);
}
