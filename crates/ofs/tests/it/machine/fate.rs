//! What befalls one process, and engines that let it happen: at one of its calls it dies, panics,
//! freezes or is refused, before the call is done or after.

use async_trait::async_trait;
use ofs_events::{Key, Topic};
use ofs_runtime::index::{self, Document, Found, Index, Put, Query, Schema, Status, Target};
use ofs_runtime::log::{
    self, Bounds, Lag, Layout, Log, Message, Position, Reader, Received, Reset, Subscription,
};
use ofs_runtime::store::{
    self, Claim, Commit, Depths, Due, Loaded, LogEnd, Oldest, Outgoing, Overdue, Parked,
    ParkedFilter, ParkedPage, Record, Refused, Retention, Store, Wanted,
};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Dies,
    Panics,
    /// Until it is thawed, by when others have done its work.
    Freezes,
    IsRefused,
}

#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    pub kind: Kind,
    /// At its `nth` call, from 0.
    pub nth: usize,
    /// Whether the call is done all the same.
    pub done: bool,
}

pub struct Fate {
    trouble: Option<Trouble>,
    calls: AtomicUsize,
    /// It is dead or frozen.
    pub reached: CancellationToken,
    pub thawed: CancellationToken,
}

impl Fate {
    pub fn new(trouble: Option<Trouble>) -> Arc<Self> {
        let (reached, thawed) = Default::default();
        Arc::new(Self { trouble, calls: AtomicUsize::new(0), reached, thawed })
    }

    pub fn is(&self, kind: Kind) -> bool {
        self.trouble.is_some_and(|trouble| trouble.kind == kind)
    }

    /// `life`, all of which stands still once it is struck, until it is thawed.
    pub async fn lead(self: Arc<Self>, life: impl Future<Output = ()>) {
        let mut life = std::pin::pin!(life);
        tokio::select! {
            biased;
            () = self.reached.cancelled() => {}
            () = &mut life => return,
        }
        self.thawed.cancelled().await;
        life.await;
    }

    async fn meets<T>(&self, call: impl Future<Output = T>, refused: impl FnOnce() -> T) -> T {
        let nth = self.calls.fetch_add(1, Ordering::Relaxed);
        let Some(trouble) = self.trouble.filter(|trouble| trouble.nth == nth) else {
            return call.await;
        };
        if !trouble.done {
            return if self.strikes(trouble.kind).await { refused() } else { call.await };
        }
        let answer = call.await;
        if self.strikes(trouble.kind).await { refused() } else { answer }
    }

    /// Whether what is refused is done all the same.
    fn was_done(&self) -> bool {
        self.trouble.is_some_and(|trouble| trouble.done)
    }

    /// Answers whether the call is refused.
    async fn strikes(&self, kind: Kind) -> bool {
        match kind {
            Kind::IsRefused => true,
            // Without a word from the panic hook: it is what is wanted.
            Kind::Panics => std::panic::resume_unwind(Box::new(refused())),
            Kind::Dies => {
                self.reached.cancel();
                std::future::pending().await
            }
            Kind::Freezes => {
                self.reached.cancel();
                self.thawed.cancelled().await;
                false
            }
        }
    }
}

fn refused() -> String {
    "refused by a test".to_owned()
}

/// An engine as one process sees it.
pub struct Fated<E: ?Sized> {
    pub engine: Arc<E>,
    pub fate: Arc<Fate>,
}

impl Fated<dyn Store> {
    async fn meets<T>(
        &self,
        call: impl Future<Output = Result<T, store::Error>>,
    ) -> Result<T, store::Error> {
        self.fate.meets(call, || Err(store::Error::Unavailable(refused()))).await
    }
}

#[async_trait]
impl Store for Fated<dyn Store> {
    fn instance(&self) -> Uuid {
        self.engine.instance()
    }

    async fn load(&self, wanted: &Wanted) -> Result<Loaded, store::Error> {
        self.meets(self.engine.load(wanted)).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), store::Error> {
        self.meets(self.engine.commit(commit)).await
    }

    async fn outbox(
        &self,
        owner: &str,
        shards: &[u16],
        skip: &[Key],
        from: u64,
        max: usize,
    ) -> Result<Vec<Outgoing>, store::Error> {
        self.meets(self.engine.outbox(owner, shards, skip, from, max)).await
    }

    async fn unindexed(
        &self,
        owner: &str,
        skip: &[Key],
        max: usize,
    ) -> Result<Vec<Record>, store::Error> {
        self.meets(self.engine.unindexed(owner, skip, max)).await
    }

    async fn refused(
        &self,
        owner: &str,
        after: Option<Key>,
        max: usize,
    ) -> Result<Vec<Refused>, store::Error> {
        self.engine.refused(owner, after, max).await
    }

    async fn due(
        &self,
        owner: &str,
        hold: Duration,
        max: usize,
    ) -> Result<Vec<Parked>, store::Error> {
        self.meets(self.engine.due(owner, hold, max)).await
    }

    /// A claim that excludes no other process: nothing may be wrong without it.
    async fn claim(&self, id: u64, _: Duration) -> Result<Claim, store::Error> {
        self.meets(self.engine.claim(id, Duration::ZERO)).await
    }

    async fn parked(&self, filter: &ParkedFilter, max: usize) -> Result<ParkedPage, store::Error> {
        self.engine.parked(filter, max).await
    }

    async fn parked_event(&self, id: u64) -> Result<Option<Parked>, store::Error> {
        self.engine.parked_event(id).await
    }

    async fn passed(
        &self,
        owner: &str,
        shards: &[u16],
        max: usize,
    ) -> Result<Vec<Due>, store::Error> {
        self.meets(self.engine.passed(owner, shards, max)).await
    }

    async fn overdue(&self) -> Result<Vec<Overdue>, store::Error> {
        self.engine.overdue().await
    }

    async fn scan(
        &self,
        owner: &str,
        after: Option<Key>,
        max: usize,
    ) -> Result<Vec<Record>, store::Error> {
        self.meets(self.engine.scan(owner, after, max)).await
    }

    async fn newest_outgoing(&self) -> Result<u64, store::Error> {
        self.engine.newest_outgoing().await
    }

    fn commits(&self) -> u64 {
        self.engine.commits()
    }

    async fn log_ends(&self) -> Result<Vec<LogEnd>, store::Error> {
        self.engine.log_ends().await
    }

    async fn note_log_ends(&self, ends: &[Position]) -> Result<u64, store::Error> {
        self.engine.note_log_ends(ends).await
    }

    async fn set_log_ends(&self, ends: &[LogEnd]) -> Result<(), store::Error> {
        self.engine.set_log_ends(ends).await
    }

    async fn oldest_owed(&self, owner: &str) -> Result<Oldest, store::Error> {
        self.engine.oldest_owed(owner).await
    }

    async fn depths(&self) -> Result<Depths, store::Error> {
        self.engine.depths().await
    }

    /// A lease that everybody gets: nothing may be wrong without it.
    async fn lease(
        &self,
        _: &str,
        _: Uuid,
        slots: u16,
        _: Duration,
    ) -> Result<Vec<u16>, store::Error> {
        Ok((0..slots).collect())
    }

    async fn tidy(&self, retention: Retention) -> Result<bool, store::Error> {
        self.engine.tidy(retention).await
    }
}

#[async_trait]
impl Index for Fated<dyn Index> {
    fn schema(&self) -> &Schema {
        self.engine.schema()
    }

    async fn put(&self, target: &Target, documents: &[Document]) -> Result<Vec<Put>, index::Error> {
        let put = async { (true, self.engine.put(target, documents).await) };
        let (done, answer) =
            self.fate.meets(put, || (false, Err(index::Error::Unavailable(refused())))).await;
        if done || self.fate.was_done() {
            return answer;
        }
        Ok(vec![Put::Refused(refused()); documents.len()])
    }

    async fn search(&self, query: &Query) -> Result<Found, index::Error> {
        self.engine.search(query).await
    }

    async fn scan(
        &self,
        target: &Target,
        after: Option<Key>,
        max: usize,
    ) -> Result<Vec<Document>, index::Error> {
        self.engine.scan(target, after, max).await
    }

    async fn status(&self) -> Result<Status, index::Error> {
        self.engine.status().await
    }

    async fn begin(&self, target: &Target, instance: Uuid) -> Result<(), index::Error> {
        let begin = self.engine.begin(target, instance);
        self.fate.meets(begin, || Err(index::Error::Unavailable(refused()))).await
    }

    async fn finish(&self, target: &Target) -> Result<(), index::Error> {
        let finish = self.engine.finish(target);
        self.fate.meets(finish, || Err(index::Error::Unavailable(refused()))).await
    }
}

/// A log that keeps an event as often as it is appended, and gives a subscriber what the test says.
pub struct Scripted {
    pub log: Fated<dyn Log>,
    pub script: Mutex<Option<Script>>,
    /// Where it takes nothing at present.
    pub closed: HashSet<Part>,
}

/// A part of the log: the orders with an even or an odd id, on one topic.
pub type Part = (Topic, bool);

#[async_trait]
impl Log for Scripted {
    async fn append(&self, messages: Vec<Message>) -> Vec<Result<Position, log::Error>> {
        let count = messages.len();
        let again = messages.into_iter().map(|message| Message { event_id: None, ..message });
        let append = self.log.engine.append(again.collect());
        let refused = || vec![Err(log::Error::Unavailable(refused())); count];
        self.log.fate.meets(append, refused).await
    }

    fn takes(&self, topic: Topic, key: Key) -> bool {
        !self.closed.contains(&(topic, key.0.as_u128().is_multiple_of(2)))
    }

    async fn subscribe(&self, _: &str, _: &[Topic]) -> Result<Box<dyn Subscription>, log::Error> {
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(Box::new(script.expect("a worker subscribes once")))
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        max: usize,
    ) -> Result<Vec<Received>, log::Error> {
        self.log.engine.read(topic, partition, offset, max).await
    }

    async fn bounds(&self, topic: Topic) -> Result<Vec<Bounds>, log::Error> {
        self.log.engine.bounds(topic).await
    }

    async fn lag(&self, group: &str, topics: &[Topic]) -> Result<Vec<Lag>, log::Error> {
        self.log.engine.lag(group, topics).await
    }

    async fn reset(&self, group: &str, topics: &[Topic], to: Reset) -> Result<(), log::Error> {
        self.log.engine.reset(group, topics, to).await
    }

    async fn groups(&self) -> Result<Vec<String>, log::Error> {
        self.log.engine.groups().await
    }

    async fn forget(&self, group: &str) -> Result<(), log::Error> {
        self.log.engine.forget(group).await
    }

    async fn prepare(&self, layout: Layout) -> Result<(), log::Error> {
        self.log.engine.prepare(layout).await
    }

    async fn tidy(&self, kept: Duration, readers: &[Reader]) -> Result<(), log::Error> {
        self.log.engine.tidy(kept, readers).await
    }
}

/// What a subscriber is given, batch by batch; once it is done with all of it, `stop` is rung.
pub struct Script {
    pub batches: VecDeque<Vec<Received>>,
    pub ends: HashMap<Topic, u64>,
    pub stop: CancellationToken,
}

#[async_trait]
impl Subscription for Script {
    async fn next(&mut self, _: usize) -> Result<log::Polled, log::Error> {
        match self.batches.pop_front() {
            Some(batch) => Ok(log::Polled::Records(batch)),
            None => std::future::pending().await,
        }
    }

    fn ack(&mut self, done: &[(Topic, u32, u64)]) {
        for (topic, _, offset) in done {
            if self.ends.get(topic) == Some(offset) {
                self.ends.remove(topic);
            }
        }
        if self.ends.is_empty() {
            self.stop.cancel();
        }
    }

    async fn close(self: Box<Self>) -> Result<(), log::Error> {
        Ok(())
    }
}
