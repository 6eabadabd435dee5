//! What the log promises only on Kafka: partitions, many members, foreign records, lost topics.
//!
//! Needs `OFS_TEST_KAFKA_URL`; what kills brokers starts its own beside it (see `brokers`).

mod brokers;
mod foreign;
mod groups;
mod lost;
mod topics;
