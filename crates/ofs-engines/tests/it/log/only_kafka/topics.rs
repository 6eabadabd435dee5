//! Opening, and the topics: how they are made, and what is said where they are not.

use crate::log::cluster::Kafka;
use crate::log::{append, message, numbered};
use bytes::Bytes;
use ofs_engines::log::kafka::{KafkaLog, OpenError};
use ofs_events::Topic;
use ofs_runtime::log::{Error, Layout, Log, Message, Reset};
use rdkafka::admin::{AdminOptions, NewPartitions, ResourceSpecifier};
use std::time::Duration;

fn refused(url: &str) -> OpenError {
    KafkaLog::open(url).err().expect(url)
}

#[tokio::test]
async fn a_broker_that_does_not_answer_may_come_back() {
    // Port 1 is reserved; nobody listens there.
    let error = refused("kafka://127.0.0.1:1");
    assert!(matches!(&error, OpenError::Unreachable { brokers, .. } if brokers == "127.0.0.1:1"));
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_url_that_is_wrong_will_not_come_right() {
    let error = refused("kafka://me:secret@host:9092?sasl=plain&colour=red");
    assert!(!error.is_transient());
    assert!(error.to_string().contains("colour") && !format!("{error:?}").contains("secret"));
}

#[cfg(not(feature = "kafka-tls"))]
#[tokio::test]
async fn a_build_without_tls_says_how_to_get_one_that_has_it() {
    for (url, what) in [
        ("kafka+tls://host:9093", "TLS"),
        ("kafka://me:secret@host:9092", "SCRAM-SHA-512"),
        ("kafka://me:secret@host:9092?sasl=oauthbearer", "OAUTHBEARER"),
    ] {
        let error = refused(url);
        let text = error.to_string();
        assert!(!error.is_transient() && text.contains(what), "{text}");
        assert!(text.contains("--features kafka-tls") && !text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn without_topics_every_way_in_says_how_to_make_them() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.connect().await;
    let one = || vec![message(Topic::Orders, "a", "x")];
    let told = |error: Error| {
        let text = error.to_string();
        assert!(
            text.contains(&kafka.topic(Topic::Orders)) && text.contains("ofs migrate"),
            "{text}"
        );
    };
    told(log.append(one()).await.remove(0).unwrap_err());
    told(log.subscribe("g", &[Topic::Orders]).await.err().unwrap());
    told(log.bounds(Topic::Orders).await.unwrap_err());
    told(log.lag("g", &[Topic::Orders]).await.unwrap_err());
    told(log.reset("g", &[Topic::Orders], Reset::Earliest).await.unwrap_err());
    told(log.check(kafka.layout).await.unwrap_err());
    log.prepare(kafka.layout).await.unwrap();
    log.check(kafka.layout).await.unwrap();
    let appended = async { while log.append(one()).await[0].is_err() {} };
    tokio::time::timeout(Duration::from_secs(10), appended).await.unwrap();
}

#[tokio::test]
async fn topics_are_made_so_that_they_lose_nothing() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    assert_eq!(log.bounds(Topic::Payments).await.unwrap().len(), 3);
    let topic = kafka.topic(Topic::Payments);
    let asked = [ResourceSpecifier::Topic(&topic)];
    let admin = kafka.admin();
    let found = admin.describe_configs(&asked, &AdminOptions::new()).await.unwrap().remove(0);
    let found = found.unwrap();
    for (name, value) in [
        ("retention.ms", "-1"),
        ("cleanup.policy", "delete"),
        ("unclean.leader.election.enable", "false"),
    ] {
        assert_eq!(found.get(name).and_then(|e| e.value.as_deref()), Some(value), "{name}");
    }
}

#[tokio::test]
async fn another_number_of_partitions_is_refused() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    let other = Layout { partitions: 4, replication: 0 };
    for refused in [log.prepare(other).await, log.check(other).await] {
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("has 3 partitions and 4 are asked for"), "{text}");
    }
    let topic = kafka.topic(Topic::Fulfillment);
    let more = [NewPartitions::new(&topic, 4)];
    kafka.admin().create_partitions(&more, &AdminOptions::new()).await.unwrap();
    let refused = async {
        while log.prepare(kafka.layout).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::log::SOON, refused).await.unwrap();
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_and_its_neighbours_are_not() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    let sized = |size| message(Topic::Orders, "a", Bytes::from(vec![b'x'; size]));
    let answers = log.append(vec![sized(10), sized(3 << 20), sized(1 << 20)]).await;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(matches!(&answers[1], Err(Error::Refused(_))), "{answers:?}");
}

#[tokio::test]
async fn a_batch_beyond_the_local_queue_is_appended_whole() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    // More bytes than the client holds at once.
    let value = Bytes::from(vec![b'x'; 1 << 20]);
    let batch: Vec<Message> =
        (0..100).map(|_| message(Topic::Orders, "a", value.clone())).collect();
    let positions = append(&log, batch).await;
    assert!(positions.windows(2).all(|pair| pair[0].offset + 1 == pair[1].offset));
}

#[tokio::test]
async fn a_key_has_the_partition_that_java_clients_give_it() {
    let Some(mut kafka) = Kafka::start().await else { return };
    kafka.layout.partitions = 7;
    let log = kafka.log().await;
    // Key and hash, from the tests of the Java client.
    for (key, hash) in [
        ("21", -973_932_308_i32),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ] {
        let at = append(&log, numbered(Topic::Orders, key, 0..1)).await[0];
        assert_eq!(at.partition, (hash & 0x7fff_ffff).cast_unsigned() % 7, "{key}");
    }
}
