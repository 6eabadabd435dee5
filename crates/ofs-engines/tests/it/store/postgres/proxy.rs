//! A client that freezes inside a commit, seen from the server: a proxy stops passing on what it sends.

use super::*;
use std::sync::atomic::AtomicBool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What the proxy does not pass on, nor anything after it, until it is told to.
const MARK: &[u8] = b"not further than this";

#[derive(Default)]
struct Thaw {
    stopped: AtomicBool,
    go_on: Notify,
}

/// A proxy in front of `server`; the address where it listens.
async fn proxy(server: String, thaw: Arc<Thaw>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            let thaw = Arc::clone(&thaw);
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                    let sent = &buffer[..read];
                    if let Some(mark) = sent.windows(MARK.len()).position(|part| part == MARK) {
                        to_server.write_all(&sent[..mark]).await?;
                        thaw.stopped.store(true, Ordering::SeqCst);
                        thaw.go_on.notified().await;
                        to_server.write_all(&sent[mark..]).await?;
                    } else {
                        to_server.write_all(sent).await?;
                    }
                }
                std::io::Result::Ok(())
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_frozen_inside_a_commit_holds_up_others_for_five_seconds_at_most() {
    let Some(database) = fresh().await else { return };
    let url = database.url();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (user, rest) = rest.split_once('@').unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let thaw = Arc::new(Thaw::default());
    let proxied = proxy(address.to_owned(), Arc::clone(&thaw)).await;
    let frozen = PostgresStore::open(&format!("{scheme}://{user}@{proxied}/{path}")).await.unwrap();
    let store = database.store().await;
    store.commit(created(order(1), 1)).await.unwrap();
    // The record is written by then, what follows from it is on its way.
    let mut commit =
        Commit { outgoing: vec![message(order(1), 2)], ..records([record(order(1), 1, "frozen")]) };
    commit.outgoing[0].value = Bytes::from([&[b' '; 1 << 16][..], MARK].concat());
    let freezing = tokio::spawn(async move { frozen.commit(commit).await });
    until("it is frozen", async || thaw.stopped.load(Ordering::SeqCst).then_some(())).await;
    let client = database.client().await;
    let holding = "SELECT count(*) FROM pg_locks WHERE relation = 'records'::regclass
                   AND mode = 'RowExclusiveLock' AND granted";
    until("it holds the record", async || {
        (client.query_one(holding, &[]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
    })
    .await;
    let started = Instant::now();
    store.commit(records([record(order(1), 1, "successor")])).await.unwrap();
    let waited = started.elapsed();
    assert!(waited > Duration::from_secs(1), "it was not held up at all: {waited:?}");
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    thaw.go_on.notify_one();
    let outcome = freezing.await.unwrap();
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    assert_eq!(load(&store, &[order(1)]).await.records[&order(1)].status, "successor");
    assert_eq!(outbox(&store, OWNER).await.len(), 1);
}
