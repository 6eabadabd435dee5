//! What Kafka does bare: records of many orders under way at once, each kept by all copies.

use super::address::Address;
use super::client::{Cluster, retire};
use super::topics::options;
use crate::ServerUrl;
use crate::bare::{Error, GROUP, Meter, RECORDS, text};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rdkafka::admin::{AdminClient, NewTopic, TopicReplication};
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use std::time::Duration;

/// Partitions of the topic, as many as ours have.
const PARTITIONS: i32 = 12;
/// Records under way at once.
const UNDER_WAY: usize = 4096;

/// Orders a second whose records go to a topic of its own in the cluster at `url`, which is deleted
/// afterwards.
///
/// # Errors
/// If the cluster cannot be reached, or the login may make no topic.
pub async fn bare(url: ServerUrl, time: Duration) -> Result<f64, Error> {
    let address = Address::parse(url.at_start()).map_err(|reason| Error::new("Kafka", reason))?;
    let cluster = Cluster::new(address, url);
    let name = format!("{}{}", cluster.address.prefix, crate::bare::name());
    let failed = |error: KafkaError| Error::new("Kafka", error);
    let admin: AdminClient<_> =
        cluster.admin().create_with_context(cluster.talk()).map_err(failed)?;
    let topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(-1));
    let made = admin.create_topics(&[topic], &options()).await.map_err(failed)?;
    for made in made {
        made.map_err(|(_, code)| Error::new("Kafka", code))?;
    }
    let rate = append(&cluster, &name, time).await.map_err(failed);
    admin.delete_topics(&[&name], &options()).await.map_err(failed)?;
    retire(admin);
    rate
}

async fn append(cluster: &Cluster, topic: &str, time: Duration) -> Result<f64, KafkaError> {
    let producer: FutureProducer<_> = cluster.producer().create_with_context(cluster.talk())?;
    let values = RECORDS.map(|bytes| text(bytes, bytes));
    let mut under_way: FuturesUnordered<DeliveryFuture> = FuturesUnordered::new();
    let (mut meter, mut sent) = (Meter::start(time), 0_usize);
    while meter.goes_on(0) {
        for value in values.iter().cycle().take(values.len() * GROUP) {
            while under_way.len() >= UNDER_WAY {
                kept(under_way.next().await)?;
            }
            let key = (sent / values.len()).to_string();
            let record = FutureRecord::to(topic).key(&key).payload(value);
            under_way.push(producer.send_result(record).map_err(|(error, _)| error)?);
            sent += 1;
        }
    }
    while let Some(answer) = under_way.next().await {
        kept(Some(answer))?;
    }
    meter.goes_on(sent / values.len());
    retire(producer);
    Ok(meter.rate())
}

fn kept(
    answer: Option<
        Result<
            rdkafka::producer::future_producer::OwnedDeliveryResult,
            futures::channel::oneshot::Canceled,
        >,
    >,
) -> Result<(), KafkaError> {
    match answer {
        Some(Ok(Ok(_))) | None => Ok(()),
        Some(Ok(Err((error, _)))) => Err(error),
        Some(Err(_)) => Err(KafkaError::Canceled),
    }
}
