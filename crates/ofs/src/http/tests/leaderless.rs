//! Reading the log while one of its partitions has no leader: the SQLite log, of which the payments can
//! be taken away, because it never loses any by itself.

use super::house::{House, house_with, order};
use super::next_event;
use crate::http::tail::SKEW;
use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use futures::StreamExt;
use ofs_events::Topic;
use ofs_runtime::log::{
    Bounds, Error, Lag, Layout, Log, Message, Position, Reader, Received, Reset, Subscription,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A log whose payments have a leader, or not.
struct Led {
    log: Arc<dyn Log>,
    is_led: Arc<AtomicBool>,
}

impl Led {
    fn check(&self, topic: Topic) -> Result<(), Error> {
        match topic == Topic::Payments && !self.is_led.load(Ordering::SeqCst) {
            true => Err(Error::Unavailable("no leader".to_owned())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Log for Led {
    async fn append(&self, messages: Vec<Message>) -> Vec<Result<Position, Error>> {
        self.log.append(messages).await
    }
    async fn subscribe(&self, group: &str, on: &[Topic]) -> Result<Box<dyn Subscription>, Error> {
        self.log.subscribe(group, on).await
    }
    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        max: usize,
    ) -> Result<Vec<Received>, Error> {
        self.check(topic)?;
        self.log.read(topic, partition, offset, max).await
    }
    async fn bounds(&self, topic: Topic) -> Result<Vec<Bounds>, Error> {
        self.check(topic)?;
        self.log.bounds(topic).await
    }
    async fn readable(&self, topic: Topic) -> Result<(Vec<Bounds>, Vec<u32>), Error> {
        match self.check(topic) {
            Ok(()) => self.log.readable(topic).await,
            Err(_) => Ok((Vec::new(), vec![0])),
        }
    }
    async fn lag(&self, group: &str, topics: &[Topic]) -> Result<Vec<Lag>, Error> {
        self.log.lag(group, topics).await
    }
    async fn reset(&self, group: &str, topics: &[Topic], to: Reset) -> Result<(), Error> {
        self.log.reset(group, topics, to).await
    }
    async fn groups(&self) -> Result<Vec<String>, Error> {
        self.log.groups().await
    }
    async fn forget(&self, group: &str) -> Result<(), Error> {
        self.log.forget(group).await
    }
    async fn prepare(&self, layout: Layout) -> Result<(), Error> {
        self.log.prepare(layout).await
    }
    async fn tidy(&self, kept: Duration, readers: &[Reader]) -> Result<(), Error> {
        self.log.tidy(kept, readers).await
    }
}

/// A house with `payments`, and whether they have a leader, as at first.
async fn led_house(payments: u128) -> (House, Arc<AtomicBool>) {
    let is_led = Arc::new(AtomicBool::new(true));
    let own = Arc::clone(&is_led);
    let house = house_with(|log| Arc::new(Led { log, is_led: own })).await;
    for number in 0..payments {
        house.append_paid(order(number)).await;
    }
    (house, is_led)
}

async fn body(house: &House, path: &str, kind: &str) -> axum::body::BodyDataStream {
    let request = Request::get(path).header("host", "x").header("accept", kind);
    house.send(request.body(Body::empty()).expect("a request")).await.into_body().into_data_stream()
}

/// Until what is there is older than clocks may be apart.
async fn let_pass() {
    tokio::time::sleep(SKEW + Duration::from_millis(50)).await;
}

fn missing() -> Value {
    json!({"leaderless": ["payments.events.v1/0"]})
}

#[tokio::test]
async fn what_nobody_leads_is_named_and_the_rest_is_read() {
    let (house, is_led) = led_house(3).await;
    is_led.store(false, Ordering::SeqCst);
    assert_eq!(house.get("/events").await.lines(), [missing()]);
    let alone = house.get("/events?from=payments.events.v1/0@1").await;
    assert_eq!(alone.problem(), (503, "unavailable".to_owned()), "nothing else is asked for");
    assert_eq!(house.get("/events?topic=orders.events.v1").await.text, "");
    let page = house.get("/ui/events").await;
    assert!(page.text.contains("No broker leads payments.events.v1/0"), "{}", page.text);
    is_led.store(true, Ordering::SeqCst);
    assert_eq!(house.get("/events").await.lines().len(), 3);
}

#[tokio::test]
async fn a_leader_that_goes_while_records_are_read_ends_only_what_is_its_own() {
    let (house, is_led) = led_house(100).await;
    let mut body = body(&house, "/events", "application/x-ndjson").await;
    let mut text = body.next().await.expect("a record").expect("bytes").to_vec();
    is_led.store(false, Ordering::SeqCst);
    while let Some(chunk) = body.next().await {
        text.extend(chunk.expect("it does not break off"));
    }
    let text = String::from_utf8(text).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let last: Value = serde_json::from_str(lines.last().expect("a line")).expect("JSON");
    assert_eq!(last, missing());
    assert!((2..101).contains(&lines.len()), "{}", lines.len());
}

#[tokio::test]
async fn a_reader_who_follows_is_given_what_comes_once_it_is_led_again() {
    let (house, is_led) = led_house(2).await;
    let_pass().await;
    is_led.store(false, Ordering::SeqCst);
    let mut body = body(&house, "/events?from=latest", "text/event-stream").await;
    for number in [7, 8] {
        let event = next_event(&mut body).await;
        assert!(event.contains("event: leaderless") && event.contains("/0\"]"), "{event}");
        is_led.store(true, Ordering::SeqCst);
        let event = next_event(&mut body).await;
        assert!(event.contains("{\"leaderless\":[]}") && !event.contains("id:"), "{event}");
        house.append_paid(order(number)).await;
        let event = next_event(&mut body).await;
        assert!(event.contains(&order(number).to_string()), "only what is new: {event}");
        is_led.store(false, Ordering::SeqCst);
    }
}

/// The live reading of `house` from its end, or from `cursor`.
async fn follow(house: &House, cursor: Option<&str>) -> axum::body::BodyDataStream {
    let mut request = Request::get("/events?from=latest").header("host", "x");
    request = request.header("accept", "text/event-stream");
    if let Some(cursor) = cursor {
        request = request.header("last-event-id", cursor);
    }
    house.send(request.body(Body::empty()).expect("a request")).await.into_body().into_data_stream()
}

#[tokio::test]
async fn a_reader_who_reconnects_is_given_of_the_missing_partition_what_came_since_and_no_more() {
    let (house, is_led) = led_house(3).await;
    let_pass().await;
    is_led.store(false, Ordering::SeqCst);
    let mut body = follow(&house, None).await;
    assert!(next_event(&mut body).await.contains("leaderless"));
    house.append_paid(order(7)).await;
    let elsewhere = Message {
        topic: Topic::Orders,
        key: None,
        event_id: None,
        headers: Vec::new(),
        value: Bytes::from_static(b"{}"),
    };
    assert!(house.app.log.append(vec![elsewhere]).await[0].is_ok());
    let event = next_event(&mut body).await;
    let cursor = event.lines().find_map(|line| line.strip_prefix("id: ")).expect("a cursor");
    assert!(cursor.contains("payments.events.v1/0@since~"), "{cursor}");
    drop(body);
    is_led.store(true, Ordering::SeqCst);
    let mut body = follow(&house, Some(cursor)).await;
    let event = next_event(&mut body).await;
    assert!(
        event.contains(&order(7).to_string()),
        "what came meanwhile, and nothing older: {event}"
    );
}
