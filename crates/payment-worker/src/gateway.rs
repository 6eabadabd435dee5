//! What a payment gateway is to us: it charges once per key, however often it is asked.

use async_trait::async_trait;
use ofs_events::OrderId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Names one operation on one order, for ever; the gateway knows a repeated request by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key under which `order` is authorized. Depends on nothing else, so that a repeated
    /// attempt, by whatever process, is known as one.
    #[must_use]
    pub fn authorize(order: OrderId) -> Self {
        Self(format!("authorize-{order}"))
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is to be charged. Made from the order's event alone, so repeated requests are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The order that is paid for.
    pub order: OrderId,
    /// Steers a simulated gateway.
    pub scenario: Option<String>,
}

/// The gateway's final word on a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The money is ours.
    Authorized,
    /// It is not, and will not be.
    Declined {
        /// As the gateway says it, for people.
        reason: String,
    },
}

/// Why there is no verdict. The charge may still have happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, or answers with an error of its own.
    #[error("cannot reach the payment gateway: {0}")]
    Unavailable(String),
    /// It was not asked, because this is a dry run.
    #[error(
        "a dry run does not ask the payment gateway to charge, and it has no verdict on this order yet"
    )]
    NotAsked,
}

/// A payment gateway. Dropping a future of its methods does not undo what was asked.
#[async_trait]
pub trait Gateway: Send + Sync {
    /// How long the gateway knows a key again.
    fn key_retention(&self) -> Duration;

    /// Charges, or answers what was said before to `key`.
    ///
    /// # Errors
    /// If there is no verdict; ask again with the same key.
    async fn authorize(&self, key: &IdempotencyKey, charge: &Charge) -> Result<Verdict, Error>;

    /// The verdict on an earlier charge with `key`; none if there was no such charge.
    ///
    /// # Errors
    /// If the gateway cannot tell.
    async fn find(&self, key: &IdempotencyKey) -> Result<Option<Verdict>, Error>;
}

/// Another gateway for a dry run: tells what that one has said before, and never charges.
pub(crate) struct Rehearsing(pub Arc<dyn Gateway>);

#[async_trait]
impl Gateway for Rehearsing {
    fn key_retention(&self) -> Duration {
        self.0.key_retention()
    }

    async fn authorize(&self, key: &IdempotencyKey, _: &Charge) -> Result<Verdict, Error> {
        self.0.find(key).await?.ok_or(Error::NotAsked)
    }

    async fn find(&self, key: &IdempotencyKey) -> Result<Option<Verdict>, Error> {
        self.0.find(key).await
    }
}
