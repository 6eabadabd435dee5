//! The one definition of the store port. Each engine is one line of `conformance!` at the bottom.
//!
//! What only one engine has (a disk that fills up) is tested in a file of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod clock;
mod commits;
mod deadlines;
mod ends;
mod heavy;
mod keeping;
mod leases;
mod newer;
mod owed;
mod parking;
mod postgres;
mod refused;
mod sqlite;

use bytes::Bytes;
use ofs_events::{EventId, Key, Timestamp, Topic};
use ofs_runtime::access::Access;
use ofs_runtime::log::{Message, Position};
use ofs_runtime::store::{
    Commit, Error, Guard, Loaded, Once, Parking, Record, SHARDS, Seen, Settled, Store, Wanted,
};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long something that must happen may take.
const SOON: Duration = Duration::from_secs(30);
/// Longer than any test, and as long as anything may wait.
const LONG: Duration = Duration::from_mins(15);
/// The owner in most tests.
const OWNER: &str = "order-service";

/// A store that one test has for itself, and that can be closed and opened again.
#[async_trait::async_trait]
pub trait Engine: Send + Sync {
    /// Opens it; whoever opened it before has dropped it.
    async fn open(&self) -> Arc<dyn Store>;

    /// Opens it as the port of keys and the audit trail; whoever opened it before has dropped it.
    async fn access(&self) -> Arc<dyn Access>;

    /// Runs SQL behind its back, and answers with what is wrong with it; whoever opened it before has
    /// dropped it.
    async fn try_execute(&self, sql: &str) -> Result<(), String>;

    /// As [`Engine::try_execute`].
    async fn execute(&self, sql: &str) {
        self.try_execute(sql).await.unwrap();
    }

    /// Changes the audit trail, which nothing but ill will can.
    async fn tamper(&self, sql: &str);

    /// Sets its clock forward or back; a store that is open sees it if this was called before it was
    /// opened, too.
    async fn set_clock(&self, by_seconds: i64);
}

fn order(number: u128) -> Key {
    Key(Uuid::from_u128(number))
}

fn event(number: u128) -> EventId {
    EventId(Uuid::from_u128(number))
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_770_000_000_000_000 + micros)
}

fn seen(key: Key, number: u128) -> Seen {
    Seen { day: 20_000, key, event_id: event(number) }
}

/// The record of `key` that says `status`, to be written over version `loaded`.
fn record(key: Key, loaded: u64, status: &str) -> Record {
    Record {
        key,
        loaded,
        version: loaded + 1,
        status: status.to_owned(),
        body: json!({ "status": status }).to_string(),
        created_at: time(1),
        updated_at: time(1 + i64::try_from(loaded).unwrap()),
    }
}

fn message(key: Key, number: u128) -> Message {
    Message {
        topic: Topic::Orders,
        key: Some(Bytes::from(key.to_string())),
        event_id: Some(event(number)),
        headers: vec![("eventType".to_owned(), "OrderCreatedV1".to_owned())],
        value: Bytes::from(format!("{{\"n\":{number}}}")),
    }
}

fn at(offset: u64) -> Position {
    Position { topic: Topic::Orders, partition: 0, offset }
}

fn parking(key: Option<Key>, offset: u64, retry_in: Option<Duration>) -> Parking {
    Parking {
        at: at(offset),
        key,
        event_id: Some(event(u128::from(offset))),
        event_type: Some("OrderCreatedV1".to_owned()),
        raw_key: key.map(|key| Bytes::from(key.to_string())),
        raw: Bytes::from_static(b"\xFF not json"),
        reason: format!("Reason {offset}"),
        unknown_type: false,
        retry_in,
    }
}

fn guard(key: Key, version: u64) -> Guard {
    Guard { owner: OWNER.to_owned(), key, version }
}

fn once(key: &str) -> Once {
    Once { key: key.to_owned(), fingerprint: Uuid::from_u128(5), answer: "{\"id\":1}".to_owned() }
}

fn empty() -> Commit {
    Commit { owner: OWNER.to_owned(), ..Commit::default() }
}

fn records(records: impl IntoIterator<Item = Record>) -> Commit {
    Commit { records: records.into_iter().collect(), ..empty() }
}

fn parked(parked: impl IntoIterator<Item = Parking>) -> Commit {
    Commit { parked: parked.into_iter().collect(), ..empty() }
}

fn settled(settled: impl IntoIterator<Item = Settled>) -> Commit {
    Commit { settled: settled.into_iter().collect(), ..empty() }
}

/// A new order with one event to be sent.
fn created(key: Key, number: u128) -> Commit {
    Commit { outgoing: vec![message(key, number)], ..records([record(key, 0, "Created")]) }
}

async fn load(store: &Arc<dyn Store>, keys: &[Key]) -> Loaded {
    let wanted = Wanted { owner: OWNER.to_owned(), keys: keys.to_vec(), ..Wanted::default() };
    store.load(&wanted).await.unwrap()
}

async fn version(store: &Arc<dyn Store>, key: Key) -> u64 {
    load(store, &[key]).await.records.get(&key).map_or(0, |record| record.version)
}

/// The ids of the outbox rows of all shards.
fn all_shards() -> Vec<u16> {
    (0..SHARDS).collect()
}

async fn outbox(store: &Arc<dyn Store>, owner: &str) -> Vec<u64> {
    let shards: Vec<u16> = (0..ofs_runtime::store::SHARDS).collect();
    let rows = store.outbox(owner, &shards, &[], 0, 1_000).await.unwrap();
    rows.iter().map(|row| row.id).collect()
}

/// Asks until the answer is the one wanted.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < SOON, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the store's clock has moved on, which shows in the times it gives to rows.
async fn tick(store: &Arc<dyn Store>) {
    let owner = || "clock".to_owned();
    let mut first = None;
    until("the clock moves", async || {
        let key = Key(Uuid::from_u128(u128::MAX));
        store.commit(Commit { owner: owner(), index: vec![(key, 1)], ..empty() }).await.unwrap();
        let depths = store.depths().await.unwrap();
        let settled = vec![Settled::Indexed { key, version: 1 }];
        store.commit(Commit { owner: owner(), settled, ..empty() }).await.unwrap();
        let now = depths.index.iter().find(|depth| depth.owner == "clock")?.oldest?;
        (now > *first.get_or_insert(now)).then_some(())
    })
    .await;
}

/// Every test of the port, on the engine `$fresh` makes (none: it is not configured, so skipped).
macro_rules! conformance {
    ($name:ident, $fresh:expr) => {
        conformance!(@ $name, $fresh;
            commits::what_was_written_is_read_back,
            commits::a_version_conflict_is_stale,
            commits::a_second_first_version_is_stale,
            commits::an_event_is_handled_once,
            commits::the_inbox_tells_owners_and_orders_apart,
            commits::a_guard_holds_another_owners_record,
            commits::commits_that_guard_each_others_record_do_not_both_hold,
            commits::nothing_of_a_failed_commit_stays,
            commits::a_bad_commit_among_many_fails_alone,
            commits::of_many_writers_of_one_version_one_wins,
            commits::many_commits_at_once_are_all_written,
            commits::a_body_that_is_not_json_is_rejected,
            commits::an_event_without_a_record_of_its_key_is_rejected,
            commits::an_idempotency_key_is_taken_once_per_owner,
            commits::a_record_keeps_the_time_it_was_made,
            ends::how_far_the_log_was_is_kept_and_raised,
            ends::the_newest_outgoing_event_is_known_after_it_is_gone,
            ends::a_note_has_an_id_above_every_earlier_event_and_below_every_later_one,
            owed::an_outgoing_event_is_read_back_as_it_was_given,
            owed::only_the_lowest_row_of_a_key_is_offered,
            owed::keys_in_flight_hide_no_others,
            owed::shards_divide_the_outbox,
            owed::outbox_ids_grow_within_a_key_under_contention,
            owed::an_outbox_id_is_never_used_again,
            owed::a_row_is_sent_once_and_by_its_owner,
            owed::what_is_owed_to_the_index_is_the_newest_version,
            owed::of_what_is_owed_to_the_index_the_oldest_and_the_newest_come_first,
            owed::the_index_cannot_settle_what_is_not_owed,
            owed::depths_count_what_is_owed_by_owner,
            deadlines::a_deadline_passes_once_unless_it_is_met,
            deadlines::a_deadline_that_was_set_again_has_not_passed,
            deadlines::what_is_overdue_is_counted_until_it_is_met,
            deadlines::deadlines_are_read_by_shard_owner_and_time,
            owed::depths_follow_what_is_settled,
            owed::what_the_index_gets_once_more_stands_behind_what_changes,
            owed::since_when_the_oldest_waits_for_the_index_is_told,
            owed::the_index_is_behind_since_the_first_event_that_it_lacks,
            heavy::a_page_of_records_ends_when_it_weighs_enough,
            heavy::what_is_too_much_to_load_at_once_is_left,
            heavy::large_outgoing_events_are_offered_a_few_at_a_time,
            heavy::large_records_are_owed_oldest_and_newest_first,
            heavy::only_as_many_large_events_as_are_answered_are_claimed,
            heavy::a_page_of_large_parked_events_is_short_and_has_a_next,
            refused::what_the_index_refuses_is_kept_until_a_version_is_indexed,
            refused::a_refused_version_does_not_settle_a_newer_one,
            refused::refused_records_are_listed_by_key_in_pages,
            newer::what_a_newer_build_has_written_is_left_out_row_by_row,
            newer::an_outbox_is_read_on_from_any_row,
            parking::a_parked_event_is_read_back,
            parking::a_position_is_parked_once_per_owner,
            parking::a_queue_blocks_its_topic_and_order_alone,
            parking::only_heads_that_are_due_are_claimed,
            parking::a_claim_holds_and_then_lapses,
            parking::a_claim_says_why_not,
            parking::a_resolved_head_makes_the_next_one_due,
            parking::a_deferred_event_waits_again,
            parking::a_discarded_event_keeps_its_reasons,
            parking::a_closed_event_is_not_settled_again,
            parking::an_event_that_is_being_tried_is_not_discarded,
            parking::events_of_no_order_hold_back_nothing,
            parking::parked_events_are_listed_by_what_is_asked,
            parking::only_so_many_parked_events_are_looked_at_for_one_page,
            parking::one_of_many_redrivers_claims_a_head,
            leases::one_holder_gets_every_slot,
            leases::holders_share_fairly_and_never_overlap,
            leases::a_holder_that_goes_leaves_its_slots,
            leases::a_holder_that_dies_loses_its_slots,
            leases::groups_do_not_touch,
            clock::what_waits_is_due_in_time_when_the_clock_is_set_back,
            clock::a_hold_lapses_in_time_when_the_clock_is_set_back,
            clock::a_dead_holders_slots_move_in_time_when_the_clock_is_set_back,
            clock::depths_are_on_the_stores_clock,
            clock::nothing_is_dropped_early_when_the_clock_is_set_forward,
            access::a_key_is_read_back_as_it_was_given,
            access::only_one_key_is_the_first,
            access::a_key_is_revoked_once,
            access::the_last_use_of_a_key_is_the_latest,
            access::the_trail_holds_every_entry_in_one_chain,
            access::an_entry_that_is_altered_missing_or_moved_is_found,
            access::the_trail_cannot_be_changed_by_mistake,
            keeping::records_are_scanned_by_key_in_pages,
            keeping::old_events_leave_the_inbox,
            keeping::what_is_young_is_kept,
            keeping::tidying_drops_a_bounded_amount_at_a_time,
            keeping::an_older_event_that_comes_while_others_are_dropped_is_dropped_after_them,
            keeping::what_is_durable_survives_reopening,
        );
    };
    (@ $name:ident, $fresh:expr; $($module:ident::$test:ident,)*) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    if let Some(engine) = $fresh.await {
                        super::$module::$test(&engine).await;
                    }
                }
            )*
        }
    };
}

conformance!(on_sqlite, super::sqlite::fresh());
conformance!(on_postgres, super::postgres::fresh());
