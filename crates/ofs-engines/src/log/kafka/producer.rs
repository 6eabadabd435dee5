//! Appending: one idempotent producer for the process, all messages of a batch at once.
//!
//! Keeps no order across batches: the courier has only the lowest row of a key in flight.

use super::client::{Cluster, PATIENCE, Talk, retire, unavailable};
use super::gates::Gates;
use futures::StreamExt;
use futures::stream::{self, BoxStream, FuturesUnordered};
use ofs_events::Topic;
use ofs_runtime::log::{Appended, Error, Message, Position};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::future_producer::Delivery;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long to wait for room in the local queue before looking again; it empties within the time
/// that batches linger, unless the cluster is down.
const BACK_PRESSURE: Duration = Duration::from_millis(5);
/// How often to look: as long as a message may take.
const LOOKS: u32 = 2000;

type Client = FutureProducer<Talk>;

/// Appends to the log; cheap to clone.
#[derive(Clone)]
pub(super) struct Producer {
    cluster: Arc<Cluster>,
    client: Arc<Kept>,
    gates: Arc<Gates>,
}

/// The client, and what it has to say; none if the last one was given up.
struct Kept(Mutex<Option<(Client, Talk)>>);

impl Drop for Kept {
    fn drop(&mut self) {
        retire(self.lock().take());
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Option<(Client, Talk)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Producer {
    pub fn new(cluster: Arc<Cluster>) -> Result<Self, KafkaError> {
        let client = Arc::new(Kept(Mutex::new(Some(connect(&cluster)?))));
        Ok(Self { cluster, client, gates: Arc::default() })
    }

    /// Whether what has this key may be appended now.
    pub fn takes(&self, topic: Topic, key: &[u8]) -> bool {
        self.gates.is_open(topic, key)
    }

    /// The client, a new one if it has given up for good (an idempotent producer that lost track of
    /// what is written refuses everything from then on), or another login is to be used.
    fn client(&self) -> Result<Client, Error> {
        let mut kept = self.client.lock();
        if let Some((client, talk)) = kept.as_ref() {
            if let Some((code, reason)) = client.client().fatal_error() {
                tracing::warn!(%code, reason, "the kafka producer gave up, making a new one");
            } else if !talk.is_outdated() {
                return Ok(client.clone());
            }
        }
        let new = connect(&self.cluster).map_err(|error| unavailable(&error))?;
        let client = new.0.clone();
        retire(kept.replace(new));
        Ok(client)
    }

    /// Lets go of `client`, unless another one has taken its place already.
    fn give_up(&self, client: &Client) {
        let mut kept = self.client.lock();
        let is_kept =
            |(kept, _): &(Client, Talk)| kept.client().native_ptr() == client.client().native_ptr();
        if kept.as_ref().is_some_and(is_kept) {
            retire(kept.take());
        }
    }

    /// Appends `messages`; each answer as soon as it is known, in any order.
    pub fn append(&self, messages: Vec<Message>) -> BoxStream<'_, Appended> {
        let answers = async move {
            let client = match self.client() {
                Ok(client) => client,
                Err(error) => {
                    let refused = (0..messages.len()).map(move |n| (n, Err(error.clone())));
                    return stream::iter(refused).boxed();
                }
            };
            let answers = FuturesUnordered::new();
            for (n, message) in messages.into_iter().enumerate() {
                let topic = message.topic;
                if let Some(key) = &message.key {
                    self.gates.pass(topic, key);
                }
                let sent = self.send(&client, message).await;
                let client = client.clone();
                answers.push(async move { (n, self.answer(&client, topic, sent).await) });
            }
            answers.boxed()
        };
        stream::once(answers).flatten().boxed()
    }

    async fn answer(
        &self,
        client: &Client,
        topic: Topic,
        sent: Result<DeliveryFuture, KafkaError>,
    ) -> Result<Position, Error> {
        let delivered = match sent {
            Ok(delivery) => match delivery.await {
                Ok(delivered) => delivered.map_err(|(error, message)| (error, Some(message))),
                Err(_) => Err((KafkaError::Canceled, None)),
            },
            Err(error) => Err((error, None)),
        };
        match delivered {
            Ok(Delivery { partition, offset, .. }) => {
                let (partition, offset) = (partition.cast_unsigned(), offset.cast_unsigned());
                self.gates.arrived((topic, partition));
                Ok(Position { topic, partition, offset })
            }
            Err((error, message)) => {
                let timed_out =
                    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut);
                let partition = message.and_then(|message| u32::try_from(message.partition()).ok());
                if timed_out && let Some(partition) = partition {
                    self.gates.failed((topic, partition));
                }
                if timed_out || is_unknown(&error) {
                    self.look_for(client, topic, timed_out.then_some(partition));
                }
                Err(refused(self.cluster.names.topic(topic), &error))
            }
        }
    }

    /// The client takes a topic for missing for a long time unless it is told to look again. It is given
    /// up if it gets no answer, or one that does not explain why a message has timed out.
    fn look_for(&self, client: &Client, topic: Topic, timed_out: Option<Option<u32>>) {
        if !self.gates.ask(topic) {
            return;
        }
        let (this, client) = (self.clone(), client.clone());
        tokio::task::spawn_blocking(move || {
            let name = this.cluster.names.topic(topic);
            let found = client.client().fetch_metadata(Some(name), PATIENCE).ok();
            let partitions = found.as_ref().and_then(|found| found.topics().first());
            let partitions = partitions.map_or(&[][..], MetadataTopic::partitions);
            let is_led = |partition: u32| {
                let mut partitions = partitions.iter();
                partitions.any(|p| p.id().cast_unsigned() == partition && p.leader() >= 0)
            };
            let unexplained = timed_out.is_some_and(|partition| partition.is_none_or(is_led));
            if found.is_none() || unexplained {
                this.give_up(&client);
            }
            this.gates.answer(topic, u32::try_from(partitions.len()).ok().filter(|n| *n > 0));
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

fn connect(cluster: &Cluster) -> Result<(Client, Talk), KafkaError> {
    let talk = cluster.talk();
    Ok((cluster.producer().create_with_context(talk.clone())?, talk))
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
