//! Requests at random (always the same ones) over every route there is: none makes the server panic,
//! answer 500, or refuse without words.

use crate::api::{Api, Operation};
use crate::server::{http, order, place, until_status};
use crate::system::{System, record};
use ofs_events::Topic;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use std::time::Duration;

/// Requests for each operation.
const EACH: usize = 60;

/// SplitMix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end as u64).expect("small")
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..self.below(40)).map(|_| self.roll().to_le_bytes()[0]).collect()
    }

    fn text(&mut self) -> String {
        let known = [
            "",
            " ",
            "0",
            "1",
            "-1",
            "200",
            "201",
            "18446744073709551615",
            "9223372036854775808",
            "1e9",
            "true",
            "null",
            "earliest",
            "latest",
            "orders.events.v1",
            "orders.events.v1/0@0",
            "orders.events.v1/0@18446744073709551615",
            "payments.events.v1/7@1",
            "Created",
            "-createdAt",
            "+updatedAt",
            "US",
            "ÄÖ",
            "payment-worker",
            "parked",
            "' OR 1=1 --",
            "a AND (b OR",
            "\"",
            "*",
            "~",
            "^9",
            "[a TO z]",
            "+-&|!(){}:\\/",
            "%",
            "\u{0}",
            "\u{fffd}",
            "\u{1f600}\u{200d}",
            "0198c0de-0000-7000-8000-000000000001",
            "2026-01-31T12:00:00Z",
            "9999-12-31T23:59:59.999999999Z",
            "-009999-01-01T00:00:00Z",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        ];
        match self.below(8) {
            0 => String::from_utf8_lossy(&self.bytes()).into_owned(),
            1 => self.pick(&known).repeat(self.below(60)),
            _ => self.pick(&known).to_owned(),
        }
    }
}

/// A URL whose path and query are made up around `operation`.
fn url(dice: &mut Dice, base: &str, operation: &Operation<'_>, ids: &[String]) -> reqwest::Url {
    let id = if dice.one_in(3) { ids[dice.below(ids.len())].clone() } else { dice.text() };
    let path = operation.path.replace("{id}", "\u{1}");
    let mut url = reqwest::Url::parse(base).expect("a URL");
    {
        let mut segments = url.path_segments_mut().expect("a base");
        segments.clear();
        segments
            .extend(path.split('/').skip(1).map(|part| if part == "\u{1}" { &id } else { part }));
        if dice.one_in(20) {
            segments.push(&dice.text());
        }
    }
    let known = operation.parameters("query");
    let mut query: Vec<(String, String)> = Vec::new();
    for _ in 0..dice.below(4) {
        let name = match known.len() {
            0 => dice.text(),
            some if dice.one_in(10) => format!("{}{some}", dice.text()),
            some => known[dice.below(some)]["name"].as_str().expect("a name").to_owned(),
        };
        query.push((name, dice.text()));
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    if dice.one_in(15) {
        let broken = dice.pick(&["q=%ff%fe", "limit=%", "&&==&", "q=%00", "limit[]=1"]);
        url.set_query(Some(broken));
    }
    url
}

fn body(dice: &mut Dice) -> Vec<u8> {
    let good = order(Some("success")).to_string();
    match dice.below(6) {
        0 => dice.bytes(),
        1 => {
            let mut body = good.into_bytes();
            let at = dice.below(body.len());
            body[at] = dice.roll().to_le_bytes()[0];
            body
        }
        2 => good[..dice.below(good.len())].into(),
        3 => {
            let mut body = order(None);
            let name = dice.pick(&["customerEmail", "country", "paymentScenario", "x", "reason"]);
            body[name] = match dice.below(4) {
                0 => Value::Null,
                1 => dice.roll().into(),
                2 => vec![Value::Null; 3].into(),
                _ => dice.text().into(),
            };
            body.to_string().into_bytes()
        }
        4 => serde_json::json!({"reason": dice.text()}).to_string().into_bytes(),
        _ => "{\"a\":".repeat(dice.below(9000)).into_bytes(),
    }
}

fn request(dice: &mut Dice, operation: &Operation<'_>, url: reqwest::Url) -> RequestBuilder {
    let other = [&Method::PUT, &Method::DELETE, &Method::OPTIONS, &Method::HEAD, &Method::TRACE];
    let method = if dice.one_in(12) { dice.pick(&other) } else { &operation.method };
    let mut request = http().request(method.clone(), url).timeout(Duration::from_secs(60));
    for _ in 0..dice.below(3) {
        let name = dice.pick(&[
            "idempotency-key",
            "x-request-id",
            "last-event-id",
            "accept",
            "content-encoding",
            "authorization",
            "range",
            "if-none-match",
            "origin",
        ]);
        let value = if dice.one_in(2) { dice.text().into_bytes() } else { dice.bytes() };
        if let Ok(value) = reqwest::header::HeaderValue::from_bytes(&value) {
            request = request.header(name, value);
        }
    }
    if dice.one_in(2) || !operation.value["requestBody"].is_null() {
        let kind = ["application/json", "application/json", "text/plain", "", "*/*"];
        request = request.header("content-type", dice.pick(&kind)).body(body(dice));
    }
    request
}

#[tokio::test]
async fn no_request_makes_the_server_panic_or_answer_500_or_refuse_without_words() {
    let system = System::new();
    drop(system.start());
    system.append(vec![record(Topic::Orders, Some(b"no id"), b"{garbage")]).await;
    let mut server = system.start();
    let placed = place(&server.url, &order(Some("success"))).await.expect("201");
    let ids = [placed, "1".to_owned(), "2".to_owned()];
    let api = Api::of(&server.url).await;
    let mut dice = Dice(7);
    let mut answered = std::collections::BTreeMap::<u16, usize>::new();
    for operation in api.operations() {
        for _ in 0..EACH {
            let url = url(&mut dice, &server.url, &operation, &ids);
            let asked = request(&mut dice, &operation, url).build().expect("a request");
            let name = format!("{} {}", asked.method(), asked.url());
            let same = *asked.method() == operation.method;
            let head = asked.method() == Method::HEAD;
            let answer =
                http().execute(asked).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            let status = answer.status().as_u16();
            *answered.entry(status).or_default() += 1;
            assert!(status != 500, "{name} is answered 500");
            if status < 400 || head {
                // An answer without an end is as good as one with an end.
                continue;
            }
            let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
            let body = answer.text().await.expect("text");
            assert_eq!(kind, "application/problem+json", "{name}: {status} {body}");
            let wrong = api.wrong_with(&operation, status, &kind, &body);
            // Another method, or another path, is none of this operation's business.
            let elsewhere = !same || [404, 405].contains(&status);
            assert!(wrong.is_none() || elsewhere, "{name}: {}", wrong.unwrap_or_default());
        }
    }
    assert!(answered.len() >= 6, "always the same answers: {answered:?}");
    until_status(
        &server.url,
        &place(&server.url, &order(Some("success"))).await.expect("201"),
        "FulfillmentScheduled",
    )
    .await;
    assert!(server.ended().is_none());
    let panics: Vec<String> =
        server.said().into_iter().filter(|line| line.contains("panicked")).collect();
    assert!(panics.is_empty(), "{panics:?}");
}
