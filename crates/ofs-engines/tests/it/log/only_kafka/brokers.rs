//! Brokers that die: of a private cluster, started by `tests/cluster` where there is a Kafka to test on.

use crate::log::cluster::{Kafka, cluster_url};
use crate::log::{SOON, ack, append, message, next, take, values};
use ofs_engines::log::kafka::KafkaLog;
use ofs_events::Topic;
use ofs_runtime::log::{Error, Log, Polled, Position};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

const TOPICS: [Topic; 1] = [Topic::Orders];

/// An append answers within the time a message may take, and a little.
const BOUNDED: Duration = Duration::from_secs(15);

/// Brokers that one test has for itself; one test at a time, since they share their ports.
struct Brokers {
    data: TempDir,
    kafka: String,
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::const_new(());

impl Brokers {
    async fn start(count: u16) -> Option<Self> {
        cluster_url()?;
        let turn = TURN.lock().await;
        let mut brokers = Self { data: TempDir::new().unwrap(), kafka: String::new(), _turn: turn };
        let printed = brokers.run(&["up", "--brokers", &count.to_string(), "kafka"]).await;
        let url = printed.trim().strip_prefix("export OFS_TEST_KAFKA_URL=kafka://");
        url.expect("the brokers' URL").clone_into(&mut brokers.kafka);
        Some(brokers)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut command = Command::new(root.join("tests/cluster/cluster"));
        command
            .args(arguments)
            .env("OFS_CLUSTER_DATA", self.data.path())
            .env("OFS_CLUSTER_PORTS", "24000");
        command
    }

    async fn run(&self, arguments: &[&str]) -> String {
        let mut command = self.command(arguments);
        let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn kafka(&self) -> Kafka {
        Kafka::on(&self.kafka)
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        let _ = self.command(&["wipe"]).output();
    }
}

/// Appends `key:n` until it is answered with a position; also says how often it was not.
async fn insist(log: &KafkaLog, key: &str, n: usize) -> (Position, usize) {
    for failures in 0.. {
        let began = Instant::now();
        let value = format!("{key}:{n}");
        let answer = log.append(vec![message(Topic::Orders, key, value)]).await.remove(0);
        assert!(began.elapsed() < BOUNDED, "answered after {:?}", began.elapsed());
        match answer {
            Ok(at) => return (at, failures),
            Err(error) => assert!(matches!(&error, Error::Unavailable(_)), "{error}"),
        }
    }
    unreachable!("it goes on until there is a position")
}

/// Writers that append one after the other until told to stop; answers with where each record is.
struct Writers {
    stop: Arc<std::sync::atomic::AtomicBool>,
    tasks: tokio::task::JoinSet<(BTreeMap<Position, String>, usize)>,
    written: Arc<AtomicUsize>,
}

impl Writers {
    fn start(log: &Arc<KafkaLog>) -> Self {
        let stop = Arc::<std::sync::atomic::AtomicBool>::default();
        let written = Arc::<AtomicUsize>::default();
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..8 {
            let (log, stop, written) = (Arc::clone(log), Arc::clone(&stop), Arc::clone(&written));
            tasks.spawn(async move {
                let (mut done, mut failures) = (BTreeMap::new(), 0);
                let key = format!("w{writer}");
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (at, failed) = insist(&log, &key, n).await;
                    done.insert(at, format!("{key}:{n}"));
                    failures += failed;
                    written.fetch_add(1, Ordering::Relaxed);
                }
                (done, failures)
            });
        }
        Self { stop, tasks, written }
    }

    /// Waits until `count` more records have been appended.
    async fn go_on(&self, count: usize) {
        let goal = self.written.load(Ordering::Relaxed) + count;
        let reached = async {
            while self.written.load(Ordering::Relaxed) < goal {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(2 * SOON, reached).await.expect("appends go on");
    }

    async fn stop(self) -> (BTreeMap<Position, String>, usize) {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = (BTreeMap::new(), 0);
        for (done, failures) in self.tasks.join_all().await {
            all.0.extend(done);
            all.1 += failures;
        }
        all
    }
}

/// Asserts that each record stands where it was said to stand, and came to the subscriber.
async fn all_there(log: &KafkaLog, done: &BTreeMap<Position, String>, seen: &BTreeSet<String>) {
    for bounds in log.bounds(Topic::Orders).await.unwrap() {
        let mut next = bounds.first;
        while next < bounds.end {
            let page = log.read(Topic::Orders, bounds.partition, next, 1000).await.unwrap();
            for record in &page {
                if let Some(value) = done.get(&record.at) {
                    assert_eq!(&record.value[..], value.as_bytes(), "{}", record.at);
                }
            }
            next = page.last().map_or(bounds.end, |last| last.at.offset + 1);
        }
    }
    let missing: Vec<_> = done.values().filter(|value| !seen.contains(*value)).collect();
    assert!(missing.is_empty(), "{} never came: {missing:?}", missing.len());
}

/// Reads on until the group has read everything.
async fn read_all(
    log: &KafkaLog,
    subscription: &mut dyn ofs_runtime::log::Subscription,
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let until = Instant::now() + 2 * SOON;
    while Instant::now() < until {
        let wait = tokio::time::timeout(Duration::from_millis(300), subscription.next(500));
        match wait.await.map(Result::unwrap) {
            Ok(Polled::Records(records)) => {
                ack(subscription, &records);
                seen.extend(values(&records));
            }
            Ok(Polled::Revoked(_)) => {}
            Err(_) => {
                let lag = log.lag("g", &TOPICS).await;
                if lag.is_ok_and(|lag| lag.iter().all(|lag| lag.events == 0)) {
                    return seen;
                }
            }
        }
    }
    panic!("the group should read everything soon")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_and_comes_back_costs_time_and_no_record() {
    let Some(brokers) = Brokers::start(1).await else { return };
    let kafka = brokers.kafka();
    let log = Arc::new(kafka.log().await);
    append(&*log, vec![message(Topic::Orders, "a", "first")]).await;
    let mut subscription = log.subscribe("g", &TOPICS).await.unwrap();
    let mut leaver = log.subscribe("leavers", &TOPICS).await.unwrap();
    let first = take(&mut *subscription, 1).await;
    let seen_by_leaver = next(&mut *leaver, 1).await;
    ack(&mut *leaver, &seen_by_leaver);
    let writers = Writers::start(&log);
    writers.go_on(500).await;
    brokers.run(&["kill", "kafka-1"]).await;

    let began = Instant::now();
    let down = log.append(vec![message(Topic::Orders, "a", "down")]).await.remove(0);
    assert!(matches!(down, Err(Error::Unavailable(_))), "{down:?}");
    assert!(began.elapsed() < BOUNDED);
    let began = Instant::now();
    let down = log.lag("g", &TOPICS).await;
    assert!(matches!(down, Err(Error::Unavailable(_))), "{down:?}");
    assert!(began.elapsed() < BOUNDED, "{:?}", began.elapsed());
    let began = Instant::now();
    let _ = leaver.close().await;
    assert!(began.elapsed() < Duration::from_secs(20), "closed after {:?}", began.elapsed());
    assert!(KafkaLog::open(&kafka.url()).err().unwrap().is_transient());

    brokers.run(&["start", "kafka"]).await;
    writers.go_on(500).await;
    let (done, failures) = writers.stop().await;
    assert!(failures > 0, "appends failed in between");
    ack(&mut *subscription, &first);
    let mut seen = read_all(&log, &mut *subscription).await;
    seen.extend(values(&first));
    all_there(&log, &done, &seen).await;
    subscription.close().await.unwrap();
}

/// Clients that ask without pause while a broker comes up, when it knows of no broker yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_outlives_what_a_broker_says_while_it_comes_up() {
    let Some(brokers) = Brokers::start(1).await else { return };
    let kafka = brokers.kafka();
    let mut logs = vec![Arc::new(kafka.log().await)];
    for _ in 0..7 {
        logs.push(Arc::new(kafka.connect().await));
    }
    for log in &logs {
        append(&**log, vec![message(Topic::Orders, "a", "before")]).await;
    }
    for round in 0..4 {
        brokers.run(&["kill", "kafka-1"]).await;
        let asking: tokio::task::JoinSet<()> =
            logs.iter().cloned().map(asks_until_answered).collect();
        brokers.run(&["start", "kafka"]).await;
        let answered = tokio::time::timeout(2 * SOON, asking.join_all()).await;
        assert!(answered.is_ok(), "a client asks for ever, after restart {round}");
    }
}

async fn asks_until_answered(log: Arc<KafkaLog>) {
    while log.bounds(Topic::Orders).await.is_err() {}
    insist(&log, "a", 0).await;
}

async fn in_three_copies(kafka: &Kafka) -> KafkaLog {
    let log = kafka.connect().await;
    log.prepare(kafka.layout).await.unwrap();
    log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_brokers_one_may_die() {
    let Some(brokers) = Brokers::start(3).await else { return };
    let kafka = brokers.kafka();
    let client: BaseConsumer = kafka.foreign().create().unwrap();
    let log = Arc::new(in_three_copies(&kafka).await);
    let topic = kafka.topic(Topic::Orders);
    let metadata = client.fetch_metadata(Some(&topic), Duration::from_secs(5)).unwrap();
    let partitions = metadata.topics()[0].partitions();
    assert!(partitions.iter().all(|partition| partition.replicas().len() == 3));
    let leader = partitions[0].leader();

    let mut subscription = log.subscribe("g", &TOPICS).await.unwrap();
    let writers = Writers::start(&log);
    writers.go_on(500).await;
    next(&mut *subscription, 1).await;
    subscription.close().await.unwrap();
    let mut subscription = log.subscribe("g", &TOPICS).await.unwrap();
    let idle = kafka.connect().await;
    brokers.run(&["kill", &format!("kafka-{leader}")]).await;
    writers.go_on(2000).await;
    for topic in Topic::ALL {
        let found = idle.bounds(topic).await;
        assert!(found.is_ok(), "brokers that live answer at once: {found:?}");
    }
    let (done, _) = writers.stop().await;
    // With one of three gone, nobody may take the other two for all there are.
    let blank = brokers.kafka();
    let refused = blank.connect().await.prepare(blank.layout).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "it may come: {refused:?}");
    assert!(refused.to_string().contains("start the third"), "{refused}");
    let seen = read_all(&log, &mut *subscription).await;
    all_there(&log, &done, &seen).await;
    subscription.close().await.unwrap();
}
