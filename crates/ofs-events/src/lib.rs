//! The shared language: what services say to each other, and nothing about how it travels.
//!
//! Envelope, topics, ids, times, order status, and one file per topic's events. No I/O, no clock.

mod decode;
mod envelope;
mod id;
mod status;
mod time;
mod topic;

pub use decode::{DecodeError, MAX_RECORD_BYTES};
pub use envelope::{Event, HEADER_CORRELATION_ID, HEADER_EVENT_TYPE, occurred_at};
pub use id::{CorrelationId, EventId, Key, OrderId};
pub use status::{Contradiction, Fact, Facts, OrderStatus};
pub use time::Timestamp;
pub use topic::*;
