//! Events on `orders.events.v1`, published by order-service.

use super::events;
use crate::{Fact, OrderId};
use serde::{Deserialize, Serialize};

events! {
    /// What order-service tells.
    OrderEvent on Orders by order_id: OrderCreatedV1 = 1
}

impl OrderEvent {
    const fn fact(&self) -> Option<Fact> {
        match self {
            OrderEvent::OrderCreatedV1(_) => None,
        }
    }
}

/// An order was accepted. Texts are trimmed, `country` is two upper-case letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderCreatedV1 {
    /// The order.
    pub order_id: OrderId,
    /// Where the customer is reached; personal data, never logged.
    pub customer_email: String,
    /// What was ordered.
    pub product_type: String,
    /// ISO 3166-1 alpha-2 shape, not checked against the list.
    pub country: String,
    /// Steers the simulated payment; null in an order that says nothing about it.
    #[serde(default)]
    pub payment_scenario: Option<String>,
}
