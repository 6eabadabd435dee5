//! Elasticsearch only: no server, a silent one, and one that has too much to do. A real server cannot
//! be made to answer so on demand, so a listener in this process does.

use super::{SCHEMA, at_version, everything, order, target};
use ofs_engines::index::elasticsearch::ElasticsearchIndex;
use ofs_runtime::index::{Document, Error, Index, Put};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// An answer: HTTP status and body.
type Answer = (u16, String);

/// Answers each request with what `script` makes of its body.
async fn listen(script: impl FnMut(&str) -> Answer + Send + 'static) -> ElasticsearchIndex {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let script = Arc::new(Mutex::new(script));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let script = Arc::clone(&script);
            tokio::spawn(serve(stream, move |body| (script.lock().unwrap())(body)));
        }
    });
    ElasticsearchIndex::open(&url, SCHEMA).unwrap()
}

async fn serve(stream: TcpStream, mut script: impl FnMut(&str) -> Answer) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut asked) = (0, false);
        let mut line = String::new();
        while stream.read_line(&mut line).await.is_ok_and(|read| read > 2) {
            asked = true;
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        if !asked || stream.read_exact(&mut body).await.is_err() {
            return;
        }
        // What has no body asks after the server's own state.
        let (status, body) = match length {
            0 => (200, "{}".to_owned()),
            _ => script(std::str::from_utf8(&body).unwrap()),
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\r\n");
        if stream.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A bulk answer with these statuses.
fn items(statuses: impl IntoIterator<Item = u16>) -> Answer {
    let mut items = String::new();
    for status in statuses {
        let kind = match status {
            200 | 201 => {
                write!(items, r#"{{"index":{{"status":{status}}}}},"#).unwrap();
                continue;
            }
            404 => {
                items.push_str(r#"{"delete":{"status":404}},"#);
                continue;
            }
            409 => "version_conflict_engine_exception",
            _ => "es_rejected_execution_exception",
        };
        write!(items, r#"{{"index":{{"status":{status},"error":{{"type":"{kind}"}}}}}},"#).unwrap();
    }
    (200, format!(r#"{{"items":[{}]}}"#, items.trim_end_matches(',')))
}

fn error(status: u16, kind: &str) -> Answer {
    (status, format!(r#"{{"error":{{"type":"{kind}","reason":"because"}},"status":{status}}}"#))
}

fn documents(body: &str) -> usize {
    body.lines().filter(|line| line.contains(r#""version_type":"external""#)).count()
}

fn orders(number: u128) -> Vec<Document> {
    (0..number).map(order).collect()
}

#[tokio::test]
async fn an_overloaded_server_is_sent_less_until_it_keeps_up() {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sizes);
    let index = listen(move |body| {
        let size = documents(body);
        let mut sizes = seen.lock().unwrap();
        sizes.push(size);
        match sizes.len() {
            1 => error(429, "es_rejected_execution_exception"),
            2 => (503, "<html>some proxy</html>".to_owned()),
            3 => items((0..size).map(|item| if item == 7 { 429 } else { 201 })),
            _ => items(vec![201; size]),
        }
    })
    .await;
    let (one, orders) = (target("one"), orders(1_000));
    for expected in ["429 es_rejected_execution_exception: because", "503 without an explanation"] {
        let Err(Error::Unavailable(text)) = index.put(&one, &orders).await else { panic!() };
        assert_eq!(text, expected);
    }
    let puts = index.put(&one, &orders).await.unwrap();
    assert_eq!(puts.iter().filter(|put| **put == Put::Stored).count(), 249, "before it gave up");
    assert!(matches!(&puts[7], Put::Later(why) if why == "429 es_rejected_execution_exception"));
    assert!(puts[250..].iter().all(|put| matches!(put, Put::Later(_))), "not even sent");
    let puts = index.put(&one, &orders).await.unwrap();
    assert_eq!(puts, vec![Put::Stored; 1_000]);
    let sizes = sizes.lock().unwrap();
    assert_eq!(&sizes[..5], [1_000, 500, 250, 125, 138]);
    assert_eq!(sizes[3..].iter().sum::<usize>(), 1_000);
}

#[tokio::test]
async fn what_was_answered_before_a_failure_counts() {
    let mut requests = 0;
    let index = listen(move |body| {
        requests += 1;
        match requests {
            1 => items(vec![201; documents(body)]),
            _ => error(500, "some_exception"),
        }
    })
    .await;
    let puts = index.put(&target("one"), &orders(1_500)).await.unwrap();
    assert_eq!(&puts[..1_000], vec![Put::Stored; 1_000]);
    let later = Put::Later("500 some_exception: because".to_owned());
    assert_eq!(&puts[1_000..], vec![later; 500]);
}

#[tokio::test]
async fn a_document_too_large_for_the_server_is_refused_alone() {
    let index = listen(|body| {
        if body.contains("giant") {
            error(413, "too_large")
        } else {
            items(vec![201; documents(body)])
        }
    })
    .await;
    let mut orders = orders(9);
    orders[5].body["productType"] = "giant".into();
    let puts = index.put(&target("one"), &orders).await.unwrap();
    for (number, put) in puts.iter().enumerate() {
        match number {
            5 => assert_eq!(*put, Put::Refused("413 too_large: because".to_owned())),
            _ => assert_eq!(*put, Put::Stored),
        }
    }
}

#[tokio::test]
async fn a_newer_version_counts_once_it_is_known_to_be_durable() {
    let mut writes = 0;
    let index = listen(move |body| {
        if documents(body) > 0 {
            return items([201, 409]);
        }
        writes += 1;
        if writes == 1 { error(503, "gone") } else { items([404]) }
    })
    .await;
    let orders = [order(1), at_version(order(2), 3)];
    let puts = index.put(&target("one"), &orders).await.unwrap();
    assert_eq!(puts, [Put::Stored, Put::Later("503 gone: because".to_owned())]);
    let puts = index.put(&target("one"), &orders).await.unwrap();
    assert_eq!(puts, [Put::Stored, Put::Newer]);
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_no_answer() {
    for answer in [
        (200, "no json".to_owned()),
        (200, "{}".to_owned()),
        (401, String::new()),
        (302, String::new()),
        items([201]),
    ] {
        let index = listen(move |_| answer.clone()).await;
        let puts = index.put(&target("one"), &orders(2)).await;
        assert!(matches!(puts, Err(Error::Unavailable(_))), "{puts:?}");
        let found = index.search(&everything()).await;
        assert!(matches!(found, Err(Error::Unavailable(_))), "{found:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_no_secret_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let index =
        ElasticsearchIndex::open(&format!("http://user:secret@127.0.0.1:{port}"), SCHEMA).unwrap();
    let one = target("one");
    let failed = [
        index.put(&one, &orders(1)).await.err(),
        index.search(&everything()).await.err(),
        index.scan(&one, None, 1).await.err(),
        index.status().await.err(),
        index.begin(&one, super::STORE).await.err(),
        index.finish(&one).await.err(),
    ];
    for error in failed {
        let Some(Error::Unavailable(text)) = error else { panic!("{error:?}") };
        assert!(text.starts_with(&format!("http://127.0.0.1:{port}: ")), "{text}");
        assert!(text.contains("refused") && !text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn a_search_does_not_wait_for_a_silent_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let index = ElasticsearchIndex::open(&url, SCHEMA).unwrap();
    let asked = Instant::now();
    let found = index.search(&everything()).await;
    assert!(matches!(&found, Err(Error::Unavailable(text)) if text.contains("no answer in time")));
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_search_whose_index_just_went_is_asked_again() {
    for failure in [error(404, "index_not_found_exception"), error(503, "no_shard_available")] {
        let mut searches = 0;
        let index = listen(move |_| {
            searches += 1;
            if searches % 3 != 0 {
                return failure.clone();
            }
            (200, r#"{"timed_out":false,"hits":{"total":{"value":7},"hits":[]}}"#.to_owned())
        })
        .await;
        assert_eq!(index.search(&everything()).await.unwrap().total, 7);
    }
    let index = listen(|_| error(404, "index_not_found_exception")).await;
    let gone = index.search(&everything()).await;
    assert!(matches!(gone, Err(Error::Missing(_))), "in the end: {gone:?}");
    let index = listen(|_| {
        (200, r#"{"timed_out":true,"hits":{"total":{"value":7},"hits":[]}}"#.to_owned())
    })
    .await;
    let found = index.search(&everything()).await;
    assert!(matches!(found, Err(Error::Unavailable(_))), "half an answer is none: {found:?}");
}
