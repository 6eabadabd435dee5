//! Records that other clients wrote, which may be anything.

use crate::log::cluster::Kafka;
use crate::log::{append, message, take};
use ofs_events::Topic;
use ofs_runtime::log::Log;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

#[tokio::test]
async fn records_of_other_clients_come_through_whatever_they_lack() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    let producer: FutureProducer = kafka.foreign().create().unwrap();
    let topic = kafka.topic(Topic::Orders);
    let to = || FutureRecord::<str, str>::to(&topic).partition(1);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "none", value: None::<&str> })
        .insert(Header { key: "binary", value: Some(&b"\xff\xfe"[..]) })
        .insert(Header { key: "text", value: Some("kept") });
    for record in [
        to(),
        to().key("key"),
        to().payload("value").headers(headers),
        to().key("old").payload("value").timestamp(7),
    ] {
        producer.send(record, Duration::from_secs(10)).await.unwrap();
    }
    let mut subscription = log.subscribe("g", &[Topic::Orders]).await.unwrap();
    let records = take(&mut *subscription, 4).await;
    subscription.close().await.unwrap();
    assert_eq!(log.read(Topic::Orders, 1, 0, 10).await.unwrap(), records);
    let seen: Vec<_> = records.iter().map(|r| (r.key.as_deref(), &r.value[..])).collect();
    let expected: [(Option<&[u8]>, &[u8]); 4] =
        [(None, b""), (Some(b"key"), b""), (None, b"value"), (Some(b"old"), b"value")];
    assert_eq!(seen, expected);
    assert_eq!(records[2].headers, [("text".to_owned(), "kept".to_owned())]);
    assert!(records[0].headers.is_empty());
    assert_eq!(records[3].appended_at.as_micros(), 7000);
}

#[tokio::test]
async fn a_header_name_that_is_no_text_stops_nobody() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    produce_raw(&kafka, &kafka.topic(Topic::Orders), &[b"\xff\xfe", b"fine"]);
    let at = append(&log, vec![message(Topic::Orders, "a", "after it")]).await[0];
    let mut subscription = log.subscribe("g", &[Topic::Orders]).await.unwrap();
    let records = take(&mut *subscription, 2).await;
    subscription.close().await.unwrap();
    let odd = records.iter().find(|record| record.at != at).unwrap();
    assert_eq!(odd.value, "raw");
    assert_eq!(odd.headers, [("fine".to_owned(), "v".to_owned())]);
}

/// Writes the record `raw` with these header names into partition 0, in the cluster's own protocol:
/// no client library lets a name through that is no text.
fn produce_raw(kafka: &Kafka, topic: &str, header_names: &[&[u8]]) {
    let mut record = vec![0, 0, 0, 1, 6];
    record.extend(b"raw");
    record.push(zigzag(header_names.len()));
    for name in header_names {
        record.push(zigzag(name.len()));
        record.extend(*name);
        record.extend([2, b'v']);
    }
    let mut body = vec![0; 2 + 4];
    body.extend([0; 16]);
    body.extend([0xff; 8 + 2 + 4]);
    body.extend([0, 0, 0, 1, zigzag(record.len())]);
    body.extend(&record);
    // Partition leader epoch, magic 2, checksum.
    let mut batch = vec![0xff, 0xff, 0xff, 0xff, 2];
    batch.extend(crc32c(&body).to_be_bytes());
    batch.extend(&body);
    let mut set = vec![0; 8];
    set.extend(length(batch.len()));
    set.extend(&batch);

    // Produce, version 3: no transaction, acks from all, one topic, one partition.
    let mut request = vec![0, 0, 0, 3, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    request.extend(5000_u32.to_be_bytes());
    request.extend(length(1));
    request.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
    request.extend(topic.as_bytes());
    request.extend(length(1));
    request.extend(length(0));
    request.extend(length(set.len()));
    request.extend(&set);

    let mut socket = TcpStream::connect(kafka.brokers.split(',').next().unwrap()).unwrap();
    socket.write_all(&length(request.len())).unwrap();
    socket.write_all(&request).unwrap();
    let mut size = [0; 4];
    socket.read_exact(&mut size).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    socket.read_exact(&mut answer).unwrap();
    // Correlation, topics, name, partitions, partition, then the error.
    let error = &answer[4 + 4 + 2 + topic.len() + 4 + 4..][..2];
    assert_eq!(error, [0, 0], "the broker took it");
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap().to_be_bytes()
}

/// A small number as Kafka writes it inside a record.
fn zigzag(number: usize) -> u8 {
    u8::try_from(number * 2).ok().filter(|n| *n < 128).unwrap()
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
    })
}
