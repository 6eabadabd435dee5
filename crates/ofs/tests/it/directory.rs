//! Data directories that must not be used: refused at start, in words, and left as they are.

use crate::server::{Server, get, order, place, place_all, post, until, until_status};
use crate::system::System;
use serde_json::Value;
use std::path::Path;

fn refused(system: &System, variables: &[(&str, &str)]) -> String {
    let said = system.try_start(&[], variables).err().expect("it must not start");
    assert!(said.contains("exit status: 1"), "{said}");
    assert!(said.contains("error: "), "{said}");
    assert!(!said.contains("panicked") && !said.contains("Error {"), "{said}");
    said
}

fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "it should say `{word}`: {said}");
    }
}

fn stop(mut server: Server) {
    assert_eq!(server.stop(), Some(0));
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_the_first_server_goes_on() {
    let system = System::new();
    let first = system.start();
    assert_says(&refused(&system, &[]), &["data directory", "another ofs process is using it"]);
    place(&first.url, &order(None)).await.expect("it goes on");
    let reset =
        system.ofs(None, &["events", "reset", "--group", "order-service-v1", "--to", "earliest"]);
    assert_eq!(reset.status.code(), Some(1));
    assert_says(&String::from_utf8_lossy(&reset.stderr), &["stopped server"]);
}

#[test]
fn a_file_of_another_program_is_refused_and_left_as_it_is() {
    for file in ["store.db", "log.db"] {
        let system = System::new();
        stop(system.start());
        let path = system.data().join(file);
        for gone in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(system.data().join(format!("{file}{gone}")));
        }
        let diary = "dear diary, ".repeat(1000);
        std::fs::write(&path, &diary).expect("written");
        assert_says(&refused(&system, &[]), &[file, "another program's file"]);
        assert_eq!(std::fs::read_to_string(&path).expect("read"), diary);
        std::fs::remove_file(&path).expect("removed");
        let theirs = rusqlite::Connection::open(&path).expect("theirs");
        theirs.execute_batch("CREATE TABLE diary (entry TEXT)").expect("made");
        drop(theirs);
        assert_says(&refused(&system, &[]), &[file, "another program's file"]);
    }
}

#[test]
fn a_directory_that_a_newer_build_has_migrated_is_refused() {
    for file in ["store.db", "log.db"] {
        let system = System::new();
        stop(system.start());
        let newer = rusqlite::Connection::open(system.data().join(file)).expect("the file");
        let sql = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                   VALUES (99, 'future', '2030-01-01T00:00:00Z', '1')";
        newer.execute(sql, []).expect("migrated");
        drop(newer);
        assert_says(&refused(&system, &[]), &[file, "schema 99 is newer", "use a newer ofs"]);
    }
}

#[test]
fn a_log_of_another_store_is_refused() {
    let (one, other) = (System::new(), System::new());
    for system in [&one, &other] {
        stop(system.start());
    }
    for file in ["log.db", "log.db-wal", "log.db-shm"] {
        let (from, to) = (one.data().join(file), other.data().join(file));
        let _ = std::fs::remove_file(&to);
        if from.exists() {
            std::fs::copy(from, to).expect("copied");
        }
    }
    assert_says(&refused(&other, &[]), &["log.db", "belongs to store", "same backup"]);
}

#[test]
fn a_directory_that_cannot_be_written_to_is_refused_by_name() {
    let system = System::new();
    std::fs::create_dir_all(system.data()).expect("a directory");
    let file = system.data().join("file");
    std::fs::write(&file, "").expect("written");
    let below = file.join("data");
    // On Linux no user, not even root, can make a directory there.
    let unwritable = ["/proc/ofs-data", below.to_str().expect("text")];
    for path in unwritable
        .into_iter()
        .filter(|path| Path::new("/proc/self").exists() || !path.starts_with("/proc"))
    {
        let said = refused(&system, &[("OFS_DATA_DIR", path)]);
        assert_says(&said, &["cannot use the data directory", path, "belongs to this user"]);
    }
}

#[test]
fn a_damaged_store_is_refused_and_not_repaired() {
    let system = System::new();
    stop(system.start());
    let path = system.data().join("store.db");
    // Closing the last connection moves everything into the one file.
    let store = rusqlite::Connection::open(&path).expect("the store");
    store.execute("DELETE FROM leases", []).expect("a write");
    drop(store);
    let sound = std::fs::read(&path).expect("read");
    let mut damaged = sound.clone();
    damaged[4096..8192].fill(0xaa);
    std::fs::write(&path, &damaged).expect("written");
    let said = refused(&system, &[]);
    assert_says(&said, &["data directory", "store.db"]);
    assert_eq!(std::fs::read(&path).expect("read")[4096..8192], damaged[4096..8192]);
    std::fs::write(&path, &sound).expect("written");
    stop(system.start());
}

#[tokio::test]
async fn what_is_kept_is_for_the_servers_own_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let system = System::new();
    std::fs::create_dir_all(system.data()).expect("a directory");
    let everybodys = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(system.data(), everybodys).expect("permissions");
    let server = system.start();
    place(&server.url, &order(None)).await.expect("an order");
    let mut looked_at = Vec::new();
    let mut waiting = vec![system.data()];
    while let Some(path) = waiting.pop() {
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        let mode = metadata.permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        if metadata.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a directory");
            waiting.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
        looked_at.push(path);
    }
    assert!(looked_at.contains(&system.data().join("store.db")), "{looked_at:?}");
}

/// Overwrites the middle of a stopped server's file.
fn damage(path: &Path) {
    // Closing the last connection moves everything into the one file.
    let database = rusqlite::Connection::open(path).expect("the database");
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("a checkpoint");
    drop(database);
    let mut bytes = std::fs::read(path).expect("read");
    let (middle, end) = (bytes.len() / 2, bytes.len());
    bytes[middle..end.min(middle + (64 << 10))].fill(0xaa);
    std::fs::write(path, bytes).expect("written");
}

#[tokio::test]
async fn damage_is_found_and_named_and_nothing_is_written_on_top_of_it() {
    for file in ["store.db", "log.db"] {
        let system = System::new();
        let mut server = system.start();
        for id in place_all(&server.url, &["success"; 40]).await {
            until_status(&server.url, &id, "FulfillmentScheduled").await;
        }
        assert_eq!(server.stop(), Some(0));
        let doctor = system.ofs(None, &["doctor"]);
        assert_eq!(doctor.status.code(), Some(0), "{doctor:?}");
        damage(&system.data().join(file));
        let doctor = system.ofs(None, &["--json", "doctor"]);
        assert_eq!(doctor.status.code(), Some(1), "{doctor:?}");
        let found: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
        assert!(found["damage"][file].is_array(), "{found}");
        let Ok(server) = system.try_start(&[], &[]) else { continue };
        let port = file.strip_suffix(".db").expect("a port");
        let ready = format!("{}/health/ready", server.url);
        until(&ready, "damage", |status, body| {
            status == 503 && body["troubles"][port].as_str().is_some_and(|text| text.contains(file))
        })
        .await;
        let (status, problem) = post(&format!("{}/orders", server.url), Some(&order(None))).await;
        assert_eq!(status, 503, "{problem}");
        assert_eq!(problem["type"], "urn:ofs:problem:storage-damaged", "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains(file)), "{problem}");
    }
}

#[tokio::test]
async fn a_directory_that_is_taken_away_takes_no_orders_any_more() {
    let system = System::new();
    let mut server = system.start();
    place(&server.url, &order(None)).await.expect("an order");
    std::fs::rename(system.data(), system.dir().join("elsewhere")).expect("moved");
    let (status, problem) = post(&format!("{}/orders", server.url), Some(&order(None))).await;
    assert_eq!((status, &problem["type"]), (503, &"urn:ofs:problem:storage-damaged".into()));
    let (status, body) = get(&format!("{}/health/ready", server.url)).await;
    assert_eq!(status, 503, "{body}");
    assert!(body["troubles"]["store"].as_str().is_some_and(|text| text.contains("removed")));
    server.kill();
}
