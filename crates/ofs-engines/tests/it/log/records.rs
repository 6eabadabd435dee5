//! Appending, reading and waiting: what every log must do with records.

use super::{Engine, SOON, append, message, nothing, numbered, set, take, values};
use bytes::Bytes;
use ofs_events::Topic;
use ofs_runtime::context::Context;
use ofs_runtime::log::{Layout, Message, Polled};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub async fn records_of_a_key_keep_their_order(engine: &dyn Engine) {
    let log = engine.open().await;
    let mut subscription = log.subscribe(&engine.group("g"), &[Topic::Orders]).await.unwrap();
    for round in 0..4 {
        for key in ["a", "b", "c"] {
            append(&*log, numbered(Topic::Orders, key, round * 10..round * 10 + 10)).await;
        }
    }
    let records = take(&mut *subscription, 120).await;
    for key in ["a", "b", "c"] {
        let of_key = records.iter().filter(|r| r.key.as_deref() == Some(key.as_bytes()));
        let found: Vec<_> = of_key.cloned().collect();
        let expected: Vec<_> = (0..40).map(|n| format!("{key}:{n}")).collect();
        assert_eq!(values(&found), expected);
        assert!(found.windows(2).all(|pair| pair[0].at < pair[1].at));
    }
    subscription.close().await.unwrap();
}

pub async fn a_record_comes_back_as_it_was_appended(engine: &dyn Engine) {
    let log = engine.open().await;
    let before = Context::new("test").now().plus_seconds(-60);
    let headers = vec![
        ("eventType".to_owned(), "OrderCreatedV1".to_owned()),
        ("correlationId".to_owned(), "über".to_owned()),
    ];
    let sent = Message { headers, ..message(Topic::Payments, "key", "value") };
    let at = append(&*log, vec![sent.clone()]).await[0];
    let found = log.read(Topic::Payments, at.partition, at.offset, 10).await.unwrap();
    let [found] = &found[..] else { panic!("one record, not {found:?}") };
    assert_eq!(found.at, at);
    assert_eq!(found.key, sent.key);
    assert_eq!(found.headers, sent.headers);
    assert_eq!(found.value, sent.value);
    assert!(found.appended_at > before);
}

pub async fn what_was_appended_is_there_after_a_restart(engine: &dyn Engine) {
    let log = engine.open().await;
    append(&*log, numbered(Topic::Orders, "a", 0..5)).await;
    drop(log);
    let log = engine.open().await;
    append(&*log, numbered(Topic::Orders, "a", 5..10)).await;
    let mut subscription = log.subscribe(&engine.group("g"), &[Topic::Orders]).await.unwrap();
    let expected: Vec<_> = (0..10).map(|n| format!("a:{n}")).collect();
    assert_eq!(values(&take(&mut *subscription, 10).await), expected);
    subscription.close().await.unwrap();
}

pub async fn a_subscriber_waits_for_the_next_record(engine: &dyn Engine) {
    let log = engine.open().await;
    let mut subscription = log.subscribe(&engine.group("g"), &[Topic::Orders]).await.unwrap();
    nothing(&mut *subscription).await;
    let (records, _) = tokio::join!(
        take(&mut *subscription, 1),
        append(&*log, numbered(Topic::Orders, "a", 0..1)),
    );
    assert_eq!(values(&records), ["a:0"]);
    subscription.close().await.unwrap();
}

pub async fn bounds_tell_what_can_be_read(engine: &dyn Engine) {
    let log = engine.open().await;
    let empty = log.bounds(Topic::Fulfillment).await.unwrap();
    assert!(!empty.is_empty());
    assert!(empty.iter().all(|bounds| bounds.first == 0 && bounds.end == 0));
    let at = append(&*log, numbered(Topic::Fulfillment, "a", 0..7)).await[0];
    let bounds = log.bounds(Topic::Fulfillment).await.unwrap();
    let found = bounds.iter().find(|bounds| bounds.partition == at.partition).unwrap();
    assert_eq!((found.first, found.end), (0, 7));
}

pub async fn a_partition_is_read_in_pages(engine: &dyn Engine) {
    let log = engine.open().await;
    let positions = append(&*log, numbered(Topic::Orders, "a", 0..25)).await;
    let partition = positions[0].partition;
    let mut found = Vec::new();
    let mut from = 0;
    loop {
        let page = log.read(Topic::Orders, partition, from, 10).await.unwrap();
        assert!(page.len() <= 10);
        let Some(last) = page.last() else { break };
        from = last.at.offset + 1;
        found.extend(page);
    }
    let expected: Vec<_> = (0..25).map(|n| format!("a:{n}")).collect();
    assert_eq!(values(&found), expected);
    assert_eq!(found.iter().map(|r| r.at).collect::<Vec<_>>(), positions);
}

pub async fn a_big_value_comes_through(engine: &dyn Engine) {
    let log = engine.open().await;
    // With its envelope just below what a Kafka broker takes by default.
    let big = Bytes::from(vec![b'x'; 1_000_000]);
    let messages = (0..4).map(|_| message(Topic::Orders, "a", big.clone())).collect();
    append(&*log, messages).await;
    let mut subscription = log.subscribe(&engine.group("g"), &[Topic::Orders]).await.unwrap();
    let records = take(&mut *subscription, 4).await;
    assert!(records.iter().all(|record| record.value == big));
    subscription.close().await.unwrap();
}

pub async fn keys_and_values_may_be_anything(engine: &dyn Engine) {
    let log = engine.open().await;
    let odd = Bytes::from_static(b"\xff\x00\xfe not text");
    let messages = vec![
        Message { key: None, ..message(Topic::Orders, "", odd.clone()) },
        Message { key: Some(odd.clone()), ..message(Topic::Orders, "", odd.clone()) },
        Message { key: Some(Bytes::new()), ..message(Topic::Orders, "", "") },
    ];
    let positions = append(&*log, messages.clone()).await;
    for (at, sent) in positions.iter().zip(&messages) {
        let found = log.read(at.topic, at.partition, at.offset, 1).await.unwrap();
        assert_eq!((&found[0].key, &found[0].value), (&sent.key, &sent.value));
    }
}

pub async fn concurrent_appends_all_land_once(engine: &dyn Engine) {
    let log = engine.open().await;
    let mut subscription = log.subscribe(&engine.group("g"), &[Topic::Orders]).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..16 {
        let log = Arc::clone(&log);
        writers.spawn(async move {
            let key = format!("w{writer}");
            for n in 0..20 {
                append(&*log, numbered(Topic::Orders, &key, n..n + 1)).await;
            }
        });
    }
    let records = take(&mut *subscription, 320).await;
    assert_eq!(writers.join_all().await.len(), 16);
    assert_eq!(set(&records).len(), 320);
    let mut ends: HashMap<u32, u64> = HashMap::new();
    for record in &records {
        let end = ends.entry(record.at.partition).or_default();
        assert!(record.at.offset >= *end, "offsets ascend");
        *end = record.at.offset + 1;
    }
    nothing(&mut *subscription).await;
    subscription.close().await.unwrap();
}

pub async fn a_dropped_wait_loses_no_record(engine: &dyn Engine) {
    let log = engine.open().await;
    let mut subscription = log.subscribe(&engine.group("g"), &[Topic::Orders]).await.unwrap();
    let writer = {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            for n in 0..50 {
                append(&*log, numbered(Topic::Orders, "a", n..n + 1)).await;
            }
        })
    };
    let mut found = Vec::new();
    let deadline = tokio::time::Instant::now() + SOON;
    let mut patience = 0;
    while found.len() < 50 && tokio::time::Instant::now() < deadline {
        patience = (patience + 1) % 5;
        let wait = subscription.next(3);
        if let Ok(Ok(Polled::Records(records))) =
            tokio::time::timeout(Duration::from_millis(patience), wait).await
        {
            found.extend(records);
        }
    }
    writer.await.unwrap();
    let expected: Vec<_> = (0..50).map(|n| format!("a:{n}")).collect();
    assert_eq!(values(&found), expected);
    subscription.close().await.unwrap();
}

pub async fn making_the_topics_again_changes_nothing(engine: &dyn Engine) {
    let log = engine.open().await;
    append(&*log, numbered(Topic::Orders, "a", 0..2)).await;
    log.prepare(Layout { partitions: 3, replication: 1 }).await.unwrap();
    let bounds = log.bounds(Topic::Orders).await.unwrap();
    assert_eq!(bounds.iter().map(|bounds| bounds.end - bounds.first).sum::<u64>(), 2);
}
