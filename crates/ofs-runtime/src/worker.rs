//! Worker: reads a service's topics, decides key by key, commits, acknowledges.
//!
//! Records of different keys are handled at once and committed together; a slow one is left behind
//! and delays no other. Never writes to the log.

mod rounds;

use crate::backoff::Backoff;
use crate::books::Books;
use crate::crash;
use crate::decide::{self, Part};
use crate::log::{Log, Polled, Subscription};
use crate::metrics as figures;
use crate::pipeline::group_of;
use crate::service::Handler;
use crate::store::{Error, Loaded, Parking, Wanted};
use crate::trouble::Troubles;
use crate::window::{Item, KeyBatch, Named, Window};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use rounds::{Round, Rounds};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

/// How long a round waits for its slowest decision before it commits the others without it.
const GRACE: Duration = Duration::from_millis(5);
/// Decisions after which others of this process, such as requests, have their turn.
const BREATH: usize = 32;

/// The worker of one service.
#[derive(Clone)]
pub struct Worker {
    books: Books,
    handler: Arc<dyn Handler>,
    log: Arc<dyn Log>,
    troubles: Troubles,
    /// From then on nothing is waited for; what is not committed is done again by the next process.
    stop: CancellationToken,
}

/// A decision that took longer than its round.
type Late = BoxFuture<'static, (KeyBatch, Part)>;

impl Worker {
    /// The worker that feeds `handler` from `log` and writes to `books`. It raises a trouble while what
    /// it has to read is gone from the log.
    #[must_use]
    pub fn new(
        books: Books,
        handler: Arc<dyn Handler>,
        log: Arc<dyn Log>,
        troubles: Troubles,
    ) -> Self {
        Self { books, handler, log, troubles, stop: CancellationToken::new() }
    }

    /// Works until `stop`, then finishes what it holds, as far as the store can be reached, and
    /// leaves the group.
    pub async fn run(mut self, stop: CancellationToken) {
        self.stop = stop.clone();
        let service = self.books.owner();
        let mut backoff = Backoff::world();
        while !stop.is_cancelled() {
            let subscribed = self.log.subscribe(&group_of(service), self.handler.topics()).await;
            let result = match subscribed {
                Ok(subscription) => self.session(subscription, &stop, &mut backoff).await,
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                if let crate::log::Error::Lost(reason) = &error {
                    self.reads(Err(reason));
                }
                error!(service, %error, "cannot read the log, will try again");
                stop.run_until_cancelled(backoff.pause()).await;
            }
        }
    }

    async fn session(
        &self,
        mut subscription: Box<dyn Subscription>,
        stop: &CancellationToken,
        backoff: &mut Backoff,
    ) -> Result<(), crate::log::Error> {
        let mut window = Window::default();
        let mut rounds = Rounds::new(self);
        loop {
            let stopping = stop.is_cancelled();
            if stopping && rounds.is_empty() {
                return subscription.close().await;
            }
            let room = if rounds.has_room() { window.room() } else { 0 };
            tokio::select! {
                biased;
                Some(done) = rounds.next(), if !rounds.is_empty() => {
                    rounds.start(done.iter().filter_map(|group| window.finish(group)).collect());
                    Self::acknowledge(&mut *subscription, &mut window);
                }
                polled = subscription.next(room), if room > 0 && !stopping => match polled? {
                    Polled::Records(records) => {
                        backoff.reset();
                        self.reads(Ok(()));
                        rounds.start(window.admit(records));
                    }
                    Polled::Revoked(partitions) => window.revoke(&partitions),
                },
                () = stop.cancelled(), if !stopping => {}
            }
        }
    }

    /// Whether what there is to read can be read, or why not.
    fn reads(&self, reading: Result<(), &str>) {
        let service = self.books.owner();
        let what = format!("{service} reads the log");
        figures::reading_stopped(service, reading.is_err());
        match reading {
            Ok(()) => self.troubles.clear(&what),
            Err(reason) => self.troubles.raise(&what, reason.to_owned()),
        }
    }

    fn acknowledge(subscription: &mut dyn Subscription, window: &mut Window) {
        let done = window.done();
        if done.is_empty() {
            return;
        }
        crash::point("ack.before");
        subscription.ack(&done);
        crash::point("ack.after");
    }

    async fn round(self, groups: Vec<KeyBatch>) -> Round {
        let turns = groups.iter().map(|group| (group.key, &group.items[..]));
        let Some(loaded) = self.load(decide::wanted(turns)).await else {
            return Round::default();
        };
        let is_left = |group: &KeyBatch| group.key.is_some_and(|key| loaded.left.contains(&key));
        let (left, groups): (Vec<KeyBatch>, Vec<KeyBatch>) = groups.into_iter().partition(is_left);
        let loaded = Arc::new(loaded);
        let mut deciding: FuturesUnordered<Late> =
            groups.into_iter().map(|group| self.deciding(group, &loaded)).collect();
        let mut decided = Vec::with_capacity(deciding.len());
        let all = async {
            while let Some(one) = deciding.next().await {
                decided.push(one);
                if decided.len() % BREATH == 0 {
                    tokio::task::yield_now().await;
                }
            }
        };
        let late = tokio::time::timeout(GRACE, all).await.is_err();
        let late = if late { deciding.into_iter().collect() } else { Vec::new() };
        Round { done: self.settle(decided).await, late, left }
    }

    async fn late(self, late: Late) -> Vec<KeyBatch> {
        self.settle(vec![late.await]).await
    }

    fn deciding(&self, group: KeyBatch, loaded: &Arc<Loaded>) -> Late {
        let (books, handler, loaded) =
            (self.books.clone(), Arc::clone(&self.handler), Arc::clone(loaded));
        async move {
            let turn = (group.key, &group.items[..]);
            let part = decide::decide(books.context(), &*handler, turn, &loaded, None).await;
            (group, part)
        }
        .boxed()
    }

    /// Loads; an unreachable store is waited for. None if the worker stops meanwhile.
    async fn load(&self, wanted: Wanted) -> Option<Loaded> {
        let mut backoff = Backoff::world();
        loop {
            match self.books.load(wanted.clone()).await {
                Ok(loaded) => return Some(loaded),
                Err(error) => {
                    warn!(service = self.books.owner(), %error, "cannot load a batch, will try again");
                    self.stop.run_until_cancelled(backoff.pause()).await?;
                }
            }
        }
    }

    /// Commits what was decided, together if that works, else key by key.
    async fn settle(&self, decided: Vec<(KeyBatch, Part)>) -> Vec<KeyBatch> {
        if decided.is_empty() {
            return Vec::new();
        }
        match self.commit(decided.iter().map(|(_, part)| part)).await {
            Ok(()) => {
                self.count(decided.iter().map(|(_, part)| part));
                for (group, part) in &decided {
                    self.trace(&group.items, part);
                }
                decided.into_iter().map(|(group, _)| group).collect()
            }
            Err(Error::Unavailable(_) | Error::Full) => Vec::new(),
            Err(error) => {
                debug!(service = self.books.owner(), %error, "deciding again, key by key");
                let alone = decided.into_iter().map(|(group, _)| self.settle_alone(group));
                let settled: Vec<_> = futures::stream::iter(alone).buffered(32).collect().await;
                settled.into_iter().flatten().collect()
            }
        }
    }

    /// Decides one key again until its commit holds. If the store refuses it, its events are taken
    /// one by one, and the one that is refused alone is parked. None if the worker stops meanwhile.
    async fn settle_alone(&self, group: KeyBatch) -> Option<KeyBatch> {
        let mut at = 0;
        let mut step = group.items.len().max(1);
        while at < group.items.len() {
            let slice = at..(at + step).min(group.items.len());
            match self.try_slice(&group, slice.clone(), None).await {
                Ok(()) => at = slice.end,
                Err(Error::Rejected(_)) if step > 1 => step = 1,
                Err(Error::Rejected(reason)) => {
                    match self.try_slice(&group, slice.clone(), Some(&reason)).await {
                        Ok(()) => at = slice.end,
                        Err(error) => {
                            error!(service = self.books.owner(), %error, "cannot even park an event");
                            let pause = tokio::time::sleep(Duration::from_secs(1));
                            self.stop.run_until_cancelled(pause).await?;
                        }
                    }
                }
                Err(Error::Unavailable(_) | Error::Full) => return None,
                Err(_) => {}
            }
        }
        Some(group)
    }

    async fn try_slice(
        &self,
        group: &KeyBatch,
        slice: std::ops::Range<usize>,
        refused: Option<&str>,
    ) -> Result<(), Error> {
        let turn = (group.key, &group.items[slice]);
        let stopped = || Error::Unavailable("the worker stops".to_owned());
        let loaded = self.load(decide::wanted([turn])).await.ok_or_else(stopped)?;
        let (context, handler) = (self.books.context(), &*self.handler);
        let part = decide::decide(context, handler, turn, &loaded, refused).await;
        self.commit([&part]).await?;
        self.count([&part]);
        self.trace(turn.1, &part);
        Ok(())
    }

    /// One commit of all `parts`; a store that is unreachable or full is waited for, until the worker
    /// stops.
    async fn commit<'a>(&self, parts: impl IntoIterator<Item = &'a Part>) -> Result<(), Error> {
        let mut commit = self.books.blank();
        for part in parts {
            commit.join(part.commit.clone());
        }
        if commit == self.books.blank() {
            return Ok(());
        }
        let mut backoff = Backoff::world();
        loop {
            match self.books.commit(commit.clone()).await {
                Err(error @ (Error::Unavailable(_) | Error::Full)) => {
                    warn!(service = self.books.owner(), %error, "cannot commit a batch, will try again");
                    if self.stop.run_until_cancelled(backoff.pause()).await.is_none() {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }

    fn count<'a>(&self, parts: impl IntoIterator<Item = &'a Part>) {
        let outcomes = parts.into_iter().flat_map(|part| &part.outcomes);
        figures::settle(
            self.books.owner(),
            outcomes.map(|(topic, outcome)| (*topic, outcome.label())),
        );
    }

    fn trace(&self, items: &[Item], part: &Part) {
        let service = self.books.owner();
        for (item, (_, outcome)) in items.iter().zip(&part.outcomes) {
            let at = item.received.at;
            let Named { key, event, correlation } = Named::of(item);
            match part.commit.parked.iter().find(|parked| parked.at == at) {
                Some(Parking { reason, retry_in: None, .. }) => {
                    warn!(service, %at, key, event, correlation, reason, "parked");
                }
                Some(Parking { reason, .. }) => {
                    debug!(service, %at, key, event, correlation, reason, "parked for a while");
                }
                None => {
                    let outcome = outcome.label();
                    debug!(service, %at, key, event, correlation, outcome, "handled");
                }
            }
        }
    }
}
