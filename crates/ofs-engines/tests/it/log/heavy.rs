//! Large records: read and handed out a few at a time, and all of them.

use super::*;
use ofs_runtime::budget::{BATCH_BYTES, Weight};

/// Bytes of each.
const LARGE: usize = 200 * 1024;
const COUNT: usize = 40;

async fn append_all(log: &dyn Log) -> Vec<Position> {
    let mut at = Vec::new();
    for number in 0..COUNT {
        let text = format!("{number}:{}", "x".repeat(LARGE));
        at.extend(append(log, vec![message(Topic::Orders, "key", text)]).await);
    }
    at
}

fn assert_part(records: &[Received]) {
    let weight: usize = records.iter().map(Weight::weight).sum();
    assert!(!records.is_empty() && records.len() < COUNT);
    assert!(weight < BATCH_BYTES + 2 * LARGE, "{weight} bytes at once");
}

/// From memory, and from the file or the broker.
pub async fn a_page_of_large_records_is_short(engine: &impl Engine) {
    let log = engine.open().await;
    let all = append_all(&*log).await;
    drop(log);
    let log = engine.open().await;
    let mut read: Vec<Position> = Vec::new();
    while read.len() < COUNT {
        let next = read.last().map_or(all[0], |last| Position { offset: last.offset + 1, ..*last });
        let page = log.read(Topic::Orders, next.partition, next.offset, 512).await.unwrap();
        assert_part(&page);
        read.extend(page.iter().map(|record| record.at));
    }
    assert_eq!(read, all);
}

pub async fn large_records_are_handed_out_a_few_at_a_time(engine: &impl Engine) {
    let log = engine.open().await;
    let all = append_all(&*log).await;
    let mut subscription = log.subscribe(&engine.group("heavy"), &[Topic::Orders]).await.unwrap();
    let mut given: Vec<Position> = Vec::new();
    while given.len() < COUNT {
        let records = next(&mut *subscription, 512).await;
        assert_part(&records);
        given.extend(records.iter().map(|record| record.at));
    }
    assert_eq!(given, all);
    subscription.close().await.unwrap();
}
