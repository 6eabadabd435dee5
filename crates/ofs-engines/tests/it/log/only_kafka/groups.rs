//! Groups of several members: partitions move, nothing is lost, and nobody speaks for a partition
//! that is somebody else's.

use crate::log::cluster::Kafka;
use crate::log::{SOON, ack, append, next, numbered, take, values};
use ofs_engines::log::kafka::KafkaLog;
use ofs_events::Topic;
use ofs_runtime::log::{Log, Polled, Received, Subscription};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const TOPICS: [Topic; 1] = [Topic::Orders];

async fn position(log: &KafkaLog, group: &str, partition: u32) -> Option<u64> {
    let lag = log.lag(group, &TOPICS).await.unwrap();
    lag[partition as usize].position
}

/// A condition that must come true soon.
async fn soon<F: Future<Output = bool>>(what: &str, mut is: impl FnMut() -> F) {
    let waited = async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, waited).await.expect(what);
}

#[tokio::test]
async fn acks_become_durable_by_themselves() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    let at = append(&log, numbered(Topic::Orders, "a", 0..3)).await[0];
    let mut subscription = log.subscribe("g", &TOPICS).await.unwrap();
    let records = take(&mut *subscription, 3).await;
    ack(&mut *subscription, &records[..2]);
    soon("the ack is kept", async || position(&log, "g", at.partition).await == Some(2)).await;
    subscription.close().await.unwrap();
}

#[tokio::test]
async fn where_a_group_began_is_kept_though_it_acked_nothing() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    let subscription = log.subscribe("g", &TOPICS).await.unwrap();
    soon("all positions are known", async || {
        log.lag("g", &TOPICS).await.unwrap().iter().all(|lag| lag.position == Some(0))
    })
    .await;
    subscription.close().await.unwrap();
}

#[tokio::test]
async fn lag_tells_which_partitions_this_process_reads() {
    let Some(kafka) = Kafka::start().await else { return };
    let (here, there) = (kafka.log().await, kafka.connect().await);
    let assigned = async |log: &KafkaLog| {
        let lag = log.lag("g", &TOPICS).await.unwrap();
        lag.iter().filter(|lag| lag.assigned).count()
    };
    let first = here.subscribe("g", &TOPICS).await.unwrap();
    soon("all are here", async || assigned(&here).await == 3).await;
    assert_eq!(assigned(&there).await, 0);
    let second = there.subscribe("g", &TOPICS).await.unwrap();
    soon("some are there", async || assigned(&there).await > 0).await;
    soon("none is twice", async || assigned(&here).await + assigned(&there).await == 3).await;
    first.close().await.unwrap();
    soon("all are there", async || assigned(&there).await == 3).await;
    assert_eq!(assigned(&here).await, 0);
    second.close().await.unwrap();
}

/// What a member saw, and of which partitions.
#[derive(Default)]
struct Seen {
    records: Vec<Received>,
    revoked: usize,
}

/// Reads and acks until `stop`, as a worker does: with some work in hand, which is dropped with its
/// partition.
async fn work(mut subscription: Box<dyn Subscription>, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let mut in_hand: Vec<Received> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let wait = tokio::time::timeout(Duration::from_millis(20), subscription.next(50));
        match wait.await.map(Result::unwrap) {
            Ok(Polled::Records(records)) => {
                ack(&mut *subscription, &in_hand);
                seen.records.extend(records.iter().cloned());
                in_hand = records;
            }
            Ok(Polled::Revoked(partitions)) => {
                seen.revoked += partitions.len();
                in_hand.retain(|r| !partitions.contains(&(r.at.topic, r.at.partition)));
            }
            Err(_) => ack(&mut *subscription, &std::mem::take(&mut in_hand)),
        }
    }
    ack(&mut *subscription, &in_hand);
    subscription.close().await.unwrap();
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_under_load_and_nothing_is_lost() {
    let Some(mut kafka) = Kafka::start().await else { return };
    kafka.layout.partitions = 6;
    let log = Arc::new(kafka.log().await);
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (log, done) = (Arc::clone(&log), Arc::clone(&done));
        async move {
            let mut round = 0;
            while !done.load(Ordering::Relaxed) {
                let batch = (0..20)
                    .flat_map(|key| numbered(Topic::Orders, &format!("k{key}"), round..round + 1));
                append(&*log, batch.collect()).await;
                round += 1;
            }
            round
        }
    });
    let join = async |log: &Arc<KafkaLog>| {
        let stop = Arc::new(AtomicBool::new(false));
        let member = log.subscribe("g", &TOPICS).await.unwrap();
        (tokio::spawn(work(member, Arc::clone(&stop))), stop)
    };
    let owned = async |log: &KafkaLog| {
        log.lag("g", &TOPICS).await.unwrap().iter().filter(|lag| lag.assigned).count()
    };
    let other = Arc::new(kafka.connect().await);
    let (first, stop_first) = join(&log).await;
    soon("one has all", async || owned(&log).await == 6).await;
    let (second, stop_second) = join(&other).await;
    soon("they share", async || owned(&log).await == 3 && owned(&other).await == 3).await;
    stop_first.store(true, Ordering::Relaxed);
    let first = first.await.unwrap();
    soon("the other has all", async || owned(&other).await == 6).await;
    let (third, stop_third) = join(&log).await;
    soon("they share again", async || owned(&log).await == 3 && owned(&other).await == 3).await;
    done.store(true, Ordering::Relaxed);
    let rounds = writer.await.unwrap();
    soon("all is read", async || {
        log.lag("g", &TOPICS).await.unwrap().iter().all(|lag| lag.events == 0)
    })
    .await;
    stop_second.store(true, Ordering::Relaxed);
    stop_third.store(true, Ordering::Relaxed);
    let (second, third) = (second.await.unwrap(), third.await.unwrap());

    assert!(first.revoked >= 3 && second.revoked >= 3, "partitions moved");
    let mut all = BTreeMap::new();
    for seen in [&first, &second, &third] {
        assert!(!seen.records.is_empty());
        let mut last: BTreeMap<String, usize> = BTreeMap::new();
        for value in values(&seen.records) {
            let (key, n) = value.split_once(':').unwrap();
            let n: usize = n.parse().unwrap();
            // Of a partition that went and came back there may be a repetition, from the last ack on.
            let before = last.insert(key.to_owned(), n);
            assert!(before.is_none_or(|before| n <= before + 1 || seen.revoked > 0), "{value}");
            *all.entry((key.to_owned(), n)).or_insert(0) += 1;
        }
    }
    assert_eq!(all.len(), rounds * 20, "every record came to somebody");
    let repeated = all.values().filter(|count| **count > 1).count();
    assert!(repeated * 10 < all.len(), "{repeated} of {} came twice", all.len());
}

#[tokio::test]
async fn a_worker_that_takes_nothing_for_a_while_misses_nothing_and_holds_up_nobody() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    let mut ends = BTreeMap::new();
    for key in ["a", "b", "c", "d", "e", "f"] {
        for at in append(&log, numbered(Topic::Orders, key, 0..2000)).await {
            ends.insert(at.partition, at.offset + 1);
        }
    }
    let mut first = log.subscribe("g", &TOPICS).await.unwrap();
    let mut records = next(&mut *first, 10).await;
    // Far more is there than a member takes in; after this long it stops fetching, and hands over
    // all the same.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let other = kafka.connect().await;
    let mut second = other.subscribe("g", &TOPICS).await.unwrap();
    let theirs = next(&mut *second, 10).await;
    second.close().await.unwrap();
    soon("all is back", async || {
        log.lag("g", &TOPICS).await.unwrap().iter().all(|lag| lag.assigned)
    })
    .await;
    let mut next_offset: BTreeMap<u32, u64> = BTreeMap::new();
    loop {
        for record in std::mem::take(&mut records) {
            let next = next_offset.entry(record.at.partition).or_default();
            assert_eq!(record.at.offset, *next);
            *next += 1;
        }
        if next_offset == ends {
            break;
        }
        let polled = tokio::time::timeout(SOON, first.next(500)).await;
        match polled.expect("there is more").unwrap() {
            Polled::Records(more) => records = more,
            Polled::Revoked(partitions) => {
                assert!(partitions.contains(&(Topic::Orders, theirs[0].at.partition)));
                next_offset.retain(|p, _| !partitions.contains(&(Topic::Orders, *p)));
            }
        }
    }
    first.close().await.unwrap();
}

#[tokio::test]
async fn nobody_acks_for_a_partition_that_was_taken_from_him() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    let mut all = BTreeSet::new();
    for key in ["a", "b", "c", "d", "e", "f"] {
        all.extend(append(&log, numbered(Topic::Orders, key, 0..5)).await);
    }
    let mut first = log.subscribe("g", &TOPICS).await.unwrap();
    let records = take(&mut *first, all.len()).await;
    let other = kafka.connect().await;
    let mut second = other.subscribe("g", &TOPICS).await.unwrap();
    // What the second is given was the first's, who has not been told yet.
    let moved = next(&mut *second, 1).await[0].at.partition;
    ack(&mut *first, &records);
    second.close().await.unwrap();
    // It comes back; the first has still not been told that it was gone.
    soon("it comes back", async || log.lag("g", &TOPICS).await.unwrap()[moved as usize].assigned)
        .await;
    ack(&mut *first, &records);
    let told = async {
        loop {
            if let Polled::Revoked(partitions) = first.next(1).await.unwrap() {
                return partitions;
            }
        }
    };
    let told = tokio::time::timeout(SOON, told).await.unwrap();
    assert!(told.contains(&(Topic::Orders, moved)), "{told:?}");
    let again = take(&mut *first, records.iter().filter(|r| r.at.partition == moved).count()).await;
    assert!(again.iter().all(|record| record.at.partition == moved));
    first.close().await.unwrap();
    for (partition, lag) in log.lag("g", &TOPICS).await.unwrap().iter().enumerate() {
        let kept = !told.contains(&(Topic::Orders, u32::try_from(partition).unwrap()));
        assert_eq!(lag.position, Some(if kept { lag.end } else { 0 }), "{partition}");
    }
}

const CHILD: &str = "OFS_TEST_KAFKA_CHILD";

/// Not a test: the process that `a_frozen_member_is_replaced…` freezes. It joins, acks what it gets
/// only once it has got it again or lost it, and says so.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a test process is told what to do")]
async fn child() {
    let Ok(url) = std::env::var(CHILD) else { return };
    let log = KafkaLog::open(&url).unwrap();
    let mut subscription = log.subscribe("g", &TOPICS).await.unwrap();
    let mut records = Vec::new();
    loop {
        match subscription.next(100).await.unwrap() {
            Polled::Records(more) => {
                records.extend(more);
                eprintln!("has {}", records.len());
            }
            Polled::Revoked(_) => {
                ack(&mut *subscription, &records);
                eprintln!("revoked");
                subscription.close().await.unwrap();
                return;
            }
        }
    }
}

struct Frozen(Child);

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Frozen {
    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.0.id().to_string()]).status();
        assert!(status.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_member_is_replaced_and_cannot_ack_when_it_wakes() {
    let Some(kafka) = Kafka::start().await else { return };
    let log = kafka.log().await;
    let at = append(&log, numbered(Topic::Orders, "a", 0..10)).await[0];
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "log::only_kafka::groups::child", "--nocapture"])
        .env(CHILD, kafka.url())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = Frozen(child.unwrap());
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
    let mut until = move |what: &str| lines.find(|line| line.as_ref().unwrap() == what).is_some();
    assert!(until("has 10"));
    child.signal("-STOP");
    let mut second = log.subscribe("g", &TOPICS).await.unwrap();
    let records = take(&mut *second, 10).await;
    ack(&mut *second, &records[..4]);
    soon("the ack is kept", async || position(&log, "g", at.partition).await == Some(4)).await;
    child.signal("-CONT");
    assert!(until("revoked"), "it is told, and acks ten records all the same");
    assert!(child.0.wait().unwrap().success());
    second.close().await.unwrap();
    assert_eq!(position(&log, "g", at.partition).await, Some(4));
}
