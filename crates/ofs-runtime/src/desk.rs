//! Desk: a service's window on its own books, for its HTTP routes. No log, no other owner.

use crate::books::Books;
use crate::context::Context;
use crate::decision::Decision;
use crate::index::{self, Found, Index, Query};
use crate::pipeline::{Freshness, Pipeline};
use crate::problem::Problem;
use crate::store::{self, Commit, Loaded, Once, Record, Wanted};
use ofs_events::Key;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use uuid::Uuid;

/// How often a command is decided again because its key was changed at the same moment.
const ROUNDS: usize = 16;

/// What a route may use.
#[derive(Clone)]
pub struct Desk {
    books: Books,
    index: Arc<dyn Index>,
    pipeline: Arc<Pipeline>,
}

/// A request that its client can repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The idempotency key, the client's own.
    pub key: String,
    /// Stands for the request's content; the same key with another one is an error of the client's.
    pub fingerprint: Uuid,
}

/// The answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// It is done, and durable.
    New(T),
    /// It was done when the request came first, and nothing was done now.
    Repeated(T),
}

/// What a command is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject {
    /// A key that was drawn for this command: nothing is known of it, so nothing has to be read.
    New(Key),
    /// A key of which there may be a record.
    Known(Key),
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

    /// Decides a command over the current record of its subject, and makes what was decided durable
    /// together with the answer to `request`. If the record is changed at the same moment, it is decided
    /// again, so commands on one key take effect one after the other. A client who goes away cancels
    /// nothing.
    ///
    /// # Errors
    /// What `decide` refuses; a request whose key belongs to another one; a store that cannot take it.
    pub async fn decide<T, D>(
        &self,
        subject: Subject,
        request: Option<Request>,
        decide: D,
    ) -> Result<Answer<T>, Problem>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        D: FnMut(Option<&Record>) -> Result<(Decision, T), Problem> + Send + 'static,
    {
        let desk = self.clone();
        let task = tokio::spawn(async move { desk.run(subject, request, decide).await });
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a command ended unexpectedly");
            Err(Problem::internal())
        })
    }

    async fn run<T: Serialize + DeserializeOwned>(
        &self,
        subject: Subject,
        request: Option<Request>,
        mut decide: impl FnMut(Option<&Record>) -> Result<(Decision, T), Problem>,
    ) -> Result<Answer<T>, Problem> {
        let (Subject::New(key) | Subject::Known(key)) = subject;
        let mut loaded = match (subject, &request) {
            (Subject::New(_), None) => Loaded::default(),
            _ => self.load(key, request.as_ref()).await?,
        };
        for _ in 0..ROUNDS {
            if let (Some(once), Some(request)) = (&loaded.once, &request) {
                return repeated(once, request).map(Answer::Repeated);
            }
            let before = loaded.records.get(&key);
            let (decision, answer) = decide(before)?;
            let mut commit = self.books.blank();
            let record = decision.write(&mut commit, (key, before), false, self.context().now());
            commit.once = request.as_ref().map(|request| request.answered(&answer));
            if self.commit(commit, subject, &record).await? {
                return Ok(Answer::New(answer));
            }
            loaded = self.load(key, request.as_ref()).await?;
        }
        Err(store::Error::Stale.into())
    }

    async fn load(&self, key: Key, request: Option<&Request>) -> Result<Loaded, store::Error> {
        let once = request.map(|request| request.key.clone());
        self.books.load(Wanted { keys: vec![key], once, ..Wanted::default() }).await
    }

    /// Commits; `false` if it has to be decided again. The outcome of a commit may have been unknown,
    /// and it was run again: then it conflicts with itself. What is stored under a key that was drawn for
    /// this command came from it, whatever has happened to it since.
    async fn commit(
        &self,
        commit: Commit,
        subject: Subject,
        record: &Record,
    ) -> Result<bool, store::Error> {
        match self.books.commit(commit).await {
            Ok(()) => Ok(true),
            Err(store::Error::Stale | store::Error::KeyTaken) => {
                let Some(stored) = self.record(record.key).await? else { return Ok(false) };
                Ok(matches!(subject, Subject::New(_)) || is_same(&stored, record))
            }
            Err(error) => Err(error),
        }
    }

    /// Searches the read model.
    ///
    /// # Errors
    /// If the index cannot be reached.
    pub async fn search(&self, query: &Query) -> Result<Found, index::Error> {
        self.index.search(query).await
    }

    /// How far behind the read model is; none while that is unknown.
    pub async fn freshness(&self) -> Option<Freshness> {
        self.pipeline.freshness().await
    }
}

impl Request {
    fn answered<T: Serialize>(&self, answer: &T) -> Once {
        let answer = serde_json::to_string(answer).unwrap_or_default();
        Once { key: self.key.clone(), fingerprint: self.fingerprint, answer }
    }
}

fn repeated<T: DeserializeOwned>(once: &Once, request: &Request) -> Result<T, Problem> {
    if once.fingerprint != request.fingerprint {
        return Err(Problem::idempotency_key_reused());
    }
    serde_json::from_str(&once.answer).map_err(|error| {
        tracing::error!(%error, "the stored answer cannot be read");
        Problem::internal()
    })
}

fn is_same(stored: &Record, record: &Record) -> bool {
    let body = |record: &Record| record.read::<serde_json::Value>().ok();
    (stored.version, stored.updated_at) == (record.version, record.updated_at)
        && body(stored) == body(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_repeated_only_to_the_same_request() {
        let request = Request { key: "k".to_owned(), fingerprint: Uuid::from_u128(3) };
        let once = request.answered(&"the answer");
        assert_eq!(repeated::<String>(&once, &request).ok().as_deref(), Some("the answer"));
        let other = Request { fingerprint: Uuid::from_u128(4), ..request };
        assert_eq!(repeated::<String>(&once, &other).expect_err("refused").status, 422);
    }
}
