//! The three topics. Each has one publisher; each record's key is the order id.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A topic of the log, named as on Kafka.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
pub enum Topic {
    /// Published by order-service.
    #[serde(rename = "orders.events.v1")]
    Orders,
    /// Published by payment-worker.
    #[serde(rename = "payments.events.v1")]
    Payments,
    /// Published by fulfillment-worker.
    #[serde(rename = "fulfillment.events.v1")]
    Fulfillment,
}

impl Topic {
    /// Every topic, in the order in which an order passes through them.
    pub const ALL: [Topic; 3] = [Topic::Orders, Topic::Payments, Topic::Fulfillment];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Topic::Orders => "orders.events.v1",
            Topic::Payments => "payments.events.v1",
            Topic::Fulfillment => "fulfillment.events.v1",
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no topic.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no topic is called `{0}`; topics are orders.events.v1, payments.events.v1, fulfillment.events.v1"
)]
pub struct UnknownTopic(pub String);

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Topic::ALL.into_iter().find(|topic| topic.name() == text);
        known.ok_or_else(|| UnknownTopic(text.to_owned()))
    }
}
