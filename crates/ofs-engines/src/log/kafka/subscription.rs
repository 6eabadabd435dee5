//! A member of a group as the worker sees it. The work is done by the member's thread.

use super::hand::Hand;
use super::member::{Member, Reports};
use async_trait::async_trait;
use ofs_events::Topic;
use ofs_runtime::log::{Error, Polled, Subscription};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a member gets to leave its group; with the cluster down it cannot.
const FAREWELL: Duration = Duration::from_secs(15);

pub(super) struct KafkaSubscription {
    hand: Arc<Hand>,
    ended: oneshot::Receiver<Result<(), Error>>,
}

impl KafkaSubscription {
    /// Starts `member` and waits until it is clear that the group can go on.
    pub async fn join(member: Member) -> Result<Self, Error> {
        let (begun, beginning) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        // Made first: if this future is dropped, the thread ends too.
        let joined = Self { hand: Arc::clone(&member.hand), ended };
        member
            .start(Reports { begun, ended: end })
            .map_err(|error| Error::Unavailable(format!("start a thread: {error}")))?;
        beginning.await.map_err(|_| gone())??;
        Ok(joined)
    }
}

fn gone() -> Error {
    Error::Unavailable("the subscription has ended".to_owned())
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn next(&mut self, max: usize) -> Result<Polled, Error> {
        self.hand.next(max).await
    }

    fn ack(&mut self, done: &[(Topic, u32, u64)]) {
        self.hand
            .ack(done.iter().map(|(topic, partition, offset)| ((*topic, *partition), *offset)));
    }

    async fn close(mut self: Box<Self>) -> Result<(), Error> {
        self.hand.stop();
        match tokio::time::timeout(FAREWELL, &mut self.ended).await {
            Ok(ended) => ended.map_err(|_| gone())?,
            Err(_) => Err(Error::Unavailable("the cluster takes no leave in time".to_owned())),
        }
    }
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        self.hand.stop();
    }
}
