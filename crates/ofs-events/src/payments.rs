//! Events on `payments.events.v1`, published by payment-worker: one of the two per order.

use crate::OrderId;
use serde::{Deserialize, Serialize};

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
