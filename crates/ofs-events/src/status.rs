//! The status of an order: a function of the facts known, never of the order in which they came.

use crate::Payload;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where an order stands.
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
pub enum OrderStatus {
    /// Accepted; payment is not decided.
    Created,
    /// Paid; not scheduled yet.
    PaymentAuthorized,
    /// Declined. Final.
    PaymentFailed,
    /// Paid and scheduled. Final.
    FulfillmentScheduled,
}

impl OrderStatus {
    /// Every status, in the order of an order's life.
    pub const ALL: [OrderStatus; 4] =
        [Self::Created, Self::PaymentAuthorized, Self::PaymentFailed, Self::FulfillmentScheduled];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::PaymentAuthorized => "PaymentAuthorized",
            Self::PaymentFailed => "PaymentFailed",
            Self::FulfillmentScheduled => "FulfillmentScheduled",
        }
    }

    /// Whether nothing more will happen to the order.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::PaymentFailed | Self::FulfillmentScheduled)
    }

    /// The status that follows from what is known, whatever came first.
    #[must_use]
    pub const fn from_facts(facts: Facts) -> Self {
        match facts {
            Facts { scheduled: true, .. } => Self::FulfillmentScheduled,
            Facts { failed: true, .. } => Self::PaymentFailed,
            Facts { authorized: true, .. } => Self::PaymentAuthorized,
            Facts { .. } => Self::Created,
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is known about an order's progress: a set, so adding a fact twice changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Its payment was authorized.
    pub authorized: bool,
    /// Its payment was declined.
    pub failed: bool,
    /// It was scheduled for fulfillment.
    pub scheduled: bool,
}

/// Two facts about one order that cannot both be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the order's payment is already {known}, this event says {claimed}")]
pub struct Contradiction {
    known: &'static str,
    claimed: &'static str,
}

impl Facts {
    /// The facts after `payload`.
    ///
    /// # Errors
    /// [`Contradiction`] if a declined payment meets an authorized or scheduled one.
    pub fn with(mut self, payload: &Payload) -> Result<Self, Contradiction> {
        match payload {
            Payload::OrderCreatedV1(_) => return Ok(self),
            Payload::PaymentAuthorizedV1(_) => self.authorized = true,
            Payload::PaymentFailedV1(_) => self.failed = true,
            Payload::FulfillmentScheduledV1(_) => self.scheduled = true,
        }
        if !(self.failed && (self.authorized || self.scheduled)) {
            return Ok(self);
        }
        Err(match payload {
            Payload::PaymentFailedV1(_) => {
                Contradiction { known: "authorized", claimed: "it failed" }
            }
            _ => Contradiction { known: "failed", claimed: "it was authorized" },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FulfillmentScheduledV1, OrderId, PaymentAuthorizedV1, PaymentFailedV1, Timestamp};
    use uuid::Uuid;

    fn payloads() -> [Payload; 3] {
        let order_id = OrderId(Uuid::nil());
        [
            Payload::PaymentAuthorizedV1(PaymentAuthorizedV1 { order_id }),
            Payload::FulfillmentScheduledV1(FulfillmentScheduledV1 {
                order_id,
                eta_utc: Timestamp::from_micros(0),
            }),
            Payload::PaymentFailedV1(PaymentFailedV1 { order_id, reason: String::new() }),
        ]
    }

    #[test]
    fn status_does_not_depend_on_the_order_of_arrival() -> Result<(), Contradiction> {
        let [paid, scheduled, _] = payloads();
        let one = Facts::default().with(&paid)?.with(&scheduled)?;
        let other = Facts::default().with(&scheduled)?.with(&paid)?.with(&paid)?;
        assert_eq!(OrderStatus::from_facts(one), OrderStatus::FulfillmentScheduled);
        assert_eq!(one, other);
        Ok(())
    }

    #[test]
    fn authorized_and_failed_contradict_each_other_both_ways() -> Result<(), Contradiction> {
        let [paid, scheduled, failed] = payloads();
        assert!(Facts::default().with(&paid)?.with(&failed).is_err());
        assert!(Facts::default().with(&failed)?.with(&paid).is_err());
        assert!(Facts::default().with(&failed)?.with(&scheduled).is_err());
        Ok(())
    }
}
