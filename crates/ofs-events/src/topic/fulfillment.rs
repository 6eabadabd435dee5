//! Events on `fulfillment.events.v1`, published by fulfillment-worker.

use super::events;
use crate::{Fact, OrderId, Timestamp};
use serde::{Deserialize, Serialize};

events! {
    /// What fulfillment-worker tells.
    FulfillmentEvent on Fulfillment by order_id: FulfillmentScheduledV1 = 1
}

impl FulfillmentEvent {
    const fn fact(&self) -> Option<Fact> {
        match self {
            FulfillmentEvent::FulfillmentScheduledV1(_) => Some(Fact::Scheduled),
        }
    }
}

/// A paid order has a shipment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FulfillmentScheduledV1 {
    /// The order that will be shipped.
    pub order_id: OrderId,
    /// When it is expected to arrive.
    pub eta_utc: Timestamp,
}
