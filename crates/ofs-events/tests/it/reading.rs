//! What readers accept from other writers, and how they refuse what they cannot use.

use ofs_events::{DecodeError, Event, MAX_RECORD_BYTES, Topic};
use proptest::prelude::*;

const KEY: &[u8] = b"019c13e0-0000-7000-8000-00000000000a";

fn read(json: &str) -> Result<Event, DecodeError> {
    Event::decode(Topic::Orders, Some(KEY), json.as_bytes())
}

fn order(event_type: &str, version: &str, payload: &str) -> String {
    format!(
        r#"{{"payload":{payload},"eventType":"{event_type}","causationId":null,"trace":{{"a":[1]}},
        "correlationId":"019C13E0-0000-7000-8000-00000000000C","eventVersion":{version},
        "occurredAt":"2026-01-31T14:00:00.1+02:00","eventId":"019c13e0-0000-7000-8000-000000000001"}}"#
    )
}

const PAYLOAD: &str = r#"{"country":"US","orderId":"019c13e0-0000-7000-8000-00000000000a","vip":true,
    "productType":"Phone","customerEmail":"user@example.com"}"#;

#[test]
fn any_member_order_offset_times_and_unknown_members_are_read() {
    let event = read(&order("OrderCreatedV1", "1", PAYLOAD)).expect("a readable event");
    assert_eq!(event.occurred_at.to_string(), "2026-01-31T12:00:00.100000Z");
    assert_eq!(event.key().to_string().as_bytes(), KEY);
}

#[test]
fn each_kind_of_bad_record_has_its_own_reason() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let nul = PAYLOAD.replace("Phone", "a\\u0000b");
    let other = PAYLOAD.replace("0000000000a", "0000000000b");
    for (json, expected) in [
        (String::new(), "no value"),
        ("\u{1}\u{2}".to_owned(), "not an event envelope"),
        ("[]".to_owned(), "not an event envelope"),
        ("{}".to_owned(), "missing field `eventId`"),
        (order("OrderCreatedV1", "\"one\"", PAYLOAD), "not an event envelope: eventVersion: "),
        (order("OrderCreatedV1", "1", "{}"), "missing field `orderId`"),
        (order("OrderCreatedV1", "1", "7"), "not a OrderCreatedV1"),
        (order("OrderCreatedV1", "2", PAYLOAD), "version 2 is unknown to this build"),
        (order("OrderMislaidV1", "1", PAYLOAD), "OrderMislaidV1 version 1 is unknown"),
        (order("PaymentAuthorizedV1", "1", PAYLOAD), "does not belong on orders.events.v1"),
        (order("OrderCreatedV1", "1", &nul), "U+0000"),
        (order("OrderCreatedV1", "1", &other), "but the payload is about"),
        (order("OrderCreatedV1", "1", &deep), "the payload is not a OrderCreatedV1"),
        (deep.clone(), "not a JSON object"),
        ("x".repeat(MAX_RECORD_BYTES + 1), "bytes long"),
    ] {
        let reason = read(&json).expect_err(expected).to_string();
        assert!(reason.contains(expected), "`{reason}` should say `{expected}`");
        assert!(reason.len() < 400, "`{reason}` is too long to read");
    }
    let good = order("OrderCreatedV1", "1", PAYLOAD);
    let decode = |key| Event::decode(Topic::Orders, key, good.as_bytes());
    assert_eq!(decode(None), Err(DecodeError::NoKey));
    for key in [&b""[..], b"\xff\xfe", b"order-7"] {
        assert_eq!(decode(Some(key)), Err(DecodeError::Key));
    }
}

#[test]
fn a_reason_names_the_member_and_never_repeats_a_text_of_the_record() {
    let canary = r#""canary\"@example.com, expected""#;
    let event = order("OrderCreatedV1", "1", PAYLOAD);
    let replaced = |member: &str, value: &str| event.replace(member, value);
    for (json, member) in [
        (order("OrderCreatedV1", canary, PAYLOAD), "eventVersion"),
        (replaced(r#""2026-01-31T14:00:00.1+02:00""#, canary), "occurredAt"),
        (replaced(r#""019c13e0-0000-7000-8000-000000000001""#, canary), "eventId"),
        (replaced(r#""019c13e0-0000-7000-8000-00000000000a""#, canary), "orderId"),
        (order("OrderCreatedV1", "1", canary), "payload"),
        (replaced(r#""Phone""#, r#"{"canary@example.com":1}"#), "productType"),
        (replaced(r#""US""#, "[7]"), "country"),
        (replaced("OrderCreatedV1", "canary@example.com"), "event type (not a name) version 1"),
        (replaced(r#""OrderCreatedV1""#, r#"["canary@example.com"]"#), "eventType"),
        (replaced(r#""trace""#, r#""canary@example.com":x,"trace""#), "expected value at line"),
    ] {
        let reason = read(&json).expect_err(member).to_string();
        assert!(reason.contains(member), "`{reason}` should name `{member}`");
        assert!(!reason.contains("canary"), "`{reason}` repeats what the record holds");
    }
    let key = Event::decode(Topic::Orders, Some(b"canary@example.com"), event.as_bytes());
    assert!(!key.expect_err("no id").to_string().contains("canary"));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = Event::decode(Topic::Payments, Some(KEY), &bytes);
    }
}
