//! The store on SQLite: a fresh file for each test, and what only this engine promises.

use super::*;
use ofs_engines::sqlite::{OpenError, Options};
use ofs_engines::store::sqlite::SqliteStore;
use ofs_runtime::context::Clock;
use ofs_runtime::store::{Depths, ParkedFilter, Retention};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub struct Sqlite {
    directory: TempDir,
    clock: Clock,
}

impl Sqlite {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), clock: Clock::movable() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("data").join("store.db")
    }
}

#[async_trait::async_trait]
impl Engine for Sqlite {
    async fn open(&self) -> Arc<dyn Store> {
        let options = Options { clock: self.clock, ..Options::default() };
        Arc::new(SqliteStore::open(&self.path(), options).await.unwrap())
    }

    async fn access(&self) -> Arc<dyn Access> {
        Arc::new(SqliteStore::open(&self.path(), Options::default()).await.unwrap())
    }

    async fn try_execute(&self, sql: &str) -> Result<(), String> {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        connection.execute_batch(sql).map_err(|error| error.to_string())
    }

    async fn tamper(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        let guards = "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema
                      WHERE type = 'trigger' AND tbl_name = 'audit'";
        let guards: Option<String> = connection.query_row(guards, [], |row| row.get(0)).unwrap();
        connection.execute_batch(&format!("{};{sql}", guards.unwrap_or_default())).unwrap();
    }

    async fn set_clock(&self, by_seconds: i64) {
        self.clock.set(by_seconds);
    }
}

pub async fn fresh() -> Option<Sqlite> {
    Some(Sqlite::new())
}

async fn refused(path: &Path) -> OpenError {
    SqliteStore::open(path, Options::default()).await.unwrap_err()
}

fn heavy(number: u128) -> Commit {
    let mut commit = created(order(number), number);
    commit.outgoing[0].value = Bytes::from(vec![b' '; 16_384]);
    commit
}

/// Commits until the disk is full; answers with the number that did not fit.
async fn fill(store: &Arc<dyn Store>, first: u128) -> u128 {
    for number in first..first + 1_000 {
        match store.commit(heavy(number)).await {
            Ok(()) => {}
            Err(Error::Full) => return number,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the disk never filled up")
}

#[tokio::test]
async fn a_full_disk_stops_writing_but_not_reading_and_heals_when_there_is_room() {
    let engine = Sqlite::new();
    let small = Options { max_pages: Some(200), ..Options::default() };
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&engine.path(), small).await.unwrap());
    let refused = fill(&store, 1).await;
    assert_eq!(store.commit(heavy(refused)).await, Err(Error::Full));
    assert_eq!(version(&store, order(1)).await, 1);
    assert_eq!(version(&store, order(refused)).await, 0);
    let rows = outbox(&store, OWNER).await;
    assert_eq!(rows.len(), usize::try_from(refused).unwrap() - 1);
    store.commit(settled(rows[..4].iter().map(|id| Settled::Sent(*id)))).await.unwrap();
    store.commit(heavy(refused)).await.unwrap();
    let refused = fill(&store, refused + 1).await;
    drop(store);
    let store = engine.open().await;
    store.commit(heavy(refused)).await.unwrap();
}

#[tokio::test]
async fn what_waits_is_counted_alike_while_the_file_is_open_and_when_it_is_opened_again() {
    let engine = Sqlite::new();
    let store = engine.open().await;
    for number in 0..6 {
        let event = parking(Some(order(number)), u64::try_from(number).unwrap(), None);
        let owed = Commit { index: vec![(order(number), 1)], ..created(order(number), number) };
        store.commit(Commit { parked: vec![event], ..owed }).await.unwrap();
    }
    let again = [(order(0), 1), (order(1), 1)];
    let owed_again = Commit { index: again.to_vec(), ..records([record(order(9), 0, "x")]) };
    store.commit(owed_again).await.unwrap();
    let refuse = |version, reason: &str| Settled::Refused {
        key: order(2),
        version,
        reason: reason.to_owned(),
    };
    let taken_back = Commit {
        settled: vec![Settled::Sent(1), refuse(1, "why"), Settled::Sent(99)],
        ..settled([])
    };
    assert_eq!(store.commit(taken_back).await, Err(Error::Stale));
    store
        .commit(settled([Settled::Sent(1), refuse(1, "why"), Settled::Resolved(1)]))
        .await
        .unwrap();
    let counted = async |store: &Arc<dyn Store>| {
        let Depths { outbox, index, refused, parked, .. } = store.depths().await.unwrap();
        [outbox, index, refused, parked]
            .map(|lane| lane.iter().map(|depth| depth.rows).sum::<u64>())
    };
    assert_eq!(counted(&store).await, [5, 5, 1, 5]);
    drop(store);
    assert_eq!(counted(&engine.open().await).await, [5, 5, 1, 5]);
}

#[tokio::test]
async fn a_second_process_is_kept_out_until_the_first_is_gone() {
    let engine = Sqlite::new();
    let store = engine.open().await;
    let error = refused(&engine.path()).await;
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    drop(store);
    engine.open().await;
}

#[tokio::test]
async fn another_programs_file_is_left_alone() {
    let engine = Sqlite::new();
    std::fs::create_dir_all(engine.path().parent().unwrap()).unwrap();
    std::fs::write(engine.path(), "dear diary, ".repeat(1_000)).unwrap();
    let error = refused(&engine.path()).await;
    assert!(matches!(error, OpenError::Foreign(_)), "{error}");
    assert_eq!(std::fs::read_to_string(engine.path()).unwrap().len(), 12_000);
    std::fs::remove_file(engine.path()).unwrap();
    let theirs = rusqlite::Connection::open(engine.path()).unwrap();
    theirs.execute_batch("CREATE TABLE diary (entry TEXT)").unwrap();
    drop(theirs);
    let error = refused(&engine.path()).await;
    assert!(matches!(error, OpenError::Foreign(_)), "{error}");
}

#[tokio::test]
async fn a_newer_builds_schema_is_refused() {
    let engine = Sqlite::new();
    drop(engine.open().await);
    let newer = rusqlite::Connection::open(engine.path()).unwrap();
    let sql = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
               VALUES (99, 'future', '2030-01-01T00:00:00Z', '1')";
    newer.execute(sql, []).unwrap();
    drop(newer);
    let error = refused(&engine.path()).await;
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let engine = Sqlite::new();
    let file = engine.directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = refused(&file.join("data").join("store.db")).await;
    assert!(matches!(error, OpenError::Directory { .. }), "{error}");
    assert!(error.to_string().contains("file/data"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_of_a_caller_that_is_gone_are_written_whole() {
    let engine = Sqlite::new();
    let store = engine.open().await;
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.commit(created(order(n), n)).await })
        })
        .collect();
    for task in &tasks {
        task.abort();
    }
    futures::future::join_all(tasks).await;
    drop(store);
    let store = engine.open().await;
    let keys: Vec<Key> = (0..64).map(order).collect();
    let written = load(&store, &keys).await.records.len();
    assert_eq!(outbox(&store, OWNER).await.len(), written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wal_stays_bounded_while_readers_come_and_go() {
    let engine = Sqlite::new();
    let store = engine.open().await;
    for round in 0..40 {
        let commits = (0..64).map(|n| store.commit(heavy(round * 64 + n)));
        let reading = store.scan(OWNER, None, 1_000);
        let (outcomes, _) = futures::join!(futures::future::join_all(commits), reading);
        assert!(outcomes.iter().all(Result::is_ok));
    }
    let size = |name: &str| std::fs::metadata(engine.path().with_file_name(name)).unwrap().len();
    assert!(size("store.db") > 30 << 20, "{}", size("store.db"));
    assert!(size("store.db-wal") < 24 << 20, "{}", size("store.db-wal"));
}

#[tokio::test]
async fn what_a_dead_process_was_trying_is_due_again_as_soon_as_the_file_is_opened() {
    const HOUR: Duration = Duration::from_hours(1);
    let engine = Sqlite::new();
    let store = engine.open().await;
    let due = Some(Duration::ZERO);
    store.commit(parked([parking(Some(order(1)), 1, due)])).await.unwrap();
    assert_eq!(store.due(OWNER, HOUR, 10).await.unwrap().len(), 1);
    assert!(store.due(OWNER, HOUR, 10).await.unwrap().is_empty());
    drop(store);
    let claimed = engine.open().await.due(OWNER, HOUR, 10).await.unwrap();
    assert_eq!(claimed[0].attempts, 2, "the try that died counts");
}

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

#[tokio::test]
async fn nothing_that_waits_or_is_held_ends_early_when_the_clock_is_set_forward() {
    let engine = Sqlite::new();
    let store = engine.open().await;
    store.commit(parked([parking(Some(order(1)), 1, Some(LONG))])).await.unwrap();
    store.commit(parked([parking(Some(order(2)), 2, Some(Duration::ZERO))])).await.unwrap();
    let held = store.due(OWNER, LONG, 10).await.unwrap()[0].id;
    let lease = async |holder| store.lease("outbox", Uuid::from_u128(holder), 8, LONG).await;
    assert_eq!(lease(1).await.unwrap().len(), 8);
    for by in [HOUR, DAY] {
        engine.clock.set(by);
        assert!(store.due(OWNER, LONG, 10).await.unwrap().is_empty());
        let given_up = settled([Settled::Discarded(held, "early".to_owned())]);
        assert_eq!(store.commit(given_up).await, Err(Error::Stale));
        assert!(lease(2).await.unwrap().is_empty());
    }
    engine.clock.pass(LONG);
    assert_eq!(store.due(OWNER, LONG, 10).await.unwrap().len(), 2);
    assert_eq!(lease(2).await.unwrap().len(), 8);
}

#[tokio::test]
async fn what_was_stamped_while_the_clock_was_behind_is_not_old_when_it_is_set_right() {
    for behind in [HOUR, DAY] {
        let engine = Sqlite::new();
        let store = engine.open().await;
        engine.clock.set(-behind);
        store.commit(Commit { once: Some(once("k")), ..empty() }).await.unwrap();
        engine.clock.set(behind);
        let retention = Retention { inbox_days: 0, once_hours: 1, parked_days: 0 };
        let wanted =
            Wanted { owner: OWNER.to_owned(), once: Some("k".to_owned()), ..Wanted::default() };
        let kept = async || store.load(&wanted).await.unwrap().once.is_some();
        assert!(!store.tidy(retention).await.unwrap());
        assert!(kept().await);
        engine.clock.pass(Duration::from_hours(26));
        assert!(!store.tidy(retention).await.unwrap());
        assert!(!kept().await);
    }
}

#[tokio::test]
async fn the_next_try_is_shown_by_the_clock_as_it_is() {
    let engine = Sqlite::new();
    let store = engine.open().await;
    store.commit(parked([parking(Some(order(1)), 1, Some(LONG))])).await.unwrap();
    for by in [-DAY, HOUR] {
        engine.clock.set(by);
        let parked = store.parked(&ParkedFilter::default(), 1).await.unwrap().events.remove(0);
        let wait = parked.next_at.unwrap().seconds_since(engine.clock.now());
        assert!((wait - LONG.as_secs_f64()).abs() < 60.0, "{wait} s, set by {by} s");
    }
}

#[tokio::test]
async fn a_wait_that_began_before_the_clock_was_set_back_is_over_at_the_next_start() {
    for by in [-HOUR, -DAY] {
        let mut engine = Sqlite::new();
        let store = engine.open().await;
        store.commit(parked([parking(Some(order(1)), 1, Some(LONG))])).await.unwrap();
        drop(store);
        // The next process starts after the clock was set.
        engine.clock = Clock::movable();
        engine.clock.set(by);
        assert_eq!(engine.open().await.due(OWNER, LONG, 10).await.unwrap().len(), 1, "{by}");
    }
}
