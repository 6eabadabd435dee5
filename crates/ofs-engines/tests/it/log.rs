//! The only definition of the log port: what every engine of it must do.
//!
//! Each test runs on every engine named at the bottom; what only SQLite promises is in `only_sqlite`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cluster;
mod groups;
mod heavy;

mod only_kafka;
mod only_sqlite;
mod records;

use bytes::Bytes;
use ofs_engines::sqlite::Options;
use ofs_events::Topic;
use ofs_runtime::context::{Clock, Context};
use ofs_runtime::log::{Layout, Log, Message, Polled, Position, Received, Subscription};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

/// How long something that must happen may take.
pub const SOON: Duration = Duration::from_secs(30);
/// How long nothing must happen to be believed that it will not.
const IDLE: Duration = Duration::from_millis(300);

/// A log that one test has for itself, and that can be closed and opened again.
#[async_trait::async_trait]
pub trait Engine: Send + Sync {
    /// Opens it.
    async fn open(&self) -> Arc<dyn Log>;

    /// A group name that no other test uses.
    fn group(&self, name: &str) -> String {
        name.to_owned()
    }
}

/// The log in a SQLite file.
pub struct Sqlite {
    pub directory: TempDir,
    pub instance: Uuid,
    pub clock: Clock,
}

impl Sqlite {
    pub async fn start() -> Self {
        let instance = Context::new("test").new_id();
        Self { directory: TempDir::new().unwrap(), instance, clock: Clock::movable() }
    }
}

#[async_trait::async_trait]
impl Engine for Sqlite {
    async fn open(&self) -> Arc<dyn Log> {
        let path = self.directory.path().join("log.db");
        let options = Options { clock: self.clock, ..Options::default() };
        let log = ofs_engines::log::sqlite::SqliteLog::open(&path, options, self.instance).unwrap();
        log.prepare(Layout { partitions: 3, replication: 1 }).await.unwrap();
        Arc::new(log)
    }
}

pub fn message(topic: Topic, key: &str, value: impl Into<Bytes>) -> Message {
    let key = Some(Bytes::from(key.to_owned()));
    Message { topic, key, event_id: None, headers: Vec::new(), value: value.into() }
}

fn numbered(topic: Topic, key: &str, numbers: std::ops::Range<usize>) -> Vec<Message> {
    numbers.map(|n| message(topic, key, format!("{key}:{n}"))).collect()
}

pub async fn append(log: &dyn Log, messages: Vec<Message>) -> Vec<Position> {
    log.append(messages).await.into_iter().collect::<Result<_, _>>().unwrap()
}

/// The next records, whatever was revoked before.
pub async fn next(subscription: &mut dyn Subscription, max: usize) -> Vec<Received> {
    let polled = async {
        loop {
            match subscription.next(max).await.unwrap() {
                Polled::Records(records) if records.is_empty() => {}
                Polled::Records(records) => {
                    assert!(records.len() <= max, "more than asked for");
                    return records;
                }
                Polled::Revoked(_) => {}
            }
        }
    };
    tokio::time::timeout(SOON, polled).await.expect("records should come soon")
}

/// Reads until `count` records have come.
pub async fn take(subscription: &mut dyn Subscription, count: usize) -> Vec<Received> {
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(next(subscription, count - records.len()).await);
    }
    records
}

/// Asserts that no record comes.
async fn nothing(subscription: &mut dyn Subscription) {
    while let Ok(polled) = tokio::time::timeout(IDLE, subscription.next(10)).await {
        match polled.unwrap() {
            Polled::Records(records) => assert_eq!(records, [], "no record should come"),
            Polled::Revoked(_) => {}
        }
    }
}

/// Waits until the clock shows another time, in any resolution a log may have.
pub async fn clock_moves_on() {
    let clock = Context::new("test");
    let before = clock.now();
    while clock.now().as_micros() < before.as_micros() + 5_000 {
        tokio::task::yield_now().await;
    }
}

/// Acks everything up to and including `records`.
pub fn ack(subscription: &mut dyn Subscription, records: &[Received]) {
    let done: Vec<_> =
        records.iter().map(|r| (r.at.topic, r.at.partition, r.at.offset + 1)).collect();
    subscription.ack(&done);
}

pub fn values(records: &[Received]) -> Vec<String> {
    records.iter().map(|r| String::from_utf8_lossy(&r.value).into_owned()).collect()
}

fn set(records: &[Received]) -> BTreeSet<String> {
    values(records).into_iter().collect()
}

/// One module per engine, one test per function.
macro_rules! conformance {
    (engines: { $($engine:ident = $start:expr;)+ } tests: $tests:tt) => {
        $(conformance!(@engine $engine, $start, $tests);)+
    };
    (@engine $engine:ident, $start:expr, [$($suite:ident::$test:ident,)+]) => {
        mod $engine {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    if let Some(engine) = $start.await {
                        super::$suite::$test(&engine).await;
                    }
                }
            )+
        }
    };
}

conformance! {
    engines: {
        sqlite = async { Some(super::Sqlite::start().await) };
        kafka = super::cluster::Kafka::start();
    }
    tests: [
        records::records_of_a_key_keep_their_order,
        records::a_record_comes_back_as_it_was_appended,
        records::what_was_appended_is_there_after_a_restart,
        groups::each_group_gets_every_record,
        records::a_subscriber_waits_for_the_next_record,
        groups::a_group_goes_on_where_it_acked,
        groups::what_was_not_acked_is_delivered_again,
        groups::an_older_ack_does_not_move_a_group_back,
        groups::two_members_of_a_group_share_and_take_over,
        groups::a_group_is_moved_to_the_earliest_the_latest_or_a_time,
        groups::a_group_with_members_is_not_moved,
        groups::a_group_that_is_forgotten_begins_anew_and_one_with_members_is_not_forgotten,
        groups::lag_counts_what_is_unread,
        groups::lag_tells_when_the_first_unread_event_happened,
        heavy::a_page_of_large_records_is_short,
        heavy::large_records_are_handed_out_a_few_at_a_time,
        records::bounds_tell_what_can_be_read,
        records::a_partition_is_read_in_pages,
        records::a_big_value_comes_through,
        records::keys_and_values_may_be_anything,
        records::concurrent_appends_all_land_once,
        records::a_dropped_wait_loses_no_record,
        records::making_the_topics_again_changes_nothing,
    ]
}
