//! Desk: a service's window on its own books, for its HTTP routes. No log, no other owner.

use crate::books::Books;
use crate::context::Context;
use crate::index::{self, Found, Index, Query};
use crate::log::Message;
use crate::pipeline::{Freshness, Pipeline};
use crate::store::{self, Once, Record, Wanted};
use ofs_events::{Event, Key};
use std::sync::Arc;

/// What a route may use.
#[derive(Clone)]
pub struct Desk {
    books: Books,
    index: Arc<dyn Index>,
    pipeline: Arc<Pipeline>,
}

/// A decision of a route: one record, and the events that follow from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The record to be written.
    pub record: Record,
    /// Events for the outbox, in order.
    pub events: Vec<Event>,
    /// The request's idempotency key with the answer it gets.
    pub once: Option<Once>,
}

/// What became of a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executed {
    /// It is durable.
    Done,
    /// Its idempotency key was answered before: this is the answer, and nothing was written.
    Answered(Once),
}

impl From<&Event> for Message {
    fn from(event: &Event) -> Self {
        Message {
            topic: event.payload.topic(),
            key: Some(event.key().to_string().into()),
            event_id: Some(event.id),
            headers: event.headers(),
            value: event.encode().into(),
        }
    }
}

impl Desk {
    /// The desk over `books`.
    #[must_use]
    pub fn new(books: Books, index: Arc<dyn Index>, pipeline: Arc<Pipeline>) -> Self {
        Self { books, index, pipeline }
    }

    /// The service's source of time and ids.
    #[must_use]
    pub const fn context(&self) -> &Context {
        self.books.context()
    }

    /// The service's record of one key.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn record(&self, key: Key) -> Result<Option<Record>, store::Error> {
        let mut loaded = self.books.load(Wanted { keys: vec![key], ..Wanted::default() }).await?;
        Ok(loaded.records.remove(&key))
    }

    /// The answer given to an idempotency key, if there was one.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn once(&self, key: &str) -> Result<Option<Once>, store::Error> {
        let wanted = Wanted { once: Some(key.to_owned()), ..Wanted::default() };
        Ok(self.books.load(wanted).await?.once)
    }

    /// Makes `command` durable, in a task that a client who goes away cannot cancel.
    ///
    /// # Errors
    /// [`store::Error::Stale`] if the record has changed meanwhile; else if the store cannot take it now.
    pub async fn execute(&self, command: Command) -> Result<Executed, store::Error> {
        let desk = self.clone();
        let task = tokio::spawn(async move { desk.commit(command).await });
        task.await.unwrap_or_else(|error| Err(store::Error::Unavailable(error.to_string())))
    }

    async fn commit(&self, command: Command) -> Result<Executed, store::Error> {
        let mut commit = self.books.blank();
        commit.outgoing = command.events.iter().map(Message::from).collect();
        commit.records = vec![command.record.clone()];
        commit.once = command.once;
        let key = commit.once.as_ref().map(|once| once.key.clone());
        match (self.books.commit(commit).await, key) {
            (Ok(()), _) => Ok(Executed::Done),
            (Err(store::Error::KeyTaken), Some(key)) => {
                let once = self.once(&key).await?;
                once.map(Executed::Answered).ok_or(store::Error::Stale)
            }
            (Err(store::Error::Stale), _) if self.is_stored(&command.record).await? => {
                Ok(Executed::Done)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// After a commit whose outcome was unknown and that was run again: had it succeeded?
    async fn is_stored(&self, record: &Record) -> Result<bool, store::Error> {
        let stored = self.record(record.key).await?;
        Ok(stored.is_some_and(|stored| {
            stored.version == record.version && stored.updated_at == record.updated_at
        }))
    }

    /// Searches the read model.
    ///
    /// # Errors
    /// If the index cannot be reached.
    pub async fn search(&self, query: &Query) -> Result<Found, index::Error> {
        self.index.search(query).await
    }

    /// How far behind the read model is; none while that cannot be told.
    pub async fn freshness(&self) -> Option<Freshness> {
        self.pipeline.freshness().await
    }
}
