//! Commands on one key: decided one after the other, each once, however many come at once.

use crate::system::System;
use futures::future::join_all;
use ofs_events::{CorrelationId, Key, OrderId, PaymentAuthorizedV1};
use ofs_runtime::books::Books;
use ofs_runtime::context::Context;
use ofs_runtime::decision::Decision;
use ofs_runtime::desk::{Answer, Desk, Request, Subject};
use ofs_runtime::pipeline::Pipeline;
use ofs_runtime::problem::Problem;
use ofs_runtime::store::Record;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

const OWNER: &str = "order-service";

/// Counts in the record how often it was decided, and tells each.
fn count(
    context: Context,
    key: Key,
) -> impl Fn(Option<&Record>) -> Result<(Decision, u64), Problem> {
    move |record| {
        let count = record.map_or(0, |record| record.version);
        let order_id = OrderId::from(key);
        let chain = CorrelationId(context.new_id());
        let event = context.first(chain, PaymentAuthorizedV1 { order_id }.into());
        Ok((Decision::new("counted", &json!({ "count": count + 1 })).telling([event]), count))
    }
}

async fn desk(system: &System) -> Desk {
    let engines = system.engines().await;
    let pipeline = Pipeline::new(Arc::clone(&engines.store), Arc::clone(&engines.log), Vec::new());
    Desk::new(Books::new(OWNER, engines.store), engines.index, Arc::new(pipeline))
}

async fn commands_on_one_key_take_effect_one_after_the_other(system: System) {
    let desk = desk(&system).await;
    let context = *desk.context();
    let key = Key(context.new_id());
    let command = |_| desk.decide(Subject::Known(key), None, count(context, key));
    let answers = join_all((0..8).map(command)).await;
    let mut seen: Vec<u64> = answers
        .into_iter()
        .map(|answer| match answer.expect("decided") {
            Answer::New(count) => count,
            Answer::Repeated(count) => panic!("{count} was answered before"),
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..8).collect::<Vec<_>>(), "each saw what the one before it had made");
    let record = desk.record(key).await.expect("read").expect("a record");
    assert_eq!((record.version, record.read::<Value>().ok()), (8, Some(json!({ "count": 8 }))));
}

async fn a_command_that_is_repeated_is_done_once(system: System) {
    let desk = desk(&system).await;
    let context = *desk.context();
    let key = Key(context.new_id());
    let request = Request { key: context.new_id().to_string(), fingerprint: Uuid::from_u128(1) };
    let command = |_| desk.decide(Subject::Known(key), Some(request.clone()), count(context, key));
    let answers = join_all((0..8).map(command)).await;
    let mut new = 0;
    for answer in answers {
        match answer.expect("decided") {
            Answer::New(0) => new += 1,
            Answer::Repeated(0) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(new, 1);
    assert_eq!(desk.record(key).await.expect("read").expect("a record").version, 1);
    let other = Request { fingerprint: Uuid::from_u128(2), ..request };
    let refused = desk.decide(Subject::Known(key), Some(other), count(context, key)).await;
    assert_eq!(refused.expect_err("another request").status, 422);
}

on_every_set! {
    commands_on_one_key_take_effect_one_after_the_other,
    a_command_that_is_repeated_is_done_once,
}
