//! Parked events: retried automatically or on request, and discarded.

mod readable;
mod rehearsal;

pub use rehearsal::Rehearsed;

use crate::backoff;
use crate::books::Books;
use crate::courier::HOLD;
use crate::decide;
use crate::log::Received;
use crate::metrics;
use crate::service::{Delivery, Fault, Handler, Reaction};
use crate::store::{Claim, Commit, Error, Parked, ParkedState, Record, Settled, Wanted};
use crate::window::{Item, Named};
use ofs_events::{Key, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;
use tracing::{debug, error, info};

/// After this many failures of one event, every further one is logged as an error.
const ALERT_AFTER: u32 = 10;

/// Retries and discards parked events. Knows the handlers of the services in this process.
#[derive(Clone, Default)]
pub struct Retrier {
    services: HashMap<&'static str, Own>,
}

/// A service of this process.
#[derive(Clone)]
struct Own {
    books: Books,
    handler: Arc<dyn Handler>,
    rehearsal: Arc<dyn Handler>,
}

/// The outcome of a retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It was handled.
    Resolved,
    /// It failed again.
    Failed {
        /// Why, for people.
        reason: String,
    },
    /// The event with this number has to go first.
    Behind(u64),
    /// It is being retried right now.
    Busy,
    /// It is not open any more.
    Closed(ParkedState),
    /// The event does not exist.
    Unknown,
    /// This process does not run its service.
    Elsewhere {
        /// The service.
        owner: String,
    },
}

/// What discarding an event came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discarded {
    /// It is discarded.
    Done,
    /// It is being retried right now.
    Busy,
    /// It is not open any more.
    Closed(ParkedState),
    /// The event does not exist.
    Unknown,
}

impl Retrier {
    /// Adds a service of this process; its `rehearsal` is asked in a dry run.
    pub fn add(&mut self, books: Books, handler: Arc<dyn Handler>, rehearsal: Arc<dyn Handler>) {
        self.services.insert(books.owner(), Own { books, handler, rehearsal });
    }

    /// Retries the parked event `id` now, due or not.
    ///
    /// # Errors
    /// If the store cannot be reached; the event stays parked.
    pub async fn retry(&self, id: u64) -> Result<Retried, Error> {
        let Some((books, parked)) = self.find(id).await? else { return Ok(Retried::Unknown) };
        let Some(books) = books else { return Ok(Retried::Elsewhere { owner: parked.owner }) };
        match books.store().claim(id, HOLD).await? {
            Claim::Claimed(parked) => self.retry_claimed(*parked).await,
            Claim::Behind(head) => Ok(Retried::Behind(head)),
            Claim::Busy => Ok(Retried::Busy),
            Claim::Closed(state) => Ok(state.map_or(Retried::Unknown, Retried::Closed)),
        }
    }

    /// Discards the parked event `id`; events that wait behind it go on.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn discard(&self, id: u64, reason: String) -> Result<Discarded, Error> {
        let Some((books, parked)) = self.find(id).await? else { return Ok(Discarded::Unknown) };
        if parked.state != ParkedState::Parked {
            return Ok(Discarded::Closed(parked.state));
        }
        let any = self.services.values().next().map(|own| &own.books);
        let Some(books) = books.or(any) else { return Ok(Discarded::Unknown) };
        let commit = Commit {
            owner: parked.owner.clone(),
            settled: vec![Settled::Discarded(id, reason)],
            ..Commit::default()
        };
        match books.commit(commit).await {
            Ok(()) => {
                let Named { key, event, correlation } = Named::of(&read_again(&parked));
                let service = parked.owner;
                info!(service, key, event, correlation, parked = id, "discarded");
                Ok(Discarded::Done)
            }
            Err(Error::Stale) => {
                let now = books.store().parked_event(id).await?;
                Ok(now.map_or(Discarded::Unknown, |parked| match parked.state {
                    ParkedState::Parked => Discarded::Busy,
                    closed => Discarded::Closed(closed),
                }))
            }
            Err(error) => Err(error),
        }
    }

    /// Retries a claimed event once; the outcome is committed.
    pub(crate) async fn retry_claimed(&self, parked: Parked) -> Result<Retried, Error> {
        let Some(Own { books, handler, .. }) = self.services.get(parked.owner.as_str()) else {
            return Ok(Retried::Elsewhere { owner: parked.owner });
        };
        loop {
            match retry_once(books, &**handler, &parked).await {
                Err(Error::Stale) => {
                    let now = books.store().parked_event(parked.id).await?;
                    match now.map(|parked| parked.state) {
                        Some(ParkedState::Parked) => {}
                        Some(closed) => return Ok(Retried::Closed(closed)),
                        None => return Ok(Retried::Unknown),
                    }
                }
                result => return result,
            }
        }
    }

    async fn find(&self, id: u64) -> Result<Option<(Option<&Books>, Parked)>, Error> {
        let Some(Own { books: any, .. }) = self.services.values().next() else { return Ok(None) };
        let Some(parked) = any.store().parked_event(id).await? else { return Ok(None) };
        let books = self.services.get(parked.owner.as_str()).map(|own| &own.books);
        Ok(Some((books, parked)))
    }
}

fn read_again(parked: &Parked) -> Item {
    let event = &parked.event;
    Item::read(Received {
        at: event.at,
        appended_at: Timestamp::from_micros(0),
        key: event.raw_key.clone(),
        headers: Vec::new(),
        value: event.raw.clone(),
    })
}

async fn retry_once(
    books: &Books,
    handler: &dyn Handler,
    parked: &Parked,
) -> Result<Retried, Error> {
    let item = read_again(parked);
    let mut commit = books.blank();
    let result = match react(books, handler, parked, &item).await? {
        Ok((key, before, Reaction::Decide(decision))) => {
            let (subject, now) = ((key, before.as_ref()), books.context().now());
            decision.write(&mut commit, subject, handler.indexed(), now);
            Ok(())
        }
        Ok((_, _, Reaction::Ignore | Reaction::Known)) => Ok(()),
        Err(fault) => Err(fault),
    };
    let retried = settle(&mut commit, parked, result);
    match books.commit(commit).await {
        Err(Error::Rejected(reason)) => {
            let mut commit = books.blank();
            let retried = settle(&mut commit, parked, Err(Fault::Event(reason)));
            books.commit(commit).await?;
            note(books, parked, &item, &retried);
            Ok(retried)
        }
        result => {
            result?;
            note(books, parked, &item, &retried);
            Ok(retried)
        }
    }
}

/// What `handler` makes of a parked event now, and over which record.
async fn react(
    books: &Books,
    handler: &dyn Handler,
    parked: &Parked,
    item: &Item,
) -> Result<Result<(Key, Option<Record>, Reaction), Fault>, Error> {
    let event = match &item.event {
        // A build that could read it has parked it, and looks no more for what others cannot read.
        Err(error) if error.is_unknown_type() && !parked.event.unknown_type => {
            return Ok(Err(Fault::Later(error.to_string())));
        }
        Err(error) => return Ok(Err(Fault::Event(error.to_string()))),
        Ok(event) => event,
    };
    let key = event.key();
    let wanted = Wanted { keys: vec![key], ..Wanted::default() };
    let before = books.load(wanted).await?.records.remove(&key);
    let delivery = Delivery { at: parked.event.at, event };
    let reaction = decide::handle(books.context(), handler, before.as_ref(), delivery).await;
    Ok(reaction.map(|reaction| (key, before, reaction)))
}

fn settle(commit: &mut Commit, parked: &Parked, result: Result<(), Fault>) -> Retried {
    let (reason, retry_in) = match result {
        Ok(()) => {
            commit.settled.push(Settled::Resolved(parked.id));
            return Retried::Resolved;
        }
        Err(Fault::Later(reason)) => (reason, Some(backoff::retry_in(parked.attempts))),
        Err(Fault::Event(reason)) => (reason, None),
    };
    commit.settled.push(Settled::Deferred { id: parked.id, reason: reason.clone(), retry_in });
    Retried::Failed { reason }
}

fn note(books: &Books, parked: &Parked, item: &Item, retried: &Retried) {
    let (service, number, attempts) = (books.owner(), parked.id, parked.attempts);
    let Named { key, event, correlation } = Named::of(item);
    let outcome = match retried {
        Retried::Resolved => metrics::Retry::Resolved,
        _ => metrics::Retry::Failed,
    };
    metrics::retried(service, outcome);
    match retried {
        Retried::Failed { reason } if attempts >= ALERT_AFTER => {
            error!(
                service,
                key,
                event,
                correlation,
                parked = number,
                attempts,
                reason,
                "still parked"
            );
        }
        Retried::Failed { reason } => {
            debug!(
                service,
                key,
                event,
                correlation,
                parked = number,
                attempts,
                reason,
                "parked again"
            );
        }
        _ => {
            debug!(service, key, event, correlation, parked = number, attempts, "resolved");
        }
    }
}
