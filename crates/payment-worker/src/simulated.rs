//! A payment gateway without a bank: it decides by the wire contract's rule and can misbehave.
//!
//! As a real one it knows keys again; with a ledger for ever, else the most recent ones.

use crate::gateway::{Charge, Error, Gateway, IdempotencyKey, Verdict};
use crate::ledger::Ledger;
use crate::scenario::{Behaviour, scenario};
use async_trait::async_trait;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Verdicts remembered without a ledger: at least this many, at most twice.
const REMEMBERED: usize = 20_000;

/// What is known of an order that was not charged yet.
struct Attempts {
    count: u32,
    first: Instant,
}

#[derive(Default)]
struct Memory {
    attempts: HashMap<IdempotencyKey, Attempts>,
    recent: HashMap<IdempotencyKey, Verdict>,
    older: HashMap<IdempotencyKey, Verdict>,
}

/// The simulated gateway.
#[derive(Default)]
pub struct Simulated {
    memory: Mutex<Memory>,
    ledger: Option<Arc<Ledger>>,
}

/// Why the simulated gateway could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the simulated gateway's ledger {path}: {source}")]
pub struct OpenError {
    path: String,
    source: std::io::Error,
}

impl Simulated {
    /// A gateway that writes each new charge to the file `ledger`, if one is named.
    ///
    /// # Errors
    /// If the file can neither be read nor made.
    pub fn open(ledger: Option<&Path>) -> Result<Self, OpenError> {
        let open = |path: &Path| {
            let named = |source| OpenError { path: path.display().to_string(), source };
            Ledger::open(path).map(Arc::new).map_err(named)
        };
        Ok(Self { memory: Mutex::default(), ledger: ledger.map(open).transpose()? })
    }

    fn memory<T>(&self, work: impl FnOnce(&mut Memory) -> T) -> T {
        work(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn charge(
        &self,
        key: &IdempotencyKey,
        charge: &Charge,
        verdict: Verdict,
    ) -> Result<Verdict, Error> {
        let Some(ledger) = self.ledger.clone() else {
            return Ok(self.memory(|memory| memory.charge(key, verdict)));
        };
        let (own, order) = (key.clone(), charge.order);
        let task = tokio::task::spawn_blocking(move || ledger.charge(&own, order, &verdict));
        let verdict = written(task.await)?;
        self.memory(|memory| memory.attempts.remove(key));
        Ok(verdict)
    }
}

fn written<T>(done: Result<std::io::Result<T>, tokio::task::JoinError>) -> Result<T, Error> {
    let unavailable = |error: String| Error::Unavailable(format!("its ledger fails: {error}"));
    done.map_err(|error| unavailable(error.to_string()))?
        .map_err(|error| unavailable(error.to_string()))
}

impl Memory {
    fn find(&self, key: &IdempotencyKey) -> Option<Verdict> {
        self.recent.get(key).or_else(|| self.older.get(key)).cloned()
    }

    fn charge(&mut self, key: &IdempotencyKey, verdict: Verdict) -> Verdict {
        self.attempts.remove(key);
        if let Some(known) = self.find(key) {
            return known;
        }
        if self.recent.len() >= REMEMBERED {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(key.clone(), verdict.clone());
        verdict
    }

    /// Counts one more attempt: how many there were, and how long ago the first was.
    fn attempt(&mut self, key: &IdempotencyKey) -> (u32, Duration) {
        let new = || Attempts { count: 0, first: Instant::now() };
        let attempts = self.attempts.entry(key.clone()).or_insert_with(new);
        attempts.count = attempts.count.saturating_add(1);
        (attempts.count, attempts.first.elapsed())
    }
}

#[async_trait]
impl Gateway for Simulated {
    fn key_retention(&self) -> Duration {
        Duration::from_secs(24 * 60 * 60)
    }

    async fn authorize(&self, key: &IdempotencyKey, charge: &Charge) -> Result<Verdict, Error> {
        let (behaviour, verdict) = scenario(charge);
        if behaviour == Behaviour::Prompt {
            return self.charge(key, charge, verdict).await;
        }
        if let Some(known) = self.find(key).await? {
            self.memory(|memory| memory.attempts.remove(key));
            return Ok(known);
        }
        let (attempt, since_first) = self.memory(|memory| memory.attempt(key));
        match behaviour {
            Behaviour::Slow(wait) => tokio::time::sleep(wait.saturating_sub(since_first)).await,
            Behaviour::Silent(times) if attempt <= times => std::future::pending().await,
            Behaviour::Down(times) if attempt <= times => {
                return Err(Error::Unavailable("503 Service Unavailable".to_owned()));
            }
            Behaviour::LostAnswer => {
                self.charge(key, charge, verdict).await?;
                return Err(Error::Unavailable(
                    "the connection broke before the answer".to_owned(),
                ));
            }
            Behaviour::Prompt | Behaviour::Silent(_) | Behaviour::Down(_) => {}
        }
        self.charge(key, charge, verdict).await
    }

    async fn find(&self, key: &IdempotencyKey) -> Result<Option<Verdict>, Error> {
        let Some(ledger) = self.ledger.clone() else {
            return Ok(self.memory(|memory| memory.find(key)));
        };
        let key = key.clone();
        written(tokio::task::spawn_blocking(move || ledger.find(&key)).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ofs_events::OrderId;
    use tokio::time::timeout;
    use uuid::Uuid;

    fn asked(scenario: &str) -> (IdempotencyKey, Charge) {
        let order = OrderId(Uuid::from_u128(1));
        (IdempotencyKey::authorize(order), Charge { order, scenario: Some(scenario.to_owned()) })
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_gateway_answers_after_so_many_attempts() {
        let gateway = Simulated::default();
        let (key, charge) = asked("sim:timeout:3");
        let patience = Duration::from_secs(1);
        for _ in 0..3 {
            assert!(timeout(patience, gateway.authorize(&key, &charge)).await.is_err());
            assert_eq!(gateway.find(&key).await, Ok(None));
        }
        let answer = timeout(patience, gateway.authorize(&key, &charge)).await;
        assert_eq!(answer.expect("in time"), Ok(Verdict::Authorized));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_gateway_goes_on_while_nobody_waits() {
        let gateway = Simulated::default();
        let (key, charge) = asked("sim:slow:2s");
        let patience = Duration::from_secs(1);
        assert!(timeout(patience, gateway.authorize(&key, &charge)).await.is_err());
        tokio::time::advance(Duration::from_millis(500)).await;
        let answer = timeout(patience, gateway.authorize(&key, &charge)).await;
        assert_eq!(answer.expect("in time"), Ok(Verdict::Authorized));
    }

    #[tokio::test]
    async fn a_gateway_that_is_down_comes_back_after_so_many_attempts() {
        let gateway = Simulated::default();
        let (key, charge) = asked("sim:down:5");
        for _ in 0..5 {
            assert!(gateway.authorize(&key, &charge).await.is_err());
        }
        assert_eq!(gateway.authorize(&key, &charge).await, Ok(Verdict::Authorized));
    }

    #[tokio::test]
    async fn a_lost_answer_is_found_and_charged_once() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("ledger");
        for gateway in [Simulated::default(), Simulated::open(Some(&path)).expect("open")] {
            let (key, charge) = asked("sim:lost-answer");
            assert_eq!(gateway.find(&key).await, Ok(None));
            assert!(gateway.authorize(&key, &charge).await.is_err());
            assert_eq!(gateway.find(&key).await, Ok(Some(Verdict::Authorized)));
            assert_eq!(gateway.authorize(&key, &charge).await, Ok(Verdict::Authorized));
        }
        let restarted = Simulated::open(Some(&path)).expect("open");
        let (key, charge) = asked("sim:lost-answer");
        assert_eq!(restarted.authorize(&key, &charge).await, Ok(Verdict::Authorized));
        assert_eq!(std::fs::read_to_string(&path).expect("ledger").lines().count(), 1);
    }

    #[test]
    fn memory_without_a_ledger_is_bounded() {
        let mut memory = Memory::default();
        for number in 0..50_000 {
            let key = IdempotencyKey::authorize(OrderId(Uuid::from_u128(number)));
            memory.attempt(&key);
            memory.charge(&key, Verdict::Authorized);
        }
        assert!(memory.recent.len() + memory.older.len() <= 2 * REMEMBERED);
        assert!(memory.attempts.is_empty());
    }
}
