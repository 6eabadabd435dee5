//! What a key was let into ends with it, however long it goes on.

use crate::doors::{REQUIRED, get, key, text};
use crate::server::http;
use crate::system::System;
use futures::StreamExt as _;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_live_answer_breaks_off_when_its_key_is_revoked() {
    let system = System::new();
    let (reader, admin) = (key(&system, &["events:read"]), key(&system, &["admin"]));
    let server = system.start_with(&[], &[REQUIRED]);
    let live = http().get(format!("{}/events", server.url)).bearer_auth(text(&reader));
    let live = live.header("accept", "text/event-stream").send().await.expect("an answer");
    assert_eq!(live.status().as_u16(), 200);
    let mut live = live.bytes_stream();
    // Longer than a key is believed, so that it was looked at.
    let quiet = tokio::time::timeout(Duration::from_secs(4), live.next()).await;
    assert!(quiet.is_err(), "a key that is good is let be: {quiet:?}");
    let url = format!("{}/keys/{}/revoke", server.url, reader["id"].as_str().expect("an id"));
    let revoked = http().post(url).bearer_auth(text(&admin)).send().await.expect("an answer");
    assert_eq!(revoked.status().as_u16(), 200);
    let began = Instant::now();
    let end = tokio::time::timeout(Duration::from_secs(5), live.next()).await.expect("an end");
    assert!(end.is_none_or(|chunk| chunk.is_err()), "it breaks off");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(get(&format!("{}/events", server.url), &reader).await.0, 401);
}

#[test]
fn a_demo_without_a_key_does_not_start_where_one_is_needed() {
    let said = System::new().try_start(&["--demo"], &[REQUIRED]).err().expect("refused");
    assert!(said.contains("orders:write") && said.contains("OFS_API_KEY"), "{said}");
}
