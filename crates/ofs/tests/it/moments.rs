//! PostgreSQL and Kafka from different points in time, because one was restored or recreated: it is named
//! at the start, nothing is ready until it is repaired, and then nothing is missing.

use crate::repair::{
    SCHEDULED, ids, repair, until_missed_and_repaired, until_published, until_the_index_agrees,
};
use crate::server::{PATIENCE, Server, place_all, until_status};
use crate::system::{SERVICES, System};
use ofs_events::Topic;
use std::time::{Duration, Instant};

/// Orders that are through.
async fn through(server: &Server, count: usize) -> Vec<String> {
    let placed = place_all(&server.url, &vec!["success"; count]).await;
    for id in &placed {
        until_status(&server.url, id, SCHEDULED).await;
    }
    for service in SERVICES {
        until_published(server, service).await;
    }
    placed
}

/// Waits until store and log have noted how far the other is.
async fn until_noted(system: &System) {
    let engines = system.engines().await;
    let began = Instant::now();
    loop {
        let mark = engines.log.noted_store().await.expect("a mark").expect("one is kept");
        let newest = engines.store.newest_outgoing().await.expect("a number");
        let ends = engines.store.log_ends().await.expect("ends");
        let mut behind = mark.newest < newest;
        for topic in Topic::ALL {
            for bounds in engines.log.bounds(topic).await.expect("bounds") {
                let noted = |end: &&ofs_runtime::store::LogEnd| {
                    (end.topic, end.partition) == (topic, bounds.partition)
                };
                behind |= ends.iter().find(noted).map_or(0, |end| end.next) < bounds.end;
            }
        }
        if !behind {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{mark:?}, but {newest} are there; {ends:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_postgres_that_was_restored_from_an_older_dump_is_missed_at_the_start() {
    let Some(system) = System::on_shared_servers() else { return };
    let servers = system.servers().expect("servers").clone();
    let mut server = system.start();
    let before = through(&server, 20).await;
    until_noted(&system).await;
    let dump = servers.dump();
    let after = through(&server, 20).await;
    until_noted(&system).await;
    assert_eq!(server.stop(), Some(0));
    servers.restore(&dump);
    let found = repair(&system, &[]);
    let mut lost = ids(&found["restored"]);
    let mut expected: Vec<&str> = after.iter().map(String::as_str).collect();
    lost.sort_unstable();
    expected.sort_unstable();
    assert_eq!((lost, &found["applied"]), (expected, &false.into()), "{found}");
    let words = "the store has lost its last writes";
    until_missed_and_repaired(&system, words, &[before, after].concat()).await;
    let mut server = system.start();
    until_the_index_agrees(&server).await;
    assert_eq!(server.stop(), Some(0));
    assert_eq!(system.charges().len(), 40, "no customer is charged again");
}

#[tokio::test]
async fn topics_that_were_made_anew_are_missed_at_the_start() {
    let Some(system) = System::on_shared_servers() else { return };
    let servers = system.servers().expect("servers").clone();
    let mut server = system.start();
    let mut placed = through(&server, 20).await;
    assert_eq!(server.stop(), Some(0));
    // Orders that are not finished; of those that are, nothing has to come back.
    let mut server = system.start_with(&["--service", "order-service"], &[]);
    placed.extend(place_all(&server.url, &["success"; 10]).await);
    until_published(&server, "order-service").await;
    until_noted(&system).await;
    assert_eq!(server.stop(), Some(0));
    for topic in Topic::ALL {
        let delete = ["--delete", "--topic", &servers.topic(topic)];
        servers.kafka_tool("org.apache.kafka.tools.TopicCommand", &delete);
    }
    let made = system.ofs(None, &["migrate"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let found = repair(&system, &[]);
    assert_eq!(found["republished"].as_array().map(Vec::len), Some(10), "{found}");
    until_missed_and_repaired(&system, "the log has lost", &placed).await;
    assert_eq!(system.charges().len(), 30, "no customer is charged again");
}
