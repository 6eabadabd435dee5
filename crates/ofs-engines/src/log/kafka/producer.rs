//! Appending: one idempotent producer for the process, all messages of a batch at once.
//!
//! Keeps no order across batches: the courier has only the lowest row of a key in flight.

use super::client::{Cluster, PATIENCE, Talk, retire, unavailable};
use ofs_events::Topic;
use ofs_runtime::log::{Error, Message, Position};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long to wait for room in the local queue before looking again; it empties within the time
/// that batches linger, unless the cluster is down.
const BACK_PRESSURE: Duration = Duration::from_millis(5);
/// How often to look: as long as a message may take.
const LOOKS: u32 = 2000;

type Client = FutureProducer<Talk>;

/// Appends to the log.
pub(super) struct Producer {
    cluster: Arc<Cluster>,
    /// None if the last one was given up.
    client: Mutex<Option<Client>>,
}

impl Drop for Producer {
    fn drop(&mut self) {
        retire(self.lock().take());
    }
}

impl Producer {
    pub fn new(cluster: Arc<Cluster>) -> Result<Self, KafkaError> {
        let client = Mutex::new(Some(connect(&cluster)?));
        Ok(Self { cluster, client })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client, a new one if it has given up for good: an idempotent producer that lost track of
    /// what is written refuses everything from then on.
    fn client(&self) -> Result<Client, Error> {
        let mut kept = self.lock();
        if let Some(client) = kept.as_ref() {
            let Some((code, reason)) = client.client().fatal_error() else {
                return Ok(client.clone());
            };
            tracing::warn!(%code, reason, "the kafka producer gave up, making a new one");
        }
        let new = connect(&self.cluster).map_err(|error| unavailable(&error))?;
        retire(kept.replace(new.clone()));
        Ok(new)
    }

    /// Lets go of `client`, unless another one has taken its place already.
    fn give_up(&self, client: &Client) {
        let mut kept = self.lock();
        let is_kept = |kept: &Client| kept.client().native_ptr() == client.client().native_ptr();
        if kept.as_ref().is_some_and(is_kept) {
            retire(kept.take());
        }
    }

    /// Appends `messages`, one answer each, in order.
    pub async fn append(&self, messages: Vec<Message>) -> Vec<Result<Position, Error>> {
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return vec![Err(error); messages.len()],
        };
        let mut sent = Vec::with_capacity(messages.len());
        for message in messages {
            let topic = message.topic;
            sent.push((topic, self.send(&client, message).await));
        }
        let mut answers = Vec::with_capacity(sent.len());
        for (topic, delivery) in sent {
            let answer = match delivery {
                Ok(delivery) => delivered(delivery).await,
                Err(error) => Err(error),
            };
            answers.push(match answer {
                Ok((partition, offset)) => Ok(Position { topic, partition, offset }),
                Err(error) => {
                    if is_unknown(&error) {
                        self.look_for(&client, topic);
                    }
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut) {
                        self.give_up(&client);
                    }
                    Err(refused(self.cluster.names.topic(topic), &error))
                }
            });
        }
        answers
    }

    /// The client takes a topic for missing for a long time unless it is told to look again.
    fn look_for(&self, client: &Client, topic: Topic) {
        let (client, cluster) = (client.clone(), Arc::clone(&self.cluster));
        tokio::task::spawn_blocking(move || {
            let name = cluster.names.topic(topic);
            // Whatever it finds, the next append will tell.
            let _ = client.client().fetch_metadata(Some(name), PATIENCE);
            retire(client);
        });
    }

    /// Puts one message into the client's queue; a full queue is waited for.
    async fn send(&self, client: &Client, message: Message) -> Result<DeliveryFuture, KafkaError> {
        let Message { topic, key, headers, value, .. } = message;
        let mut record = FutureRecord::<[u8], [u8]>::to(self.cluster.names.topic(topic));
        record.key = key.as_deref();
        record.payload = Some(&value[..]);
        if !headers.is_empty() {
            let room = OwnedHeaders::new_with_capacity(headers.len());
            record.headers = Some(headers.iter().fold(room, |room, (name, value)| {
                room.insert(Header { key: name, value: Some(value.as_bytes()) })
            }));
        }
        for _ in 0..LOOKS {
            match client.send_result(record) {
                Ok(delivery) => return Ok(delivery),
                Err((error, back)) if error.rdkafka_error_code() == Some(FULL) => {
                    record = back;
                    tokio::time::sleep(BACK_PRESSURE).await;
                }
                Err((error, _)) => return Err(error),
            }
        }
        Err(KafkaError::MessageProduction(FULL))
    }
}

const FULL: RDKafkaErrorCode = RDKafkaErrorCode::QueueFull;

fn connect(cluster: &Cluster) -> Result<Client, KafkaError> {
    cluster.producer().create_with_context(cluster.talk())
}

async fn delivered(delivery: DeliveryFuture) -> Result<(u32, u64), KafkaError> {
    let delivery = delivery.await.map_err(|_| KafkaError::Canceled)?.map_err(|(error, _)| error)?;
    Ok((delivery.partition.cast_unsigned(), delivery.offset.cast_unsigned()))
}

fn is_unknown(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::UnknownTopic | Code::UnknownTopicOrPartition))
}

fn refused(topic: &str, error: &KafkaError) -> Error {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(code @ (Code::MessageSizeTooLarge | Code::InvalidMessageSize)) => {
            Error::Refused(format!("the record is larger than {topic} takes ({code})"))
        }
        Some(code @ (Code::InvalidRecord | Code::InvalidTimestamp)) => {
            Error::Refused(format!("{topic} takes no such record ({code})"))
        }
        _ if is_unknown(error) => Error::Unavailable(format!(
            "topic {topic} does not exist; `ofs migrate` makes the topics"
        )),
        _ => unavailable(error),
    }
}
