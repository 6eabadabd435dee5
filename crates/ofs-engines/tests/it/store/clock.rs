//! The clock is set while the store is open: waiting ends when its time has passed, and nothing is
//! dropped before it is old.

use super::*;
use ofs_runtime::context::Context;
use ofs_runtime::store::{Claim, ParkedFilter, Retention};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const BRIEF: Duration = Duration::from_millis(30);

pub async fn what_waits_is_due_in_time_when_the_clock_is_set_back(engine: &impl Engine) {
    engine.set_clock(0).await;
    let store = engine.open().await;
    for (offset, by) in [(1, -HOUR), (2, -DAY)] {
        store.commit(parked([parking(Some(order(1)), offset, Some(BRIEF))])).await.unwrap();
        engine.set_clock(by).await;
        let due = async || store.due(OWNER, LONG, 10).await.unwrap().pop();
        let claimed = until("it is due", async || due().await).await;
        store.commit(settled([Settled::Resolved(claimed.id)])).await.unwrap();
    }
}

pub async fn a_hold_lapses_in_time_when_the_clock_is_set_back(engine: &impl Engine) {
    engine.set_clock(0).await;
    let store = engine.open().await;
    store.commit(parked([parking(Some(order(1)), 1, Some(Duration::ZERO))])).await.unwrap();
    for by in [-HOUR, -DAY] {
        let id = until("it is due", async || {
            Some(store.due(OWNER, BRIEF, 10).await.unwrap().first()?.id)
        })
        .await;
        engine.set_clock(by).await;
        until("the hold lapses", async || {
            matches!(store.claim(id, BRIEF).await.unwrap(), Claim::Claimed(_)).then_some(())
        })
        .await;
    }
    engine.set_clock(-HOUR).await;
    let id = store.parked(&ParkedFilter::default(), 1).await.unwrap().events[0].id;
    until("it can be given up", async || {
        store.commit(settled([Settled::Discarded(id, "late".to_owned())])).await.ok()
    })
    .await;
}

pub async fn a_dead_holders_slots_move_in_time_when_the_clock_is_set_back(engine: &impl Engine) {
    engine.set_clock(0).await;
    let store = engine.open().await;
    for (holder, by) in [(1, -HOUR), (3, -DAY)] {
        let lease = |holder, ttl| store.lease("outbox", Uuid::from_u128(holder), 8, ttl);
        assert_eq!(lease(holder, BRIEF).await.unwrap().len(), 8);
        engine.set_clock(by).await;
        until("the slots move", async || {
            (lease(holder + 1, BRIEF).await.unwrap().len() == 8).then_some(())
        })
        .await;
        lease(holder + 1, Duration::ZERO).await.unwrap();
    }
}

pub async fn depths_are_on_the_stores_clock(engine: &impl Engine) {
    engine.set_clock(DAY).await;
    let store = engine.open().await;
    store.commit(Commit { index: vec![(order(1), 1)], ..created(order(1), 1) }).await.unwrap();
    let depths = store.depths().await.unwrap();
    for depth in depths.outbox.iter().chain(&depths.index) {
        let oldest = depth.oldest.unwrap();
        assert!(oldest <= depths.at && depths.at.seconds_since(oldest) < SOON.as_secs_f64());
    }
    let ahead = depths.at.seconds_since(Context::new("test").now());
    assert!(ahead > 23.0 * 3_600.0, "{ahead} s");
}

pub async fn nothing_is_dropped_early_when_the_clock_is_set_forward(engine: &impl Engine) {
    engine.set_clock(0).await;
    let store = engine.open().await;
    let today = Seen { day: Context::new("test").now().day(), ..seen(order(1), 1) };
    let commit = Commit {
        seen: vec![today],
        once: Some(once("k")),
        parked: vec![parking(Some(order(1)), 1, None)],
        ..empty()
    };
    store.commit(commit).await.unwrap();
    let open = store.parked(&ParkedFilter::default(), 10).await.unwrap().events;
    store.commit(settled([Settled::Resolved(open[0].id)])).await.unwrap();
    let wanted = Wanted {
        owner: OWNER.to_owned(),
        events: vec![today],
        once: Some("k".to_owned()),
        positions: vec![at(1)],
        ..Wanted::default()
    };
    // A day for the inbox, because the test may run at midnight.
    let retention = Retention { inbox_days: 1, once_hours: 1, parked_days: 1 };
    for by in [HOUR, DAY, DAY] {
        engine.set_clock(by).await;
        assert!(!store.tidy(retention).await.unwrap());
        let kept = store.load(&wanted).await.unwrap();
        let kept = (kept.seen.len(), kept.once.is_some(), kept.parked.len());
        assert_eq!(kept, (1, true, 1), "set forward by {by} s");
    }
}
