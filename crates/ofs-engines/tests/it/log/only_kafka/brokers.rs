//! Brokers that die. Needs `OFS_TEST_ENGINES`, the path of a script that runs brokers of our own
//! (`up`, `kill`, `wipe`; told by `ENGINES_…` variables where and how many).

use crate::log::cluster::Kafka;
use crate::log::{SOON, ack, append, message, next, take, values};
use ofs_engines::log::kafka::KafkaLog;
use ofs_events::Topic;
use ofs_runtime::log::{Error, Log, Polled, Position};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TOPICS: [Topic; 1] = [Topic::Orders];

/// An append answers within the time a message may take, and a little.
const BOUNDED: Duration = Duration::from_secs(15);

/// A cluster that one test has for itself.
struct Brokers {
    script: String,
    directory: TempDir,
    port: u16,
    count: u16,
}

impl Brokers {
    #[expect(clippy::disallowed_methods, reason = "tests are told what to run on")]
    async fn start(count: u16) -> Option<Self> {
        static SKIPPED: Once = Once::new();
        let Ok(script) = std::env::var("OFS_TEST_ENGINES") else {
            SKIPPED.call_once(|| eprintln!("skipped: OFS_TEST_ENGINES names no script"));
            return None;
        };
        let directory = TempDir::new().unwrap();
        // The script runs its servers as another user.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).unwrap();
        let brokers = Self { script, directory, port: free_ports(), count };
        brokers.run(&["up", "kafka"]).await;
        Some(brokers)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.script);
        command
            .args(arguments)
            .env("ENGINES_DATA", self.directory.path().join("data"))
            .env("ENGINES_KAFKA_PORT", self.port.to_string())
            .env("ENGINES_KAFKA_BROKERS", self.count.to_string())
            .env("ENGINES_KAFKA_JVM_OPTS", "-XX:TieredStopAtLevel=1")
            .env(
                "ENGINES_KAFKA_CONF",
                "broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500",
            );
        command
    }

    async fn run(&self, arguments: &[&str]) {
        let mut command = self.command(arguments);
        let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn kafka(&self) -> Kafka {
        let brokers = (0..self.count).map(|n| format!("127.0.0.1:{}", self.port + 10 * n));
        Kafka::on(&brokers.collect::<Vec<_>>().join(","))
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        let _ = self.command(&["wipe"]).output();
    }
}

/// The first port of a range that is free: 0, 1, 10, 11, 20 and 21 above it are used.
fn free_ports() -> u16 {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let process = std::process::id() as usize * 7;
    loop {
        let turn = process + TAKEN.fetch_add(1, Ordering::Relaxed);
        let base = 20_000 + u16::try_from(turn % 80).unwrap() * 100;
        if [0, 1, 10, 11, 20, 21].into_iter().all(|n| free(base + n)) {
            return base;
        }
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
    assert!(KafkaLog::open(&kafka.url()).err().unwrap().may_pass());

    brokers.run(&["up", "kafka"]).await;
    writers.go_on(500).await;
    let (done, failures) = writers.stop().await;
    assert!(failures > 0, "appends failed in between");
    ack(&mut *subscription, &first);
    let mut seen = read_all(&log, &mut *subscription).await;
    seen.extend(values(&first));
    all_there(&log, &done, &seen).await;
    subscription.close().await.unwrap();
}

/// The topics in three copies, once all brokers are up.
async fn in_three_copies(kafka: &Kafka) -> KafkaLog {
    let log = kafka.connect().await;
    let until = Instant::now() + SOON;
    while let Err(error) = log.prepare(kafka.layout).await {
        assert!(error.to_string().contains("start the third"), "{error}");
        assert!(Instant::now() < until, "{error}");
    }
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
    brokers.run(&["kill", &format!("kafka-{leader}")]).await;
    writers.go_on(2000).await;
    let (done, _) = writers.stop().await;
    // With one of three gone, nobody may take the other two for all there are.
    let blank = brokers.kafka();
    let refused = blank.connect().await.prepare(blank.layout).await.unwrap_err();
    assert!(refused.to_string().contains("start the third"), "{refused}");
    let seen = read_all(&log, &mut *subscription).await;
    all_there(&log, &done, &seen).await;
    subscription.close().await.unwrap();
}
