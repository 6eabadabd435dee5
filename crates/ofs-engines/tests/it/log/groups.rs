//! Consumer groups: positions, members, resets and lag, as every log must keep them.

use super::{
    Engine, IDLE, SOON, ack, append, clock_moves_on, message, nothing, numbered, set, take, values,
};
use ofs_events::{Timestamp, Topic};
use ofs_runtime::log::{Error, Polled, Received, Reset, Subscription};

pub async fn each_group_gets_every_record(engine: &dyn Engine) {
    let log = engine.open().await;
    let mut one = log.subscribe(&engine.group("one"), &Topic::ALL).await.unwrap();
    let mut two = log.subscribe(&engine.group("two"), &Topic::ALL).await.unwrap();
    for topic in Topic::ALL {
        append(&*log, numbered(topic, topic.name(), 0..10)).await;
    }
    let (first, second) = tokio::join!(take(&mut *one, 30), take(&mut *two, 30));
    assert_eq!(set(&first).len(), 30);
    assert_eq!(set(&first), set(&second));
    one.close().await.unwrap();
    two.close().await.unwrap();
}

pub async fn a_group_goes_on_where_it_acked(engine: &dyn Engine) {
    let log = engine.open().await;
    let group = engine.group("g");
    append(&*log, numbered(Topic::Orders, "a", 0..10)).await;
    let mut subscription = log.subscribe(&group, &[Topic::Orders]).await.unwrap();
    let records = take(&mut *subscription, 10).await;
    ack(&mut *subscription, &records[..6]);
    subscription.close().await.unwrap();
    drop(log);
    let log = engine.open().await;
    let mut subscription = log.subscribe(&group, &[Topic::Orders]).await.unwrap();
    assert_eq!(values(&take(&mut *subscription, 4).await), ["a:6", "a:7", "a:8", "a:9"]);
    nothing(&mut *subscription).await;
    subscription.close().await.unwrap();
}

pub async fn what_was_not_acked_is_delivered_again(engine: &dyn Engine) {
    let log = engine.open().await;
    let group = engine.group("g");
    append(&*log, numbered(Topic::Orders, "a", 0..3)).await;
    for _ in 0..2 {
        let mut subscription = log.subscribe(&group, &[Topic::Orders]).await.unwrap();
        assert_eq!(values(&take(&mut *subscription, 3).await), ["a:0", "a:1", "a:2"]);
        subscription.close().await.unwrap();
    }
}

pub async fn an_older_ack_does_not_move_a_group_back(engine: &dyn Engine) {
    let log = engine.open().await;
    let group = engine.group("g");
    append(&*log, numbered(Topic::Orders, "a", 0..5)).await;
    let mut subscription = log.subscribe(&group, &[Topic::Orders]).await.unwrap();
    let records = take(&mut *subscription, 5).await;
    ack(&mut *subscription, &records[..4]);
    ack(&mut *subscription, &records[..2]);
    subscription.close().await.unwrap();
    let mut subscription = log.subscribe(&group, &[Topic::Orders]).await.unwrap();
    assert_eq!(values(&take(&mut *subscription, 1).await), ["a:4"]);
    subscription.close().await.unwrap();
}

pub async fn two_members_of_a_group_share_and_take_over(engine: &dyn Engine) {
    let log = engine.open().await;
    let group = engine.group("g");
    let mut first = log.subscribe(&group, &[Topic::Orders]).await.unwrap();
    append(&*log, numbered(Topic::Orders, "a", 0..10)).await;
    let seen = take(&mut *first, 10).await;
    ack(&mut *first, &seen);
    let mut second = log.subscribe(&group, &[Topic::Orders]).await.unwrap();
    for key in ["b", "c", "d", "e"] {
        append(&*log, numbered(Topic::Orders, key, 0..10)).await;
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let wait = tokio::time::Instant::now() + SOON;
    while left.len() + right.len() < 40 && tokio::time::Instant::now() < wait {
        tokio::join!(share(&mut *first, &mut left), share(&mut *second, &mut right));
    }
    assert_eq!(left.len() + right.len(), 40, "each record once, whoever got it");
    assert_eq!(set(&left).union(&set(&right)).count(), 40);
    first.close().await.unwrap();
    append(&*log, numbered(Topic::Orders, "f", 0..10)).await;
    let records = take(&mut *second, 10).await;
    assert!(records.iter().all(|record| record.key.as_deref() == Some(b"f")));
    second.close().await.unwrap();
}

/// Polls for a moment and acks what came.
async fn share(subscription: &mut dyn Subscription, found: &mut Vec<Received>) {
    if let Ok(polled) = tokio::time::timeout(IDLE, subscription.next(5)).await
        && let Polled::Records(records) = polled.unwrap()
    {
        ack(subscription, &records);
        found.extend(records);
    }
}

pub async fn a_group_is_moved_to_the_earliest_the_latest_or_a_time(engine: &dyn Engine) {
    let log = engine.open().await;
    let group = engine.group("g");
    let topics = [Topic::Orders];
    append(&*log, numbered(Topic::Orders, "a", 0..3)).await;
    clock_moves_on().await;
    let at = append(&*log, numbered(Topic::Orders, "a", 3..4)).await[0];
    let time = log.read(at.topic, at.partition, at.offset, 1).await.unwrap()[0].appended_at;
    append(&*log, numbered(Topic::Orders, "a", 4..5)).await;

    log.reset(&group, &topics, Reset::Latest).await.unwrap();
    let lag = log.lag(&group, &topics).await.unwrap();
    assert_eq!(lag.iter().map(|lag| lag.events).sum::<u64>(), 0);
    log.reset(&group, &topics, Reset::Earliest).await.unwrap();
    let lag = log.lag(&group, &topics).await.unwrap();
    assert_eq!(lag.iter().map(|lag| lag.events).sum::<u64>(), 5);
    log.reset(&group, &topics, Reset::Time(time)).await.unwrap();
    let mut subscription = log.subscribe(&group, &topics).await.unwrap();
    assert_eq!(values(&take(&mut *subscription, 2).await), ["a:3", "a:4"]);
    subscription.close().await.unwrap();
    let late = Timestamp::from_micros(time.as_micros()).plus_seconds(3600);
    log.reset(&group, &topics, Reset::Time(late)).await.unwrap();
    let lag = log.lag(&group, &topics).await.unwrap();
    assert_eq!(lag.iter().map(|lag| lag.events).sum::<u64>(), 0);
}

pub async fn a_group_with_members_is_not_moved(engine: &dyn Engine) {
    let log = engine.open().await;
    let group = engine.group("g");
    append(&*log, numbered(Topic::Orders, "a", 0..1)).await;
    let mut subscription = log.subscribe(&group, &[Topic::Orders]).await.unwrap();
    take(&mut *subscription, 1).await;
    let refused = log.reset(&group, &[Topic::Orders], Reset::Latest).await;
    assert!(matches!(&refused, Err(Error::Busy(name)) if *name == group), "{refused:?}");
    subscription.close().await.unwrap();
    log.reset(&group, &[Topic::Orders], Reset::Latest).await.unwrap();
}

pub async fn a_group_that_is_forgotten_begins_anew_and_one_with_members_is_not_forgotten(
    engine: &dyn Engine,
) {
    let log = engine.open().await;
    let (group, other) = (engine.group("given-up"), engine.group("other"));
    append(&*log, numbered(Topic::Orders, "a", 0..3)).await;
    let mut subscription = log.subscribe(&group, &[Topic::Orders]).await.unwrap();
    let records = take(&mut *subscription, 3).await;
    ack(&mut *subscription, &records);
    log.reset(&other, &[Topic::Orders], Reset::Latest).await.unwrap();
    let refused = log.forget(&group).await;
    assert!(matches!(&refused, Err(Error::Busy(name)) if *name == group), "{refused:?}");
    subscription.close().await.unwrap();
    let known = log.groups().await.unwrap();
    assert!(known.contains(&group) && known.contains(&other), "{known:?}");
    log.forget(&group).await.unwrap();
    log.forget(&group).await.unwrap();
    drop(log);
    let log = engine.open().await;
    let known = log.groups().await.unwrap();
    assert!(!known.contains(&group) && known.contains(&other), "{known:?}");
    let lag = log.lag(&group, &[Topic::Orders]).await.unwrap();
    assert!(lag.iter().all(|lag| lag.position.is_none()), "{lag:?}");
    let mut subscription = log.subscribe(&group, &[Topic::Orders]).await.unwrap();
    assert_eq!(values(&take(&mut *subscription, 3).await), ["a:0", "a:1", "a:2"]);
    subscription.close().await.unwrap();
}

pub async fn lag_tells_when_the_first_unread_event_happened(engine: &dyn Engine) {
    let log = engine.open().await;
    let told = |at: &str| message(Topic::Orders, "a", format!(r#"{{"occurredAt":"{at}"}}"#));
    let long_ago = "2001-02-03T04:05:06Z";
    append(&*log, vec![told(long_ago), told("9999-01-01T00:00:00Z")]).await;
    let group = engine.group("g");
    let first = async || {
        let lags = log.lag(&group, &[Topic::Orders]).await.unwrap();
        lags.into_iter().find(|lag| lag.events > 0).unwrap()
    };
    let waiting = first().await;
    assert_eq!(waiting.happened, Some(long_ago.parse().unwrap()));
    assert!(waiting.oldest > waiting.happened);
    let mut subscription = log.subscribe(&group, &[Topic::Orders]).await.unwrap();
    let records = take(&mut *subscription, 2).await;
    ack(&mut *subscription, &records[..1]);
    subscription.close().await.unwrap();
    let waiting = first().await;
    assert_eq!(waiting.happened, waiting.oldest, "none happens after it was appended");
}

pub async fn lag_counts_what_is_unread(engine: &dyn Engine) {
    let log = engine.open().await;
    let group = engine.group("g");
    let positions = append(&*log, numbered(Topic::Orders, "a", 0..10)).await;
    let partition = positions[0].partition;
    let lag = log.lag(&group, &[Topic::Orders]).await.unwrap();
    let of_key = lag.iter().find(|lag| lag.partition == partition).unwrap();
    let oldest = log.read(Topic::Orders, partition, 0, 1).await.unwrap()[0].appended_at;
    assert_eq!((of_key.position, of_key.end, of_key.events), (None, 10, 10));
    assert_eq!(of_key.oldest, Some(oldest));

    assert!(lag.iter().all(|lag| !lag.assigned));
    let mut subscription = log.subscribe(&group, &[Topic::Orders]).await.unwrap();
    let records = take(&mut *subscription, 10).await;
    let lag = log.lag(&group, &[Topic::Orders]).await.unwrap();
    assert!(lag.iter().all(|lag| lag.assigned));
    ack(&mut *subscription, &records[..4]);
    subscription.close().await.unwrap();
    let lag = log.lag(&group, &[Topic::Orders]).await.unwrap();
    assert!(lag.iter().all(|lag| !lag.assigned));
    let of_key = lag.iter().find(|lag| lag.partition == partition).unwrap();
    assert_eq!((of_key.position, of_key.end, of_key.events), (Some(4), 10, 6));
    assert_eq!(of_key.oldest, Some(records[4].appended_at));
    assert_eq!(lag.iter().map(|lag| lag.events).sum::<u64>(), 6);

    let mut subscription = log.subscribe(&group, &[Topic::Orders]).await.unwrap();
    let records = take(&mut *subscription, 6).await;
    ack(&mut *subscription, &records);
    subscription.close().await.unwrap();
    let lag = log.lag(&group, &[Topic::Orders]).await.unwrap();
    let of_key = lag.iter().find(|lag| lag.partition == partition).unwrap();
    assert_eq!((of_key.position, of_key.events, of_key.oldest), (Some(10), 0, None));
}
