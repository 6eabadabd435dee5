//! The language of the house: what services say to each other, and nothing about how it travels.
//!
//! Envelope, topics, ids, times, order status, and one file per topic's events. No I/O, no clock.

mod decode;
mod envelope;
mod fulfillment;
mod id;
mod orders;
mod payments;
mod status;
mod time;
mod topic;

pub use decode::{DecodeError, MAX_RECORD_BYTES};
pub use envelope::{Event, HEADER_CORRELATION_ID, HEADER_EVENT_TYPE, Payload};
pub use fulfillment::FulfillmentScheduledV1;
pub use id::{CorrelationId, EventId, Key, OrderId};
pub use orders::OrderCreatedV1;
pub use payments::{PaymentAuthorizedV1, PaymentFailedV1};
pub use status::{Contradiction, Facts, OrderStatus};
pub use time::Timestamp;
pub use topic::{Topic, UnknownTopic};
