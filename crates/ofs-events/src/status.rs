//! The status of an order: a function of the facts known, never of the order in which they came.

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

    /// The status with this name on the wire.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether nothing more will happen to the order.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::PaymentFailed | Self::FulfillmentScheduled)
    }

    /// Whether it is where an order should end: nothing more will happen, and nothing went wrong.
    #[must_use]
    pub const fn is_good_end(self) -> bool {
        matches!(self, Self::FulfillmentScheduled)
    }

    /// The status that follows from what is known, whatever came first.
    #[must_use]
    pub const fn from_facts(facts: Facts) -> Self {
        let Facts { authorized, failed, scheduled } = facts;
        match (scheduled, failed, authorized) {
            (true, _, _) => Self::FulfillmentScheduled,
            (false, true, _) => Self::PaymentFailed,
            (false, false, true) => Self::PaymentAuthorized,
            (false, false, false) => Self::Created,
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What an event says about an order's progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Its payment was authorized.
    Authorized,
    /// Its payment was declined.
    Failed,
    /// It was scheduled for fulfillment.
    Scheduled,
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
    /// The facts after `fact`.
    ///
    /// # Errors
    /// [`Contradiction`] if a declined payment meets an authorized or scheduled one.
    pub const fn with(mut self, fact: Fact) -> Result<Self, Contradiction> {
        match fact {
            Fact::Authorized => self.authorized = true,
            Fact::Failed => self.failed = true,
            Fact::Scheduled => self.scheduled = true,
        }
        if !(self.failed && (self.authorized || self.scheduled)) {
            return Ok(self);
        }
        Err(match fact {
            Fact::Failed => Contradiction { known: "authorized", claimed: "it failed" },
            Fact::Authorized | Fact::Scheduled => {
                Contradiction { known: "failed", claimed: "it was authorized" }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Fact::{Authorized, Failed, Scheduled};

    #[test]
    fn status_does_not_depend_on_the_order_of_arrival() -> Result<(), Contradiction> {
        let one = Facts::default().with(Authorized)?.with(Scheduled)?;
        let other = Facts::default().with(Scheduled)?.with(Authorized)?.with(Authorized)?;
        assert_eq!(OrderStatus::from_facts(one), OrderStatus::FulfillmentScheduled);
        assert_eq!(one, other);
        Ok(())
    }

    #[test]
    fn authorized_and_failed_contradict_each_other_both_ways() -> Result<(), Contradiction> {
        assert!(Facts::default().with(Authorized)?.with(Failed).is_err());
        assert!(Facts::default().with(Failed)?.with(Authorized).is_err());
        assert!(Facts::default().with(Failed)?.with(Scheduled).is_err());
        Ok(())
    }
}
