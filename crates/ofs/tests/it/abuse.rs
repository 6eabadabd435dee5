//! Clients that hold, flood or starve a server: it bounds them, and others notice nothing of it.

use crate::connections::{HALVES, half};
use crate::heavy::memory;
use crate::server::{PATIENCE, Server, get, http};
use crate::system::{System, record};
use ofs_events::Topic;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// What a busy machine may add to any answer.
const NOISE: Duration = Duration::from_millis(600);
/// Held by whoever measures, so that one's load is not in another's times.
static ALONE: Mutex<()> = Mutex::const_new(());

/// How long 99 of 100 answers took at most.
async fn p99(server: &Server) -> Duration {
    let (client, url) = (http(), format!("{}/index/refused", server.url));
    let mut took = Vec::new();
    for _ in 0..300 {
        let began = Instant::now();
        let answer = client.get(&url).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        answer.bytes().await.expect("a body");
        took.push(began.elapsed());
    }
    took.sort();
    took[took.len() * 99 / 100]
}

fn unharmed(what: &str, before: Duration, during: Duration) {
    eprintln!("{what}: p99 {before:?} before, {during:?} during");
    assert!(during <= 2 * before.max(NOISE / 2), "{what}: {before:?} before, {during:?} during");
}

/// Sockets that it has open.
fn open(server: &Server) -> usize {
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.id())).expect("descriptors");
    let to = open.filter_map(|one| std::fs::read_link(one.ok()?.path()).ok());
    to.filter(|to| to.to_string_lossy().starts_with("socket:")).count()
}

/// Opens connections, as many at a time as the system keeps until they are accepted, and waits for that.
async fn hold(server: &Server, most: usize, within: Duration) -> Vec<TcpStream> {
    let descriptors = || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", server.id()));
        open.expect("descriptors").count()
    };
    let began = Instant::now();
    let mut held = Vec::new();
    while held.len() < most && began.elapsed() < within {
        held.extend((0..500.min(most - held.len())).map(|_| half(server, "")));
        while descriptors() < held.len() {
            assert!(began.elapsed() < PATIENCE, "{} of {} are held", descriptors(), held.len());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    held
}

#[tokio::test]
async fn ten_thousand_idle_connections_are_held_and_others_go_on() {
    let _alone = ALONE.lock().await;
    // This process needs as many descriptors as its server has connections.
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(65_536).min(20_400);
    limit.current = Some(most);
    setrlimit(Resource::Nofile, limit).expect("descriptors");
    let most = usize::try_from(most).expect("a number");
    let system = System::new();
    let server = crate::connections::start_with_descriptors(&system, most);
    let before = p99(&server).await;
    // Half of the descriptors may be connections. None is held for longer than 15 s.
    let wanted = 10_000.min(most / 2 - 100);
    let held = hold(&server, wanted, Duration::from_secs(9)).await;
    assert!(held.len() >= wanted.min(1_000), "only {} could be opened in time", held.len());
    unharmed(&format!("{} idle connections", held.len()), before, p99(&server).await);
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_and_clients_still_get_in() {
    let system = System::new();
    let server = crate::connections::start_with_descriptors(&system, 512);
    let (cap, others) = (256, open(&server));
    let held: Vec<TcpStream> =
        (0..400).map(|nth| half(&server, HALVES[nth % HALVES.len()])).collect();
    let began = Instant::now();
    let url = format!("{}/health/live", server.url);
    let asked = tokio::spawn(async move { get(&url).await.0 });
    let mut most = 0;
    while !asked.is_finished() {
        most = most.max(open(&server));
        assert!(began.elapsed() < PATIENCE, "nobody gets in");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(asked.await.expect("an answer"), 200);
    assert!((cap..=cap + others + 20).contains(&most), "{most} are open, where {cap} may be");
    drop(held);
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `GET http://localhost/` in HPACK.
const REQUEST: &[u8] = b"\x82\x86\x84\x41\x09localhost";
const END_STREAM_AND_HEADERS: u8 = 0x5;
const GO_AWAY: u8 = 7;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
const ENHANCE_YOUR_CALM: u32 = 11;

/// The kind of the next frame and what is in it; none at the end.
fn next_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).ok()?];
    stream.read_exact(&mut payload).ok()?;
    Some((head[3], payload))
}

/// Opens streams and takes each back at once, until the server has enough; its last words.
fn reset_rapidly(server: &Server) -> Option<u32> {
    let mut stream = half(server, "");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    stream.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).expect("a greeting");
    let flood = (0..500).flat_map(|nth| {
        let id = 2 * nth + 1;
        [frame(1, END_STREAM_AND_HEADERS, id, REQUEST), frame(3, 0, id, &CANCEL)].concat()
    });
    // It may be closed before all of it was sent.
    let _ = stream.write_all(&flood.collect::<Vec<u8>>());
    let mut last = None;
    while let Some((kind, payload)) = next_frame(&mut stream) {
        if kind == GO_AWAY {
            last =
                payload.get(4..8).and_then(|code| Some(u32::from_be_bytes(code.try_into().ok()?)));
        }
    }
    last
}

#[tokio::test]
async fn a_connection_that_opens_and_resets_streams_is_closed_and_others_go_on() {
    let _alone = ALONE.lock().await;
    let system = System::new();
    let server = Arc::new(system.start());
    let before = p99(&server).await;
    let done = Arc::new(AtomicBool::new(false));
    let attack = {
        let (server, done) = (Arc::clone(&server), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut ended = Vec::new();
            while ended.is_empty() || !done.load(Ordering::SeqCst) {
                ended.push(reset_rapidly(&server));
            }
            ended
        })
    };
    let mut during = p99(&server).await;
    for _ in 0..2 {
        // It goes on: what was only a moment of a busy machine is not in all of them.
        during = during.min(p99(&server).await);
    }
    done.store(true, Ordering::SeqCst);
    let ended = attack.join().expect("an attack");
    let told = ended.iter().filter(|code| **code == Some(ENHANCE_YOUR_CALM)).count();
    // Now and then what is sent arrives after the connection was reset, and its last words are lost.
    assert!(
        told > 0 && ended.iter().all(|code| [None, Some(ENHANCE_YOUR_CALM)].contains(code)),
        "{ended:?}"
    );
    unharmed(&format!("{} connections of resets", ended.len()), before, during);
}

#[test]
fn one_connection_has_only_so_many_requests_at_once() {
    let system = System::new();
    let server = system.start();
    let mut stream = half(&server, "");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let follow = [b"\x82\x86\x04\x13/events?follow=true", &REQUEST[3..]].concat();
    let all = (0..150).flat_map(|nth| frame(1, END_STREAM_AND_HEADERS, 2 * nth + 1, &follow));
    let sent = [PREFACE, &frame(4, 0, 0, &[]), &all.collect::<Vec<u8>>()].concat();
    stream.write_all(&sent).expect("requests");
    let (mut answered, mut refused) = (0, 0);
    while answered + refused < 150 {
        let (kind, payload) = next_frame(&mut stream).expect("a frame");
        answered += usize::from(kind == 1);
        // REFUSED_STREAM: it may be sent again.
        refused += usize::from(kind == 3 && payload == [0, 0, 0, 7]);
    }
    assert_eq!((answered, refused), (100, 50));
}

#[tokio::test]
async fn clients_that_send_slowly_hold_up_nobody() {
    let _alone = ALONE.lock().await;
    let system = System::new();
    let server = system.start();
    let before = p99(&server).await;
    let held: Vec<TcpStream> =
        (0..400).map(|nth| half(&server, HALVES[nth % HALVES.len()])).collect();
    unharmed("400 half requests", before, p99(&server).await);
    drop(held);
}

#[tokio::test]
async fn a_listener_that_never_reads_costs_little_memory_and_is_let_go() {
    let _alone = ALONE.lock().await;
    let system = System::new();
    for _ in 0..40 {
        let large = vec![b'{'; 100 * 1024];
        system.append((0..25).map(|_| record(Topic::Orders, None, &large)).collect()).await;
    }
    // It reads no orders itself.
    let server = system.start_with(&["--service", "order-service"], &[]);
    let url = format!("{}/events", server.url);
    // Once whole, so that what one reader costs is in the memory before.
    assert!(
        http().get(&url).send().await.expect("an answer").bytes().await.expect("lines").len()
            > 100_000_000
    );
    let (before, held) = (p99(&server).await, memory(server.id()));
    let others = open(&server);
    let asked = "GET /events?from=earliest HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
    let deaf: Vec<TcpStream> = (0..3).map(|_| half(&server, asked)).collect();
    let during = p99(&server).await;
    unharmed("listeners that never read", before, during);
    let began = Instant::now();
    let mut most = held;
    while open(&server) > others {
        most = most.max(memory(server.id()));
        assert!(began.elapsed() < PATIENCE, "{} of them are held for ever", deaf.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let grown = most.saturating_sub(held);
    eprintln!(
        "3 of them took {grown} KiB, of 300,000 that they asked for; let go after {:?}",
        began.elapsed()
    );
    assert!(grown < 120_000, "{grown} KiB more for {} listeners", deaf.len());
}

#[tokio::test]
async fn json_of_any_depth_is_refused_and_harms_nobody() {
    let system = System::new();
    let server = system.start();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(9_000), close.repeat(9_000));
        for body in
            [deep.clone(), format!("{{\"customerEmail\":{deep}}}"), format!("{{\"more\":{deep}}}")]
        {
            let request = http().post(format!("{}/orders", server.url)).body(body);
            let answer = request.header("content-type", "application/json").send().await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.status().as_u16(), 400);
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
    }
    assert_eq!(get(&format!("{}/health/ready", server.url)).await.0, 200);
}
