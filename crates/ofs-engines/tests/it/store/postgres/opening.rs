//! Opening and migrating: what is refused, and what is said about it.

use super::*;
use ofs_engines::store::postgres::OpenError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn refused(url: &str) -> OpenError {
    PostgresStore::open(url).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_may_migrate_at_once() {
    let Some(database) = empty_database().await else { return };
    let url = database.url();
    let outcomes = futures::future::join_all((0..8).map(|_| postgres::migrate(&url))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    postgres::migrate(&url).await.unwrap();
    let sql =
        "SELECT count(*) > 1 AND count(*) = count(DISTINCT name) FROM refinery_schema_history";
    let once = database.client().await.query_one(sql, &[]).await.unwrap();
    assert!(once.get::<_, bool>(0), "each version is applied once");
    let opened = futures::future::join_all((0..4).map(|_| database.store())).await;
    assert!(opened.iter().all(|store| store.instance() == opened[0].instance()));
}

#[tokio::test]
async fn an_older_schema_is_refused_with_the_command_to_run() {
    let Some(database) = empty_database().await else { return };
    let error = refused(&database.url()).await;
    assert!(matches!(error, OpenError::Older { found: 0, .. }), "{error}");
    assert!(error.to_string().contains("run `ofs migrate`, or start with --migrate"), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_newer_builds_schema_is_refused() {
    let Some(database) = fresh().await else { return };
    let sql = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
               VALUES (99, 'future', '2030-01-01T00:00:00Z', '1')";
    database.client().await.batch_execute(sql).await.unwrap();
    for error in
        [refused(&database.url()).await, postgres::migrate(&database.url()).await.unwrap_err()]
    {
        assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_newer_builds_schema_that_only_adds_something_is_worked_beside() {
    let Some(database) = fresh().await else { return };
    let applied = |version: i32, name: &str| {
        format!(
            "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
             VALUES ({version}, '{name}', '2030-01-01T00:00:00Z', '1')"
        )
    };
    let client = database.client().await;
    client.batch_execute(&applied(98, "additive_notes")).await.unwrap();
    postgres::migrate(&database.url()).await.unwrap();
    let store = PostgresStore::open(&database.url()).await.unwrap();
    assert_eq!(store.log_ends().await.unwrap(), []);
    drop(store);
    client.batch_execute(&applied(99, "split_records")).await.unwrap();
    assert!(matches!(refused(&database.url()).await, OpenError::Newer { found: 99, .. }));
}

#[tokio::test]
async fn a_migration_that_was_changed_is_refused() {
    let Some(database) = fresh().await else { return };
    let sql = "UPDATE refinery_schema_history SET checksum = '1'";
    database.client().await.batch_execute(sql).await.unwrap();
    let error = postgres::migrate(&database.url()).await.unwrap_err();
    assert!(matches!(error, OpenError::Migration { .. }), "{error}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let Some(database) = empty_database().await else { return };
    let error = refused(&with_database(&database.server, "no_such_database")).await;
    assert!(matches!(error, OpenError::NoDatabase { .. }), "{error}");
    assert!(error.to_string().contains("/no_such_database as "), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_may_come() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = refused(&format!("postgresql://ofs:s3cret@{free}/ofs")).await;
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
    assert!(error.is_transient());
    assert!(error.to_string().contains(&free.to_string()), "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn a_url_that_cannot_be_read_is_refused_without_showing_it() {
    for url in [
        "postgresql://ofs:s3cret@host/ofs?sslmode=perhaps",
        "postgresql://ofs:s3cret@host:port/ofs",
        "postgresql:///ofs?user=ofs&password=s3cret",
        "s3cret",
    ] {
        let error = refused(url).await;
        assert!(matches!(error, OpenError::Url(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
}

/// A server that turns everybody away with this SQLSTATE.
async fn turning_away(code: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut startup = vec![0; client.read_u32().await.unwrap() as usize - 4];
        client.read_exact(&mut startup).await.unwrap();
        let fields = format!("SFATAL\0VFATAL\0C{code}\0Mgo away\0\0");
        client.write_u8(b'E').await.unwrap();
        client.write_u32(u32::try_from(fields.len()).unwrap() + 4).await.unwrap();
        client.write_all(fields.as_bytes()).await.unwrap();
    });
    format!("postgresql://ofs:s3cret@{address}/ofs?sslmode=disable")
}

#[tokio::test]
async fn who_is_turned_away_is_told_whose_fault_it_is() {
    for (code, fix, transient) in [
        ("28P01", "check the user and the password", false),
        ("28000", "check the user and the password", false),
        ("57P03", "check that it is running", true),
        ("53300", "check that it is running", true),
        ("42501", "go away", false),
    ] {
        let error = refused(&turning_away(code).await).await;
        assert!(error.to_string().contains(fix), "{code}: {error}");
        assert!(error.to_string().contains("go away"), "{code}: {error}");
        assert_eq!(error.is_transient(), transient, "{code}: {error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgresql://ofs@{}/ofs", listener.local_addr().unwrap());
    let error = refused(&url).await;
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
    assert!(error.is_transient());
}
