//! Parked events: queues, heads, claims and endings.

use super::*;
use futures::future::join_all;
use ofs_runtime::store::{Claim, PARKED_LOOK, Parked, ParkedFilter, ParkedState};

const NOW: Option<Duration> = Some(Duration::ZERO);

async fn all(store: &Arc<dyn Store>) -> Vec<Parked> {
    store.parked(&ParkedFilter::default(), 1_000).await.unwrap().events
}

async fn due(store: &Arc<dyn Store>) -> Vec<u64> {
    store.due(OWNER, LONG, 100).await.unwrap().iter().map(|parked| parked.id).collect()
}

pub async fn a_parked_event_is_read_back(engine: &impl Engine) {
    let store = engine.open().await;
    let odd = Parking {
        at: Position { topic: Topic::Fulfillment, partition: 11, offset: 1 << 40 },
        event_id: None,
        event_type: None,
        raw_key: Some(Bytes::from_static(b"\x00\xFF")),
        raw: Bytes::new(),
        unknown_type: true,
        ..parking(None, 1, None)
    };
    let plain = parking(Some(order(1)), 2, Some(LONG));
    store.commit(parked([plain.clone(), odd.clone()])).await.unwrap();
    let found = all(&store).await;
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].event, odd);
    assert_eq!((found[1].next_at, found[1].behind), (None, None));
    let left = found[0].event.retry_in.unwrap();
    assert!(left <= LONG && left > LONG - SOON);
    let waits = found[0].next_at.unwrap().seconds_since(found[0].parked_at);
    assert!((waits - LONG.as_secs_f64()).abs() < 1.0, "{waits}");
    assert_eq!(Parking { retry_in: Some(LONG), ..found[0].event.clone() }, plain);
    assert_eq!((found[0].attempts, found[0].state), (0, ParkedState::Parked));
    assert_eq!((found[0].owner.as_str(), found[0].closed_at), (OWNER, None));
    let one = store.parked_event(found[1].id).await.unwrap().unwrap();
    assert_eq!(one, found[1]);
    assert_eq!(store.parked_event(found[1].id + 1).await.unwrap(), None);
    assert_eq!(store.parked_event(u64::MAX).await.unwrap(), None);
}

pub async fn a_position_is_parked_once_per_owner(engine: &impl Engine) {
    let store = engine.open().await;
    let commit = parked([parking(Some(order(1)), 1, None)]);
    store.commit(commit.clone()).await.unwrap();
    assert_eq!(store.commit(commit.clone()).await, Err(Error::Stale));
    let id = all(&store).await[0].id;
    store.commit(settled([Settled::Resolved(id)])).await.unwrap();
    assert_eq!(store.commit(commit.clone()).await, Err(Error::Stale));
    store.commit(Commit { owner: "other".to_owned(), ..commit }).await.unwrap();
    let wanted =
        Wanted { owner: OWNER.to_owned(), positions: vec![at(1), at(2)], ..Wanted::default() };
    assert_eq!(store.load(&wanted).await.unwrap().parked, [at(1)].into());
}

pub async fn a_queue_blocks_its_topic_and_order_alone(engine: &impl Engine) {
    let store = engine.open().await;
    store.commit(parked([parking(Some(order(1)), 1, None)])).await.unwrap();
    let loaded = load(&store, &[order(1), order(2)]).await;
    assert_eq!(loaded.queues, [(Topic::Orders, order(1))].into());
    let other = Wanted { owner: "other".to_owned(), keys: vec![order(1)], ..Wanted::default() };
    assert!(store.load(&other).await.unwrap().queues.is_empty());
    let id = all(&store).await[0].id;
    store.commit(settled([Settled::Discarded(id, "no use".to_owned())])).await.unwrap();
    assert!(load(&store, &[order(1)]).await.queues.is_empty());
}

pub async fn only_heads_that_are_due_are_claimed(engine: &impl Engine) {
    let store = engine.open().await;
    let commit = parked([
        parking(Some(order(1)), 1, NOW),
        parking(Some(order(1)), 2, NOW),
        parking(Some(order(2)), 3, Some(LONG)),
        parking(Some(order(2)), 4, NOW),
        parking(Some(order(3)), 5, None),
        parking(Some(order(4)), 6, NOW),
    ]);
    store.commit(commit).await.unwrap();
    let other = Commit { owner: "other".to_owned(), ..parked([parking(Some(order(5)), 7, NOW)]) };
    store.commit(other).await.unwrap();
    assert_eq!(store.due(OWNER, LONG, 1).await.unwrap().len(), 1);
    assert_eq!(store.due(OWNER, LONG, 10).await.unwrap()[0].event.at, at(6));
    assert!(due(&store).await.is_empty());
}

pub async fn a_claim_holds_and_then_lapses(engine: &impl Engine) {
    let store = engine.open().await;
    store.commit(parked([parking(Some(order(1)), 1, NOW)])).await.unwrap();
    let claimed = store.due(OWNER, LONG, 10).await.unwrap();
    assert_eq!(claimed[0].attempts, 1);
    assert_eq!(store.claim(claimed[0].id, LONG).await.unwrap(), Claim::Busy);
    let again = settled([Settled::Deferred {
        id: claimed[0].id,
        reason: "again".to_owned(),
        retry_in: NOW,
    }]);
    store.commit(again).await.unwrap();
    let brief = store.due(OWNER, Duration::from_millis(20), 10).await.unwrap();
    assert_eq!(brief[0].attempts, 2);
    let lapsed =
        until("the claim lapses", async || store.due(OWNER, LONG, 10).await.unwrap().pop());
    assert_eq!(lapsed.await.attempts, 3);
}

pub async fn a_claim_says_why_not(engine: &impl Engine) {
    let store = engine.open().await;
    let commit = parked([
        parking(Some(order(1)), 1, None),
        parking(Some(order(1)), 2, NOW),
        parking(Some(order(2)), 3, Some(LONG)),
    ]);
    store.commit(commit).await.unwrap();
    let ids: Vec<u64> = all(&store).await.iter().map(|parked| parked.id).collect();
    assert_eq!(store.claim(ids[1], LONG).await.unwrap(), Claim::Behind(ids[0]));
    // A person's retry need not wait until it is due.
    for id in [ids[0], ids[2]] {
        let Claim::Claimed(claimed) = store.claim(id, LONG).await.unwrap() else {
            panic!("{id} was free")
        };
        assert_eq!((claimed.id, claimed.attempts), (id, 1));
        assert_eq!(store.claim(id, LONG).await.unwrap(), Claim::Busy);
    }
    store.commit(settled([Settled::Resolved(ids[0])])).await.unwrap();
    let closed = Claim::Closed(Some(ParkedState::Resolved));
    assert_eq!(store.claim(ids[0], LONG).await.unwrap(), closed);
    assert_eq!(store.claim(ids[2] + 1, LONG).await.unwrap(), Claim::Closed(None));
    assert_eq!(store.claim(u64::MAX, LONG).await.unwrap(), Claim::Closed(None));
}

pub async fn a_resolved_head_makes_the_next_one_due(engine: &impl Engine) {
    let store = engine.open().await;
    let commit = parked((1..=3).map(|n| parking(Some(order(1)), n, Some(LONG))));
    store.commit(commit).await.unwrap();
    let found = all(&store).await;
    assert_eq!(found[1].behind, Some(found[0].id));
    assert!(due(&store).await.is_empty());
    // Closing one that is not the head changes nothing for the head.
    store.commit(settled([Settled::Discarded(found[2].id, "x".to_owned())])).await.unwrap();
    assert!(due(&store).await.is_empty());
    store.commit(settled([Settled::Resolved(found[0].id)])).await.unwrap();
    assert_eq!(due(&store).await, [found[1].id]);
    let first = store.parked_event(found[0].id).await.unwrap().unwrap();
    assert_eq!((first.state, first.next_at, first.behind), (ParkedState::Resolved, None, None));
    assert!(first.closed_at.is_some());
}

pub async fn a_deferred_event_waits_again(engine: &impl Engine) {
    let store = engine.open().await;
    store.commit(parked([parking(Some(order(1)), 1, NOW)])).await.unwrap();
    let id = due(&store).await[0];
    let deferred =
        |retry_in| settled([Settled::Deferred { id, reason: "gateway down".to_owned(), retry_in }]);
    store.commit(deferred(Some(LONG))).await.unwrap();
    let found = store.parked_event(id).await.unwrap().unwrap();
    assert_eq!((found.event.reason.as_str(), found.state), ("gateway down", ParkedState::Parked));
    assert!(found.event.retry_in.unwrap() > LONG - SOON);
    assert!(due(&store).await.is_empty());
    store.commit(deferred(None)).await.unwrap();
    assert_eq!(store.parked_event(id).await.unwrap().unwrap().next_at, None);
    assert!(due(&store).await.is_empty());
    store.commit(deferred(NOW)).await.unwrap();
    assert_eq!(due(&store).await, [id]);
}

pub async fn a_discarded_event_keeps_its_reasons(engine: &impl Engine) {
    let store = engine.open().await;
    store.commit(parked([parking(Some(order(1)), 1, None)])).await.unwrap();
    let id = all(&store).await[0].id;
    store.commit(settled([Settled::Discarded(id, "a test order".to_owned())])).await.unwrap();
    let found = store.parked_event(id).await.unwrap().unwrap();
    assert_eq!(found.event.reason, "Reason 1; discarded: a test order");
    assert_eq!(found.state, ParkedState::Discarded);
}

pub async fn an_event_that_is_being_tried_is_not_discarded(engine: &impl Engine) {
    let store = engine.open().await;
    store.commit(parked([parking(Some(order(1)), 1, None)])).await.unwrap();
    let id = all(&store).await[0].id;
    assert!(matches!(store.claim(id, LONG).await, Ok(Claim::Claimed(_))));
    let discard = || settled([Settled::Discarded(id, "a test order".to_owned())]);
    assert_eq!(store.commit(discard()).await, Err(Error::Stale));
    assert_eq!(store.parked_event(id).await.unwrap().unwrap().state, ParkedState::Parked);
    let failed = Settled::Deferred { id, reason: "declined".to_owned(), retry_in: None };
    store.commit(settled([failed])).await.unwrap();
    store.commit(discard()).await.unwrap();
}

pub async fn a_closed_event_is_not_settled_again(engine: &impl Engine) {
    let store = engine.open().await;
    store.commit(parked([parking(Some(order(1)), 1, None)])).await.unwrap();
    let id = all(&store).await[0].id;
    let other = Commit { owner: "other".to_owned(), ..settled([Settled::Resolved(id)]) };
    assert_eq!(store.commit(other).await, Err(Error::Stale));
    store.commit(settled([Settled::Resolved(id)])).await.unwrap();
    for again in [
        Settled::Resolved(id),
        Settled::Discarded(id, "x".to_owned()),
        Settled::Deferred { id, reason: "x".to_owned(), retry_in: None },
        Settled::Resolved(id + 1),
    ] {
        assert_eq!(store.commit(settled([again])).await, Err(Error::Stale));
    }
}

pub async fn events_of_no_order_hold_back_nothing(engine: &impl Engine) {
    let store = engine.open().await;
    store.commit(parked([parking(None, 1, None), parking(None, 2, NOW)])).await.unwrap();
    let found = all(&store).await;
    assert!(found.iter().all(|parked| parked.behind.is_none()));
    assert_eq!(due(&store).await, [found[1].id]);
    assert!(matches!(store.claim(found[0].id, LONG).await, Ok(Claim::Claimed(_))));
}

pub async fn parked_events_are_listed_by_what_is_asked(engine: &impl Engine) {
    let store = engine.open().await;
    let reason = |offset, key, reason: &str| Parking {
        reason: reason.to_owned(),
        ..parking(Some(order(key)), offset, None)
    };
    let mine = [reason(1, 1, "Gateway down"), reason(2, 2, "unknown TYPE"), reason(3, 1, "100%")];
    store.commit(parked(mine)).await.unwrap();
    let theirs = Commit { owner: "other".to_owned(), ..parked([reason(1, 1, "gateway_slow")]) };
    store.commit(theirs).await.unwrap();
    let ids: Vec<u64> = all(&store).await.iter().map(|parked| parked.id).collect();
    store.commit(settled([Settled::Resolved(ids[0])])).await.unwrap();
    let any = ParkedFilter::default;
    let text = |text: &str| ParkedFilter { reason: Some(text.to_owned()), ..any() };
    for (filter, wanted) in [
        (any(), vec![0, 1, 2, 3]),
        (ParkedFilter { owner: Some("other".to_owned()), ..any() }, vec![3]),
        (ParkedFilter { key: Some(order(1)), ..any() }, vec![0, 2, 3]),
        (ParkedFilter { state: Some(ParkedState::Parked), ..any() }, vec![1, 2, 3]),
        (ParkedFilter { state: Some(ParkedState::Resolved), ..any() }, vec![0]),
        (ParkedFilter { after: Some(ids[1]), ..any() }, vec![2, 3]),
        (text("GATEWAY"), vec![0, 3]),
        (text("type"), vec![1]),
        (text("%"), vec![2]),
        (text("y_s"), vec![3]),
        (ParkedFilter { key: Some(order(1)), after: Some(ids[0]), ..text("g") }, vec![3]),
    ] {
        let found = store.parked(&filter, 10).await.unwrap().events;
        let found: Vec<u64> = found.iter().map(|parked| parked.id).collect();
        let wanted: Vec<u64> = wanted.into_iter().map(|at: usize| ids[at]).collect();
        assert_eq!(found, wanted, "{filter:?}");
    }
    let page = store.parked(&any(), 2).await.unwrap();
    assert_eq!(page.events.iter().map(|parked| parked.id).collect::<Vec<_>>(), ids[..2]);
    assert_eq!(page.next, Some(ids[1]));
    assert_eq!(store.parked(&any(), 4).await.unwrap().next, None);
    let first = store.parked(&text("gateway"), 1).await.unwrap();
    let next =
        store.parked(&ParkedFilter { after: first.next, ..text("gateway") }, 1).await.unwrap();
    assert_eq!((first.events[0].id, next.events[0].id, next.next), (ids[0], ids[3], None));
}

pub async fn only_so_many_parked_events_are_looked_at_for_one_page(engine: &impl Engine) {
    let store = engine.open().await;
    let many = u64::try_from(PARKED_LOOK).unwrap() + 10;
    let all = (1..=many).map(|offset| Parking {
        reason: if offset == 1 || offset == many { "rare" } else { "common" }.to_owned(),
        ..parking(None, offset, None)
    });
    store.commit(parked(all)).await.unwrap();
    for state in [None, Some(ParkedState::Parked)] {
        let mut filter =
            ParkedFilter { reason: Some("rare".to_owned()), state, ..ParkedFilter::default() };
        let page = store.parked(&filter, 5).await.unwrap();
        assert_eq!(page.events.len(), 1, "{state:?}");
        filter.after = Some(page.next.unwrap());
        let page = store.parked(&filter, 5).await.unwrap();
        assert_eq!((page.events.len(), page.next), (1, None), "{state:?}");
        assert_eq!(page.events[0].event.at, at(many));
    }
}

pub async fn one_of_many_redrivers_claims_a_head(engine: &impl Engine) {
    let store = engine.open().await;
    store.commit(parked((0..8).map(|n| parking(Some(order(n.into())), n, NOW)))).await.unwrap();
    let claims = join_all((0..8).map(|_| due(&store))).await.concat();
    let mut once = claims.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!((claims.len(), once.len()), (8, 8));
}
