//! What the log promises only in a SQLite file: events once, retention, a full disk, whose file it is.

use super::{Engine, Sqlite, ack, append, message, next, nothing, numbered, take, values};
use bytes::Bytes;
use ofs_engines::log::sqlite::{OpenError, SqliteLog};
use ofs_engines::sqlite::{self, Options};
use ofs_events::{EventId, Topic};
use ofs_runtime::context::Context;
use ofs_runtime::log::{Bounds, Error, Log, Message, Reader, Reset};
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

fn event(n: u128, value: &str) -> Message {
    let event_id = Some(EventId(uuid::Uuid::from_u128(n)));
    Message { event_id, ..message(Topic::Orders, "a", value.to_owned()) }
}

#[tokio::test]
async fn an_event_appended_twice_stands_once() {
    let engine = Sqlite::start().await;
    let log = engine.open().await;
    let first = append(&*log, vec![event(1, "one"), event(2, "two"), event(1, "again")]).await;
    assert_eq!(first[0], first[2]);
    drop(log);
    let log = engine.open().await;
    let second = append(&*log, vec![event(2, "again"), event(3, "three")]).await;
    assert_eq!(second[0], first[1]);
    let found = log.read(Topic::Orders, 0, 0, 10).await.unwrap();
    assert_eq!(values(&found), ["one", "two", "three"]);
    let elsewhere = Message { topic: Topic::Payments, ..event(1, "other topic") };
    assert_eq!(append(&*log, vec![elsewhere]).await[0].offset, 0);
}

#[tokio::test]
async fn the_same_event_appended_at_once_stands_once() {
    let engine = Sqlite::start().await;
    let log = engine.open().await;
    let answers = futures::future::join_all((0..32).map(|_| append(&*log, vec![event(7, "x")])));
    let mut positions: Vec<_> = answers.await.concat();
    positions.dedup();
    assert_eq!(positions.len(), 1);
    assert_eq!(log.bounds(Topic::Orders).await.unwrap()[0].end, 1);
}

#[tokio::test]
async fn a_full_disk_says_so_and_appends_go_on_when_there_is_room() {
    let engine = Sqlite::start().await;
    let path = engine.directory.path().join("log.db");
    let options = Options { max_pages: Some(100), clock: engine.clock };
    let log = SqliteLog::open(&path, options, engine.instance).unwrap();
    let mut subscription = log.subscribe("g", &[Topic::Orders]).await.unwrap();
    let mut taken = 0;
    let full = loop {
        let value = Bytes::from(vec![b'x'; 20_000]);
        match log.append(vec![message(Topic::Orders, "a", value)]).await.remove(0) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Error::Full), "{full:?}");
    assert!(taken > 3);
    let records = take(&mut *subscription, taken).await;
    ack(&mut *subscription, &records);
    assert_eq!(log.bounds(Topic::Orders).await.unwrap()[0].end, taken as u64);

    engine.clock.pass(HOUR);
    log.tidy(HOUR / 2, &[]).await.unwrap();
    let at = append(&log, numbered(Topic::Orders, "a", 0..1)).await[0];
    assert_eq!(at.offset, taken as u64, "a failed append takes no offset");
    assert_eq!(values(&take(&mut *subscription, 1).await), ["a:0"]);
    subscription.close().await.unwrap();
}

#[tokio::test]
async fn retention_removes_the_old_and_never_gives_an_offset_twice() {
    let engine = Sqlite::start().await;
    let log = engine.open().await;
    append(&*log, numbered(Topic::Orders, "a", 0..5000)).await;
    engine.clock.pass(HOUR);
    append(&*log, numbered(Topic::Orders, "b", 0..3)).await;
    log.tidy(HOUR / 2, &[]).await.unwrap();
    let bounds = Bounds { partition: 0, first: 5000, end: 5003 };
    assert_eq!(log.bounds(Topic::Orders).await.unwrap(), [bounds]);
    assert_eq!(log.read(Topic::Orders, 0, 0, 1).await.unwrap()[0].at.offset, 5000);

    engine.clock.pass(HOUR);
    log.tidy(HOUR / 2, &[]).await.unwrap();
    drop(log);
    let log = engine.open().await;
    let bounds = Bounds { partition: 0, first: 5003, end: 5003 };
    assert_eq!(log.bounds(Topic::Orders).await.unwrap(), [bounds]);
    assert_eq!(append(&*log, numbered(Topic::Orders, "c", 0..1)).await[0].offset, 5003);
    let mut subscription = log.subscribe("g", &[Topic::Orders]).await.unwrap();
    assert_eq!(values(&next(&mut *subscription, 10).await), ["c:0"]);
}

#[tokio::test]
async fn retention_goes_by_the_time_that_has_passed_however_the_clock_is_set() {
    const SECONDS: i64 = 3600;
    const DAY: i64 = 24 * SECONDS;
    for steps in [[SECONDS, 0], [DAY, 0], [-SECONDS, SECONDS], [-DAY, DAY], [DAY, -DAY]] {
        let engine = Sqlite::start().await;
        let log = engine.open().await;
        for by in steps {
            append(&*log, numbered(Topic::Orders, "a", 0..1)).await;
            engine.clock.set(by);
        }
        log.tidy(HOUR / 2, &[]).await.unwrap();
        assert_eq!(log.bounds(Topic::Orders).await.unwrap()[0].first, 0, "{steps:?}");
        // Never early, and no later than by how far it was set back.
        engine.clock.pass(26 * HOUR);
        log.tidy(HOUR / 2, &[]).await.unwrap();
        assert_eq!(log.bounds(Topic::Orders).await.unwrap()[0].first, 2, "{steps:?}");
    }
}

#[tokio::test]
async fn retention_keeps_what_a_known_group_has_not_read() {
    let engine = Sqlite::start().await;
    let log = engine.open().await;
    let readers = [Reader { group: "later".to_owned(), topics: &[Topic::Orders] }];
    append(&*log, numbered(Topic::Orders, "a", 0..10)).await;
    append(&*log, numbered(Topic::Payments, "a", 0..10)).await;
    let mut subscription = log.subscribe("g", &[Topic::Orders]).await.unwrap();
    let first = async |topic| log.bounds(topic).await.unwrap()[0].first;
    engine.clock.pass(HOUR);

    log.tidy(HOUR / 2, &[]).await.unwrap();
    assert_eq!(first(Topic::Orders).await, 0, "a member that has acknowledged nothing");
    assert_eq!(first(Topic::Payments).await, 10, "read by no group");
    let records = next(&mut *subscription, 4).await;
    ack(&mut *subscription, &records);
    log.tidy(HOUR / 2, &readers).await.unwrap();
    assert_eq!(first(Topic::Orders).await, 0, "a reader that has not begun");
    log.tidy(HOUR / 2, &[]).await.unwrap();
    assert_eq!(first(Topic::Orders).await, 4);
    let left = next(&mut *subscription, 10).await;
    assert_eq!(left.len(), 6);
    subscription.close().await.unwrap();
    log.tidy(HOUR / 2, &[]).await.unwrap();
    assert_eq!(first(Topic::Orders).await, 4, "a group that has left and will be back");
    log.forget("g").await.unwrap();
    log.tidy(HOUR / 2, &[]).await.unwrap();
    assert_eq!(first(Topic::Orders).await, 10, "one that has been given up");
}

/// A build that cut by age alone could do this to a group.
fn lag_behind(engine: &Sqlite, group: &str, offset: i64) {
    let database = rusqlite::Connection::open(engine.directory.path().join("log.db")).unwrap();
    let sql = "INSERT INTO positions (group_name, topic, next_offset) VALUES (?1, 1, ?2)";
    database.execute(sql, (group, offset)).unwrap();
}

#[tokio::test]
async fn a_group_that_retention_overtook_is_told_and_can_be_reset() {
    let engine = Sqlite::start().await;
    let log = engine.open().await;
    append(&*log, numbered(Topic::Orders, "a", 0..10)).await;
    engine.clock.pass(HOUR);
    log.tidy(HOUR / 2, &[]).await.unwrap();
    append(&*log, numbered(Topic::Orders, "b", 0..2)).await;
    drop(log);
    lag_behind(&engine, "g", 4);
    let log = engine.open().await;
    assert_eq!(log.lag("g", &[Topic::Orders]).await.unwrap()[0].events, 8, "six are lost");
    let lost = log.subscribe("g", &[Topic::Orders]).await.err().unwrap();
    let text = lost.to_string();
    assert!(text.contains("offset 4 of orders.events.v1") && text.contains("ofs events reset"));
    log.reset("g", &[Topic::Orders], Reset::Earliest).await.unwrap();
    let mut subscription = log.subscribe("g", &[Topic::Orders]).await.unwrap();
    assert_eq!(values(&next(&mut *subscription, 10).await), ["b:0", "b:1"]);
}

#[tokio::test]
async fn the_second_member_of_a_group_waits_until_the_first_is_gone() {
    let engine = Sqlite::start().await;
    let log = engine.open().await;
    append(&*log, numbered(Topic::Orders, "a", 0..10)).await;
    let mut first = log.subscribe("g", &[Topic::Orders]).await.unwrap();
    let records = take(&mut *first, 10).await;
    let mut second = log.subscribe("g", &[Topic::Orders]).await.unwrap();
    ack(&mut *first, &records[..7]);
    nothing(&mut *second).await;
    let (records, ()) = tokio::join!(take(&mut *second, 3), async { drop(first) });
    assert_eq!(values(&records), ["a:7", "a:8", "a:9"]);
}

#[tokio::test]
async fn members_that_read_different_topics_do_not_wait_for_each_other() {
    let engine = Sqlite::start().await;
    let log = engine.open().await;
    append(&*log, numbered(Topic::Orders, "a", 0..1)).await;
    append(&*log, numbered(Topic::Payments, "b", 0..1)).await;
    let mut orders = log.subscribe("g", &[Topic::Orders]).await.unwrap();
    let mut payments = log.subscribe("g", &[Topic::Payments]).await.unwrap();
    assert_eq!(values(&take(&mut *payments, 1).await), ["b:0"]);
    assert_eq!(values(&take(&mut *orders, 1).await), ["a:0"]);
}

#[tokio::test]
async fn acks_become_durable_by_themselves() {
    let engine = Sqlite::start().await;
    let log = engine.open().await;
    append(&*log, numbered(Topic::Orders, "a", 0..3)).await;
    let mut subscription = log.subscribe("g", &[Topic::Orders]).await.unwrap();
    let records = take(&mut *subscription, 2).await;
    ack(&mut *subscription, &records);
    let db = rusqlite::Connection::open(engine.directory.path().join("log.db")).unwrap();
    let stored = || {
        db.query_row("SELECT max(next_offset) FROM positions", [], |row| {
            row.get::<_, Option<u64>>(0)
        })
        .unwrap()
    };
    tokio::time::timeout(super::SOON, async {
        while stored() != Some(2) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_busy_topic_does_not_keep_the_others_waiting() {
    let engine = Sqlite::start().await;
    let log = engine.open().await;
    append(&*log, numbered(Topic::Orders, "busy", 0..500)).await;
    append(&*log, numbered(Topic::Payments, "calm", 0..60)).await;
    let mut subscription = log.subscribe("g", &[Topic::Orders, Topic::Payments]).await.unwrap();
    let records = next(&mut *subscription, 100).await;
    let calm = records.iter().filter(|record| record.at.topic == Topic::Payments).count();
    assert_eq!((records.len(), calm), (100, 50));
    let records = next(&mut *subscription, 100).await;
    let calm = records.iter().filter(|record| record.at.topic == Topic::Payments).count();
    assert_eq!((records.len(), calm), (100, 10));
    // Room for one record alone goes to each topic in turn.
    append(&*log, numbered(Topic::Payments, "calm", 60..61)).await;
    let records = [next(&mut *subscription, 1).await, next(&mut *subscription, 1).await].concat();
    assert!(records.iter().any(|record| record.at.topic == Topic::Payments));
}

#[tokio::test]
async fn a_reader_far_behind_gets_every_record_from_the_file() {
    let engine = Sqlite::start().await;
    let log = engine.open().await;
    for chunk in 0..10 {
        append(&*log, numbered(Topic::Orders, "a", chunk * 1000..chunk * 1000 + 1000)).await;
    }
    let mut subscription = log.subscribe("g", &[Topic::Orders]).await.unwrap();
    let expected: Vec<_> = (0..10_000).map(|n| format!("a:{n}")).collect();
    assert_eq!(values(&take(&mut *subscription, 10_000).await), expected);
}

#[tokio::test]
async fn an_append_that_nobody_waits_for_still_stands_in_its_place() {
    let engine = Sqlite::start().await;
    let log = engine.open().await;
    let mut subscription = log.subscribe("g", &[Topic::Orders]).await.unwrap();
    {
        let dropped = log.append(numbered(Topic::Orders, "a", 0..2));
        tokio::pin!(dropped);
        // One poll hands it to the writer.
        let _ = futures::poll!(&mut dropped);
    }
    append(&*log, numbered(Topic::Orders, "a", 2..3)).await;
    assert_eq!(values(&take(&mut *subscription, 3).await), ["a:0", "a:1", "a:2"]);
}

#[tokio::test]
async fn the_file_of_another_store_or_program_is_refused() {
    let engine = Sqlite::start().await;
    drop(engine.open().await);
    let path = engine.directory.path().join("log.db");
    let other = Context::new("test").new_id();
    let refused = SqliteLog::open(&path, Options::default(), other).err().unwrap();
    assert!(matches!(&refused, OpenError::OtherInstance { asked, .. } if *asked == other));
    assert!(refused.to_string().contains(&engine.instance.to_string()));

    let path = engine.directory.path().join("foreign.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let refused = SqliteLog::open(&path, Options::default(), other).err().unwrap();
    assert!(matches!(refused, OpenError::File(sqlite::OpenError::Foreign(_))), "{refused}");
}

#[tokio::test]
async fn the_file_of_a_newer_build_is_refused() {
    let engine = Sqlite::start().await;
    drop(engine.open().await);
    let path = engine.directory.path().join("log.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    let newer = "INSERT INTO refinery_schema_history SELECT 99, 'later', applied_on, checksum
                 FROM refinery_schema_history WHERE version = 1";
    db.execute_batch(newer).unwrap();
    drop(db);
    let refused = SqliteLog::open(&path, Options::default(), engine.instance).err().unwrap();
    assert!(matches!(refused, OpenError::File(sqlite::OpenError::Newer { found: 99, .. })));
}
