//! What a member has in hand, without a cluster.

use super::*;
use bytes::Bytes;
use futures::FutureExt as _;
use ofs_events::Topic;
use ofs_runtime::log::Position;

const PLACE: Place = (Topic::Orders, 0);
const OTHER: Place = (Topic::Orders, 1);

fn start((topic, partition): Place, offset: u64, fresh: bool) -> Start {
    let note = Note { partitions: 2, last: None };
    Start { place: (topic, partition), offset, note, fresh, unseen: false }
}

fn record((topic, partition): Place, offset: u64) -> Received {
    Received {
        at: Position { topic, partition, offset },
        appended_at: Timestamp::from_micros(i64::try_from(offset).expect("small")),
        key: None,
        headers: Vec::new(),
        value: Bytes::from_static(b"x"),
    }
}

/// A hand with both partitions from 0 on, and three records of each.
fn full() -> Hand {
    let hand = Hand::default();
    hand.assign(&[start(PLACE, 0, false), start(OTHER, 0, false)]);
    for offset in 0..3 {
        hand.push(record(PLACE, offset));
        hand.push(record(OTHER, offset));
    }
    hand
}

fn given(hand: &Hand, max: usize) -> Option<Result<Polled, Error>> {
    hand.next(max).now_or_never()
}

fn offsets(polled: Option<Result<Polled, Error>>) -> Vec<(u32, u64)> {
    match polled.expect("there is something").expect("no error") {
        Polled::Records(records) => records.iter().map(|r| (r.at.partition, r.at.offset)).collect(),
        revoked @ Polled::Revoked(_) => panic!("{revoked:?}"),
    }
}

fn revoked(polled: Option<Result<Polled, Error>>) -> Vec<Place> {
    match polled.expect("there is something").expect("no error") {
        Polled::Revoked(places) => places,
        records @ Polled::Records(_) => panic!("{records:?}"),
    }
}

#[test]
fn records_are_given_once_and_in_order() {
    let hand = full();
    assert_eq!(offsets(given(&hand, 4)), [(0, 0), (1, 0), (0, 1), (1, 1)]);
    hand.push(record(PLACE, 1));
    assert_eq!(offsets(given(&hand, 9)), [(0, 2), (1, 2)]);
    assert!(given(&hand, 9).is_none());
}

#[test]
fn what_is_revoked_is_not_given_and_the_worker_is_told_first() {
    let hand = full();
    hand.revoke(&[PLACE]);
    hand.assign(&[start(PLACE, 0, false)]);
    hand.push(record(PLACE, 0));
    assert_eq!(offsets(given(&hand, 9)), [(1, 0), (1, 1), (1, 2)]);
    assert_eq!(revoked(given(&hand, 9)), [PLACE]);
    assert_eq!(offsets(given(&hand, 9)), [(0, 0)]);
}

#[test]
fn a_worker_that_does_not_know_yet_acks_nothing_of_the_next_generation() {
    let hand = full();
    assert_eq!(offsets(given(&hand, 9)).len(), 6);
    for _ in 0..2 {
        hand.revoke(&[PLACE]);
        hand.assign(&[start(PLACE, 0, false)]);
        for offset in 0..3 {
            hand.push(record(PLACE, offset));
        }
        hand.ack([(PLACE, 3)]);
        assert!(hand.unkept().is_empty());
    }
    assert_eq!(revoked(given(&hand, 9)), [PLACE]);
    hand.ack([(PLACE, 3)]);
    assert!(hand.unkept().is_empty(), "it was revoked twice and told once");
    assert_eq!(revoked(given(&hand, 9)), [PLACE]);
    assert_eq!(offsets(given(&hand, 2)), [(0, 0), (0, 1)]);
    hand.ack([(PLACE, 2)]);
    let note = Note { partitions: 2, last: Some((1, Timestamp::from_micros(1))) };
    assert_eq!(hand.unkept(), [(PLACE, 2, note)]);
}

#[test]
fn what_was_acked_and_is_not_known_to_be_kept_is_committed_on_the_way_out() {
    let hand = full();
    hand.ack([(PLACE, 2), (OTHER, 1)]);
    let (kept, failed): (Vec<_>, Vec<_>) = hand.unkept().into_iter().partition(|c| c.0 == PLACE);
    hand.settle(&kept);
    assert_eq!(hand.unkept(), failed);
    assert_eq!(hand.revoke(&[PLACE, OTHER]), failed);
    assert!(hand.revoke(&[PLACE, OTHER]).is_empty());
}

#[test]
fn all_is_committed_again_where_it_is_doubted() {
    let hand = full();
    assert!(hand.unkept().is_empty());
    hand.doubt();
    assert_eq!(hand.unkept().len(), 2);
}

#[test]
fn acks_go_forward_and_not_beyond_what_came() {
    let hand = full();
    hand.ack([(PLACE, 2), (PLACE, 1), (OTHER, 4)]);
    assert_eq!(hand.unkept().iter().map(|c| (c.0, c.1)).collect::<Vec<_>>(), [(PLACE, 2)]);
}

#[test]
fn where_a_group_begins_is_committed_before_any_ack() {
    let hand = Hand::default();
    hand.assign(&[start(PLACE, 7, true), start(OTHER, 7, false)]);
    assert_eq!(hand.unkept(), [(PLACE, 7, Note { partitions: 2, last: None })]);
}

#[test]
fn where_nobody_knows_the_beginning_nothing_is_committed_before_a_record_came() {
    let hand = Hand::default();
    hand.assign(&[Start { unseen: true, ..start(PLACE, 0, true) }]);
    assert_eq!((hand.unkept(), hand.standings()), (vec![], vec![]));
    assert_eq!(hand.places(), [PLACE]);
    hand.push(record(PLACE, 7));
    assert_eq!(hand.unkept(), [(PLACE, 7, Note { partitions: 2, last: None })]);
    assert_eq!(hand.standings().iter().map(|s| s.next).collect::<Vec<_>>(), [8]);
}

#[test]
fn a_full_hand_has_room_again_when_the_worker_takes() {
    let hand = Hand::default();
    hand.assign(&[start(PLACE, 0, false)]);
    for offset in 0..MAX_RECORDS as u64 {
        assert!(hand.has_room(Duration::ZERO));
        hand.push(record(PLACE, offset));
    }
    assert!(!hand.has_room(Duration::ZERO));
    given(&hand, 1);
    assert!(hand.has_room(Duration::ZERO));
    hand.push(record(PLACE, MAX_RECORDS as u64));
    hand.revoke(&[PLACE]);
    assert!(hand.has_room(Duration::ZERO), "what is revoked takes no room");
}

#[test]
fn an_end_is_told_at_once_and_stays() {
    let hand = full();
    hand.end(Error::Lost("gone".to_owned()));
    hand.end(Error::Full);
    assert!(matches!(given(&hand, 9), Some(Err(Error::Lost(_)))));
    assert!(matches!(given(&hand, 9), Some(Err(Error::Lost(_)))));
}
