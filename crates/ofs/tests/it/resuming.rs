//! Reading the log live, by a reader that loses its connection and goes on where it was.

use crate::server::{Server, http, place_all, until_status};
use crate::system::System;
use std::collections::BTreeSet;

const ORDERS: usize = 8;
/// Three of each: created, authorized and scheduled.
const EVENTS: usize = 3 * ORDERS;

/// A server-sent event: its members by name.
pub fn member<'a>(event: &'a str, name: &str) -> Option<&'a str> {
    let mut members = event.lines().filter_map(|line| line.split_once(": "));
    members.find(|(own, _)| *own == name).map(|(_, value)| value)
}

/// Up to `count` events, from behind the one whose id was `last`; fewer if the answer ends.
pub async fn live(url: &str, last: Option<&str>, count: usize) -> Vec<String> {
    let mut events = live_until(url, last, |events| events.len() >= count).await;
    events.truncate(count);
    events
}

/// As [`live`], until what has come is enough.
pub async fn live_until(
    url: &str,
    last: Option<&str>,
    enough: impl Fn(&[String]) -> bool,
) -> Vec<String> {
    let request = http().get(format!("{url}/events")).header("accept", "text/event-stream");
    let request = last.into_iter().fold(request, |request, id| request.header("last-event-id", id));
    let mut answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let mut text = String::new();
    let mut events = Vec::new();
    loop {
        while let Some((event, rest)) = text.split_once("\n\n") {
            events.extend((!event.starts_with(':')).then(|| event.to_owned()));
            text = rest.to_owned();
        }
        if enough(&events) {
            return events;
        }
        match answer.chunk().await.expect("a chunk") {
            Some(chunk) => text += &String::from_utf8_lossy(&chunk),
            None => return events,
        }
    }
}

async fn with_orders(system: &System) -> Server {
    let server = system.start();
    for id in place_all(&server.url, &["success"; ORDERS]).await {
        until_status(&server.url, &id, "FulfillmentScheduled").await;
    }
    server
}

async fn a_reader_that_reconnects_gets_every_event_once(system: System) {
    let server = with_orders(&system).await;
    let mut last: Option<String> = None;
    let mut seen = BTreeSet::new();
    while seen.len() < EVENTS {
        let wanted = 5.min(EVENTS - seen.len());
        let events = live(&server.url, last.as_deref(), wanted).await;
        assert_eq!(events.len(), wanted, "{events:?}");
        for event in &events {
            let id = member(event, "id").expect("an id");
            let position = id.split('~').next().expect("a position").to_owned();
            assert!(seen.insert(position), "given twice: {event}");
        }
        last = events.last().and_then(|event| member(event, "id")).map(str::to_owned);
    }
}

on_every_set!(a_reader_that_reconnects_gets_every_event_once, a_place_in_another_log_is_refused);

async fn a_place_in_another_log_is_refused(system: System) {
    let server = with_orders(&system).await;
    let [first, ..] = &live(&server.url, None, EVENTS).await[..] else { panic!("events") };
    let id = member(first, "id").expect("an id").to_owned();
    let (place, _) = id.split_once(';').expect("other partitions");
    let of_one = format!("{}/events?from={place}", server.url);
    let own = http().get(&of_one).send().await.expect("an answer").text().await.expect("lines");
    assert!(
        own.lines().next().expect("a line").contains(place.split('~').next().expect("a place"))
    );

    let position = place.split('~').next().expect("a position");
    for foreign in [
        id.replacen(place, &format!("{position}~2020-02-02T02:02:02.000000Z"), 1),
        id.replacen('@', "@1000000", 1),
        id.replacen("/0@", "/777@", 1),
    ] {
        let answer = live(&server.url, Some(&foreign), 2).await;
        let [event] = &answer[..] else { panic!("{foreign}: {answer:?}") };
        assert_eq!(member(event, "event"), Some("refused"), "{foreign}: {event}");
        assert!(event.contains("urn:ofs:problem:invalid-header"), "{event}");
    }
}
