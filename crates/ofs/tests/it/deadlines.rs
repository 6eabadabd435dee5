//! Deadlines: each takes effect once whatever dies, and an order that waits for its payment for too long
//! is told of.

use crate::machine::fate::{Fate, Fated, Kind, Trouble};
use crate::scrape::Scrape;
use crate::server::{PATIENCE, get, http, order, place, until, until_status};
use crate::system::System;
use async_trait::async_trait;
use ofs_events::{CorrelationId, Key, OrderId, PaymentAuthorizedV1, Topic};
use ofs_runtime::books::Books;
use ofs_runtime::context::Context;
use ofs_runtime::courier::{Courier, DeadlineLane};
use ofs_runtime::decision::Decision;
use ofs_runtime::service::{Delivery, Fault, Handler, Reaction};
use ofs_runtime::store::{Commit, Deadline, Record, Store, Wanted};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const OWNER: &str = "order-service";
const NAME: &str = "test";

/// Counts in its records the deadlines that have passed, tells each, and sets the next up to the third.
struct Counts;

#[async_trait]
impl Handler for Counts {
    fn topics(&self) -> &'static [Topic] {
        &[]
    }

    async fn handle(
        &self,
        _: &Context,
        _: Option<&Record>,
        _: Delivery<'_>,
    ) -> Result<Reaction, Fault> {
        Ok(Reaction::Ignore)
    }

    async fn passed(
        &self,
        context: &Context,
        record: Option<&Record>,
        name: &str,
    ) -> Result<Reaction, Fault> {
        assert_eq!(name, NAME);
        let record = record.expect("a record");
        let count = record.version;
        let order_id = OrderId::from(record.key);
        let chain = CorrelationId(context.new_id());
        let event = context.first(chain, PaymentAuthorizedV1 { order_id }.into());
        let decision = Decision::new("counted", &json!({ "count": count })).telling([event]);
        Ok(if count < 3 { decision.within(NAME, Duration::ZERO) } else { decision }.into())
    }
}

fn stopped() -> CancellationToken {
    let stop = CancellationToken::new();
    stop.cancel();
    stop
}

/// The courier of a process with this fate, until the process dies or nothing has passed.
async fn live(store: &Arc<dyn Store>, trouble: Option<Trouble>) {
    let fate = Fate::new(trouble);
    let fated = Fated { engine: Arc::clone(store), fate: Arc::clone(&fate) };
    let books = Books::new(OWNER, Arc::new(fated));
    let courier = Courier::new(books, DeadlineLane::new(Arc::new(Counts)));
    let reached = fate.reached.clone();
    let mut life = tokio::spawn(fate.lead(courier.run(stopped())));
    tokio::select! {
        biased;
        _ = &mut life => {}
        () = reached.cancelled() => life.abort(),
    }
}

async fn a_deadline_takes_effect_once_whatever_dies(system: System) {
    let store = system.engines().await.store;
    let context = Context::new(OWNER);
    for (kind, done) in [Kind::Dies, Kind::Panics, Kind::IsRefused]
        .into_iter()
        .flat_map(|k| [(k, false), (k, true)])
    {
        for nth in 0..6 {
            let key = Key(context.new_id());
            let record = Record::next(None, key, "new", &json!({}), context.now());
            let deadline = Deadline { key, name: NAME, due_in: Some(Duration::ZERO) };
            let (records, deadlines) = (vec![record], vec![deadline]);
            let owner = OWNER.to_owned();
            let commit = Commit { owner, records, deadlines, ..Commit::default() };
            store.commit(commit).await.expect("a commit");
            live(&store, Some(Trouble { kind, nth, done })).await;
            let record = loop {
                live(&store, None).await;
                let wanted =
                    Wanted { owner: OWNER.to_owned(), keys: vec![key], ..Wanted::default() };
                let record = store.load(&wanted).await.expect("loaded").records.remove(&key);
                match record.expect("the record") {
                    record if record.version == 4 => break record,
                    record => assert!(record.version < 4, "{kind:?} {nth}: it counted too often"),
                }
            };
            assert_eq!(record.read::<Value>().ok(), Some(json!({ "count": 3 })));
            let shards: Vec<u16> = (0..ofs_runtime::store::SHARDS).collect();
            assert_eq!(store.passed(OWNER, &shards, 9).await.expect("read"), []);
        }
    }
    let told = store.depths().await.expect("depths").outbox.remove(0).rows;
    assert_eq!(told, 3 * 6 * 6, "three events of each");
}

async fn an_order_whose_payment_is_late_is_told_of_until_it_is_decided(system: System) {
    let late = [("OFS_ORDER_PAYMENT_DEADLINE", "300ms")];
    let mut server = system.start_with(&["--service", OWNER], &late);
    let id = place(&server.url, &order(Some("success"))).await.expect("201");
    let pipeline = format!("{}/pipeline", server.url);
    let stuck = |view: &Value| view["services"][0]["stuck"][0].clone();
    let view = until(&pipeline, "the order is stuck, and it is known why", |_, view| {
        stuck(view)["reasons"][0].is_string()
    })
    .await;
    let found = stuck(&view);
    assert_eq!((&found["deadline"], &found["rows"]), (&json!("payment"), &json!(1)));
    assert_eq!(found["example"], json!(id));
    let why = found["reasons"][0].as_str().expect("a reason");
    assert!(why.contains("payment-worker"), "{why}");
    let scrape = Scrape::of(&http(), &server.url).await;
    assert_eq!(scrape.value("ofs_stuck", &[("service", OWNER)]), 1.0);
    assert_eq!(server.stop(), Some(0));
    let server = system.start();
    until_status(&server.url, &id, "FulfillmentScheduled").await;
    let pipeline = format!("{}/pipeline", server.url);
    until(&pipeline, "nothing is stuck", |_, view| view["services"][0]["stuck"] == json!([])).await;
}

async fn a_payment_in_time_is_never_stuck(system: System) {
    let server = system.start_with(&[], &[("OFS_ORDER_PAYMENT_DEADLINE", "30s")]);
    let id = place(&server.url, &order(Some("success"))).await.expect("201");
    until_status(&server.url, &id, "FulfillmentScheduled").await;
    drop(server);
    let store = system.engines().await.store;
    let key = Key(id.parse::<Uuid>().expect("an id"));
    let deadline = Deadline { key, name: "payment", due_in: Some(Duration::ZERO) };
    let shards: Vec<u16> = (0..ofs_runtime::store::SHARDS).collect();
    assert_eq!(store.passed(OWNER, &shards, 9).await.expect("read"), []);
    // Were it set, by an older process that did not know that it is met, it would go by itself.
    let (owner, deadlines) = (OWNER.to_owned(), vec![deadline]);
    store.commit(Commit { owner, deadlines, ..Commit::default() }).await.expect("a commit");
    drop(store);
    let server = system.start();
    let settled = [("service", OWNER), ("lane", "deadline"), ("outcome", "settled")];
    let started = Instant::now();
    while Scrape::of(&http(), &server.url).await.value("ofs_deliveries_total", &settled) < 1.0 {
        assert!(started.elapsed() < PATIENCE, "the deadline is not handed over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (_, view) = get(&format!("{}/pipeline", server.url)).await;
    assert_eq!(view["services"][0]["stuck"], json!([]), "{view}");
}

on_every_set! {
    a_deadline_takes_effect_once_whatever_dies,
    an_order_whose_payment_is_late_is_told_of_until_it_is_decided,
    a_payment_in_time_is_never_stuck,
}
