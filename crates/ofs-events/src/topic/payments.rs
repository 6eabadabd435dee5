//! Events on `payments.events.v1`, published by payment-worker: one of the two per order.

use super::events;
use crate::{Fact, OrderId};
use serde::{Deserialize, Serialize};

events! {
    /// What payment-worker tells.
    PaymentEvent on Payments by order_id: PaymentAuthorizedV1 = 1, PaymentFailedV1 = 1
}

impl PaymentEvent {
    const fn fact(&self) -> Option<Fact> {
        match self {
            PaymentEvent::PaymentAuthorizedV1(_) => Some(Fact::Authorized),
            PaymentEvent::PaymentFailedV1(_) => Some(Fact::Failed),
        }
    }
}

/// The gateway authorized the payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentAuthorizedV1 {
    /// The order that is paid.
    pub order_id: OrderId,
}

/// The gateway declined the payment; the order ends here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentFailedV1 {
    /// The order that is not paid.
    pub order_id: OrderId,
    /// For people, as the gateway says it.
    pub reason: String,
}
