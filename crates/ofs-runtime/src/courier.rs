//! Couriers: one loop, three lanes. Take the lease, read what is owed, deliver it, settle it.
//!
//! The lease only keeps couriers from doing the same work; nothing here is wrong without it.

mod deadline;
mod delivery;
mod held;
mod index;
mod outbox;
mod rest;
mod retry;

pub use deadline::DeadlineLane;
pub use index::IndexLane;
pub(crate) use index::document;
pub use outbox::OutboxLane;
pub(crate) use retry::HOLD;
pub use retry::RetryLane;

use crate::backoff::Backoff;
use crate::books::Books;
use crate::budget::{BATCH_BYTES, Weight};
use crate::metrics::{self, Delivered};
use crate::store::{Commit, Error, Guard, Settled};
use async_trait::async_trait;
use delivery::{Deliveries, Told};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use held::Held;
use ofs_events::Key;
use rest::Rest;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(5);
const RENEW: Duration = Duration::from_millis(1500);
const POLL_MOST: Duration = Duration::from_millis(250);
const POLL_LEAST: Duration = Duration::from_millis(5);

/// How long deliveries go on after the stop; the next process does the rest, also what has arrived and
/// is not settled.
const FINISH: Duration = Duration::from_secs(5);

/// Parts of deliveries that are settled at once.
const SETTLING: usize = 8;

/// The most keys that are left out when reading on; beyond it nothing is started until one of them
/// may be tried again.
const SKIPPED: usize = 8 * 1024;

/// What a delivery, or a part of it, came to.
#[derive(Debug, Default)]
pub struct Receipt {
    /// What is done and can be settled, each with its key.
    pub settled: Vec<(Key, Settled)>,
    /// What must still hold when it is settled.
    pub guards: Vec<Guard>,
    /// What has to be tried again later, and why.
    pub failed: Vec<(Key, String)>,
    /// Whether the lane itself leaves out what would fail as this has failed.
    pub left_out: bool,
}

/// Where a lane tells what became of its items.
pub type Receipts = mpsc::UnboundedSender<Receipt>;

/// What has arrived being settled; answers with its keys.
type Settling = BoxFuture<'static, Vec<Key>>;

/// What a courier carries, and where to.
#[async_trait]
pub trait Lane: Send + Sync + 'static {
    /// One thing owed.
    type Item: Weight + Send + 'static;

    /// The lane's name in metrics and leases.
    const NAME: metrics::LaneName;
    /// Lease slots that processes share; 0 where the reading itself claims.
    const SLOTS: u16;
    /// The most items of one delivery; it weighs no more than a batch does.
    const BATCH: usize;

    /// What rings when there is new work.
    fn bell<'a>(&self, books: &'a Books) -> &'a Notify;

    /// The key an item is about; the next item of the key waits until this one is settled.
    fn key(item: &Self::Item) -> Key;

    /// Reads what is owed in `slots`, leaving out the keys in `skip`.
    async fn owed(
        &self,
        books: &Books,
        slots: &[u16],
        skip: &[Key],
    ) -> Result<Vec<Self::Item>, Error>;

    /// Delivers; does not settle. Tells what became of each item as soon as it is known; one of which
    /// nothing is told needs nothing more.
    async fn deliver(&self, books: &Books, items: Vec<Self::Item>, receipts: &Receipts);
}

/// The courier of one service in one lane.
pub struct Courier<L> {
    books: Books,
    lane: Arc<L>,
    holder: Uuid,
    slots: Vec<u16>,
    renewed: Option<Instant>,
    held: Held,
    /// Whether the last look was for what has not failed.
    untried_first: bool,
    rest: Rest,
    /// When nothing new is started any more; none before the stop.
    end: Option<Instant>,
}

impl<L: Lane> Courier<L> {
    /// The courier that carries what `books` owe in `lane`.
    #[must_use]
    pub fn new(books: Books, lane: L) -> Self {
        let holder = books.context().new_id();
        let (slots, held, rest) = (Vec::new(), Held::default(), Rest::default());
        let lane = Arc::new(lane);
        let (renewed, untried_first, end) = (None, false, None);
        Self { books, lane, holder, slots, renewed, held, untried_first, rest, end }
    }

    /// Carries until `stop`, then for a short time what is under way or still owed, and gives its lease
    /// back.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut under_way = Deliveries::default();
        let mut settling = FuturesUnordered::new();
        let mut idle = Backoff::new(POLL_LEAST, POLL_MOST);
        let mut backoff = Backoff::world();
        loop {
            if stop.is_cancelled() {
                self.end.get_or_insert_with(|| Instant::now() + FINISH);
            }
            let has_room = settling.len() < SETTLING;
            let started = match self.start(&mut under_way, has_room).await {
                Ok(started) => started,
                Err(error) => {
                    warn!(service = self.books.owner(), lane = L::NAME.label(), %error, "cannot see what is owed");
                    if stop.is_cancelled() {
                        break;
                    }
                    backoff.pause().await;
                    continue;
                }
            };
            if started {
                backoff.reset();
                idle.reset();
                continue;
            }
            let ended = self.end.is_some_and(|end| end <= Instant::now());
            let is_done = under_way.is_empty() && settling.is_empty();
            if ended || (is_done && stop.is_cancelled()) {
                break;
            }
            let wait = idle.next_wait();
            tokio::select! {
                Some(told) = under_way.next(), if !under_way.is_empty() => {
                    settling.extend(self.take_in(told, &stop));
                }
                Some(keys) = settling.next(), if !settling.is_empty() => self.held.release(&keys),
                () = self.lane.bell(&self.books).notified() => idle.reset(),
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
        self.give_back().await;
    }

    /// Starts one delivery, if something is owed and there is room; `false` if not.
    async fn start(&mut self, under_way: &mut Deliveries, has_room: bool) -> Result<bool, Error> {
        self.renew().await?;
        let ended = self.end.is_some_and(|end| end <= Instant::now());
        if ended
            || !has_room
            || !self.rest.is_over()
            || !under_way.has_room(self.rest.is_failing(), L::BATCH)
            || (L::SLOTS > 0 && self.slots.is_empty())
        {
            return Ok(false);
        }
        let items = self.look().await?;
        if items.is_empty() {
            return Ok(false);
        }
        let keys: Vec<Key> = items.iter().map(L::key).collect();
        let untried = self.held.take(&keys);
        let weighed: Vec<_> = items.iter().map(|item| (L::key(item), item.weight())).collect();
        let weight: usize = weighed.iter().map(|(_, weight)| weight).sum();
        let full = items.len() >= L::BATCH || weight >= BATCH_BYTES / 2;
        let (lane, books) = (Arc::clone(&self.lane), self.books.clone());
        under_way.start(weighed, (untried, full), |receipts| async move {
            lane.deliver(&books, items, &receipts).await;
        });
        Ok(true)
    }

    /// What to deliver next. By turns, what has not failed goes ahead of what has, however much of that
    /// is due again.
    async fn look(&mut self) -> Result<Vec<L::Item>, Error> {
        let (now, all) = (self.held.now(), self.held.all());
        if now.len() >= SKIPPED {
            return Ok(Vec::new());
        }
        self.untried_first = !self.untried_first && all.len() > now.len() && all.len() < SKIPPED;
        if self.untried_first {
            let untried = self.lane.owed(&self.books, &self.slots, &all).await?;
            if !untried.is_empty() {
                return Ok(untried);
            }
        }
        self.lane.owed(&self.books, &self.slots, &now).await
    }

    /// Notes what became of a part of a delivery; what has arrived is to be settled.
    fn take_in(&mut self, told: Told, stop: &CancellationToken) -> Option<Settling> {
        let Told { keys, untried, receipt, .. } = told;
        let (arrived, failed) = (!receipt.settled.is_empty(), receipt.failed.len());
        let is_refused = |(_, settled): &&(_, Settled)| matches!(settled, Settled::Refused { .. });
        let refused = receipt.settled.iter().filter(is_refused).count();
        for (outcome, n) in [
            (Delivered::Settled, receipt.settled.len() - refused),
            (Delivered::Refused, refused),
            (Delivered::Later, failed),
        ] {
            let n = u64::try_from(n).unwrap_or(u64::MAX);
            metrics::delivered(self.books.owner(), L::NAME, outcome, n);
        }
        self.held.fail(receipt.failed.iter().map(|(key, _)| *key));
        if let Some((key, reason)) = receipt.failed.first()
            && let Some(failures) = self.rest.failed(failed)
        {
            let service = self.books.owner();
            warn!(service, lane = L::NAME.label(), failures, %key, reason, "not delivered, will try again");
        }
        if arrived {
            self.rest.arrived();
        } else if failed > 0 && !receipt.left_out && (untried || self.rest.is_failing()) {
            self.rest.begin();
        }
        if !arrived {
            self.held.release(&keys);
            return None;
        }
        let settled = receipt.settled.into_iter().map(|(_, settled)| settled).collect();
        let (books, stop) = (self.books.clone(), stop.clone());
        let settling = settle::<L>(books, settled, receipt.guards, stop).map(|()| keys);
        Some(settling.boxed())
    }

    async fn renew(&mut self) -> Result<(), Error> {
        if L::SLOTS == 0 || self.renewed.is_some_and(|at| at.elapsed() < RENEW) {
            return Ok(());
        }
        let asked = Instant::now();
        let name = self.lease_name();
        match self.books.store().lease(&name, self.holder, L::SLOTS, LEASE).await {
            Ok(slots) => self.slots = slots,
            Err(Error::Full) if self.renewed.is_some_and(|at| at.elapsed() < LEASE) => {}
            Err(error) => {
                self.slots.clear();
                return Err(error);
            }
        }
        self.renewed = Some(asked);
        Ok(())
    }

    async fn give_back(&self) {
        if L::SLOTS > 0 {
            let name = self.lease_name();
            let _ = self.books.store().lease(&name, self.holder, L::SLOTS, Duration::ZERO).await;
        }
    }

    fn lease_name(&self) -> String {
        format!("{}/{}", L::NAME.label(), self.books.owner())
    }
}

/// Settles together; if another process settled some of it, one by one; and if what it was delivered
/// under has changed, or the store cannot be reached when the courier stops, not at all: then it
/// is still owed, and is delivered again.
async fn settle<L: Lane>(
    books: Books,
    settled: Vec<Settled>,
    guards: Vec<Guard>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::world();
    let commit = |settled| Commit { settled, guards: guards.clone(), ..books.blank() };
    loop {
        match books.commit(commit(settled.clone())).await {
            Ok(()) => return,
            Err(Error::Unavailable(_) | Error::Full) => {
                if stop.run_until_cancelled(backoff.pause()).await.is_none() {
                    return;
                }
            }
            Err(Error::Stale) if settled.len() > 1 => {
                // Under other guards each of them would fail.
                let nothing = commit(Vec::new());
                if !guards.is_empty() && books.commit(nothing).await.is_err() {
                    return;
                }
                for one in settled {
                    let _ = books.commit(commit(vec![one])).await;
                }
                return;
            }
            Err(Error::Stale) => return,
            Err(error) => {
                error!(service = books.owner(), lane = L::NAME.label(), %error, "cannot settle");
                return;
            }
        }
    }
}
