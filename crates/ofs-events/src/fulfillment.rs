//! Events on `fulfillment.events.v1`, published by fulfillment-worker.

use crate::{OrderId, Timestamp};
use serde::{Deserialize, Serialize};

/// A paid order has a shipment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FulfillmentScheduledV1 {
    /// The order that will be shipped.
    pub order_id: OrderId,
    /// When it is expected to arrive.
    pub eta_utc: Timestamp,
}
