//! Topics that are not what a group knew: it is told, and a reset helps. Nothing is skipped silently.

use crate::log::cluster::Kafka;
use crate::log::{SOON, ack, append, message, numbered, take, values};
use ofs_engines::log::kafka::KafkaLog;
use ofs_events::Topic;
use ofs_runtime::log::{Error, Log, Polled, Received, Reset, Subscription};
use rdkafka::admin::{AdminOptions, NewPartitions};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

const TOPICS: [Topic; 1] = [Topic::Orders];

/// Asserts that the group may not go on, because of `why`, until it is reset.
async fn is_lost(log: &KafkaLog, why: &str) {
    let lost = log.subscribe("g", &TOPICS).await.err().expect("the group is lost");
    told(&lost, why);
    log.reset("g", &TOPICS, Reset::Earliest).await.unwrap();
    let subscription = log.subscribe("g", &TOPICS).await.unwrap();
    subscription.close().await.unwrap();
}

fn told(lost: &Error, why: &str) {
    let text = lost.to_string();
    assert!(matches!(lost, Error::Lost(_)), "{text}");
    assert!(text.contains(why) && text.contains("ofs events reset --group g"), "{text}");
}

/// How a subscription ends by itself; what comes before is given too.
async fn end(subscription: &mut dyn Subscription) -> (Vec<Received>, Error) {
    let mut records = Vec::new();
    let ended = async {
        loop {
            match subscription.next(1000).await {
                Ok(Polled::Records(more)) => records.extend(more),
                Ok(Polled::Revoked(_)) => {}
                Err(error) => return error,
            }
        }
    };
    let error = tokio::time::timeout(2 * SOON, ended).await.expect("it ends");
    (records, error)
}

/// A group that has read and acked `count` records of one partition, which this names.
async fn group_at(log: &KafkaLog, count: usize) -> u32 {
    let at = append(log, numbered(Topic::Orders, "a", 0..count)).await[0];
    let mut subscription = log.subscribe("g", &TOPICS).await.unwrap();
    let records = take(&mut *subscription, count).await;
    ack(&mut *subscription, &records);
    subscription.close().await.unwrap();
    at.partition
}

async fn make_anew(kafka: &Kafka, log: &KafkaLog) {
    kafka.delete_topic(Topic::Orders).await;
    let gone = async { while log.prepare(kafka.layout).await.is_err() {} };
    tokio::time::timeout(SOON, gone).await.unwrap();
}

/// Commits for the group as another tool may do it, say one that restores offsets.
fn commit(kafka: &Kafka, partition: u32, offset: i64, metadata: &str) {
    let mut config = kafka.foreign();
    let client: BaseConsumer = config.set("group.id", kafka.group("g")).create().unwrap();
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(&kafka.topic(Topic::Orders), partition.cast_signed());
    element.set_offset(Offset::Offset(offset)).unwrap();
    element.set_metadata(metadata);
    client.commit(&list, CommitMode::Sync).unwrap();
}

async fn delete_records(kafka: &Kafka, partition: u32, before: i64) {
    let mut list = TopicPartitionList::new();
    let topic = kafka.topic(Topic::Orders);
    list.add_partition_offset(&topic, partition.cast_signed(), Offset::Offset(before)).unwrap();
    let done = kafka.admin().delete_records(&list, &AdminOptions::new()).await.unwrap();
    done.elements().iter().for_each(|element| element.error().unwrap());
}

async fn add_partition(kafka: &Kafka, log: &KafkaLog) {
    let topic = kafka.topic(Topic::Orders);
    let more = [NewPartitions::new(&topic, 4)];
    let made = kafka.admin().create_partitions(&more, &AdminOptions::new()).await.unwrap();
    made.into_iter().for_each(|made| drop(made.unwrap()));
    let seen = async { while log.check(kafka.layout).await.is_ok() {} };
    tokio::time::timeout(SOON, seen).await.unwrap();
}

#[tokio::test]
async fn records_removed_before_they_were_read() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    let partition = group_at(&log, 4).await;
    append(&log, numbered(Topic::Orders, "a", 4..10)).await;
    delete_records(&kafka, partition, 7).await;
    let lag = log.lag("g", &TOPICS).await.unwrap().swap_remove(partition as usize);
    assert_eq!((lag.position, lag.end, lag.events), (Some(4), 10, 6));
    assert_eq!(log.read(Topic::Orders, partition, 0, 1).await.unwrap()[0].at.offset, 7);
    is_lost(&log, "offset 4, but everything below 7 has been removed").await;
    let mut subscription = log.subscribe("g", &TOPICS).await.unwrap();
    assert_eq!(values(&take(&mut *subscription, 3).await), ["a:7", "a:8", "a:9"]);
    subscription.close().await.unwrap();
}

#[tokio::test]
async fn records_removed_that_were_read_are_not_missed() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    let partition = group_at(&log, 4).await;
    delete_records(&kafka, partition, 4).await;
    append(&log, numbered(Topic::Orders, "a", 4..5)).await;
    let mut subscription = log.subscribe("g", &TOPICS).await.unwrap();
    assert_eq!(values(&take(&mut *subscription, 1).await), ["a:4"]);
    subscription.close().await.unwrap();
}

#[tokio::test]
async fn records_removed_under_a_member_that_is_behind() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    // More than a member takes in at once, however well it is compressed.
    let mut noise = 1_u64;
    let mut partition = 0;
    for _ in 0..10_000 / 500 {
        let value = |_| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (0..1250).flat_map(|n: u64| (noise ^ noise.wrapping_mul(n)).to_be_bytes()).collect()
        };
        let values = (0..500).map(value);
        let batch = values.map(|value: Vec<u8>| message(Topic::Orders, "a", value)).collect();
        partition = append(&log, batch).await[0].partition;
    }
    let mut subscription = log.subscribe("g", &TOPICS).await.unwrap();
    let first = take(&mut *subscription, 1).await;
    ack(&mut *subscription, &first);
    delete_records(&kafka, partition, 9_999).await;
    let (records, error) = end(&mut *subscription).await;
    assert!(records.len() < 9_998, "{} records came", records.len());
    assert!(records.windows(2).all(|pair| pair[0].at.offset + 1 == pair[1].at.offset));
    told(&error, "but everything below 9999 has been removed");
    subscription.close().await.unwrap_err();
    is_lost(&log, "everything below 9999 has been removed").await;
}

#[tokio::test]
async fn partitions_added_while_the_group_was_away() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    group_at(&log, 4).await;
    add_partition(&kafka, &log).await;
    is_lost(&log, "had 3 partitions when the group was last there and has 4 now").await;
}

#[tokio::test]
async fn partitions_added_under_a_member() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    group_at(&log, 4).await;
    let mut subscription = log.subscribe("g", &TOPICS).await.unwrap();
    append(&log, numbered(Topic::Orders, "a", 4..5)).await;
    take(&mut *subscription, 1).await;
    add_partition(&kafka, &log).await;
    let (_, error) = end(&mut *subscription).await;
    told(&error, "had 3 partitions");
}

#[tokio::test]
async fn a_topic_made_anew_while_the_group_was_away_is_read_from_its_beginning() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    group_at(&log, 4).await;
    make_anew(&kafka, &log).await;
    append(&log, numbered(Topic::Orders, "b", 0..10)).await;
    // The cluster forgets with a topic where its groups were.
    let mut subscription = log.subscribe("g", &TOPICS).await.unwrap();
    let expected: Vec<_> = (0..10).map(|n| format!("b:{n}")).collect();
    assert_eq!(values(&take(&mut *subscription, 10).await), expected);
    subscription.close().await.unwrap();
}

#[tokio::test]
async fn positions_of_another_topic_of_that_name() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    let partition = append(&log, numbered(Topic::Orders, "a", 0..10)).await[0].partition;
    commit(&kafka, partition, 11, "");
    is_lost(&log, "offset 11, but the partition ends at 10").await;
    commit(&kafka, partition, 5, "partitions=3 last=4 at=1700000000000000");
    is_lost(&log, "the record at offset 4 is not the one that the group read there").await;
    let record = &log.read(Topic::Orders, partition, 4, 1).await.unwrap()[0];
    let right = format!("partitions=3 last=4 at={}", record.appended_at.as_micros());
    for good in [&right, "", "of another tool"] {
        commit(&kafka, partition, 5, good);
        let mut subscription = log.subscribe("g", &TOPICS).await.unwrap();
        assert_eq!(values(&take(&mut *subscription, 1).await), ["a:5"]);
        subscription.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_topic_made_anew_under_a_member_shorter_than_it_was() {
    let Some(kafka) = Kafka::start().await else { return };
    made_anew_under_a_member(&kafka, 2).await;
}

#[tokio::test]
async fn a_topic_made_anew_under_a_member_and_grown_past_where_it_is() {
    let Some(kafka) = Kafka::start().await else { return };
    made_anew_under_a_member(&kafka, 20).await;
}

async fn made_anew_under_a_member(kafka: &Kafka, count: usize) {
    let log = kafka.log().await;
    append(&log, numbered(Topic::Orders, "a", 0..10)).await;
    let mut subscription = log.subscribe("g", &TOPICS).await.unwrap();
    let records = take(&mut *subscription, 10).await;
    ack(&mut *subscription, &records);
    let kept =
        async { while log.lag("g", &TOPICS).await.unwrap().iter().any(|lag| lag.events > 0) {} };
    tokio::time::timeout(SOON, kept).await.unwrap();
    make_anew(kafka, &log).await;
    append(&log, numbered(Topic::Orders, "a", 100..100 + count)).await;
    let (_, error) = end(&mut *subscription).await;
    told(&error, "made anew");
    drop(subscription);
    let lost = async {
        loop {
            match log.subscribe("g", &TOPICS).await {
                Err(error) => return error,
                Ok(joined) => joined.close().await.unwrap(),
            }
        }
    };
    let lost = tokio::time::timeout(Duration::from_secs(5), lost).await.expect("it stays lost");
    told(&lost, "made anew");
    log.reset("g", &TOPICS, Reset::Earliest).await.unwrap();
    let mut subscription = log.subscribe("g", &TOPICS).await.unwrap();
    let expected: Vec<_> = (100..100 + count).map(|n| format!("a:{n}")).collect();
    assert_eq!(values(&take(&mut *subscription, count).await), expected);
    subscription.close().await.unwrap();
}

#[tokio::test]
async fn a_topic_deleted_under_a_member() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    append(&log, numbered(Topic::Orders, "a", 0..10)).await;
    let mut subscription = log.subscribe("g", &TOPICS).await.unwrap();
    take(&mut *subscription, 10).await;
    kafka.delete_topic(Topic::Orders).await;
    let (_, error) = end(&mut *subscription).await;
    let text = error.to_string();
    assert!(matches!(error, Error::Lost(_)) && text.contains("does not exist"), "{text}");
}
