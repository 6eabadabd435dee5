//! The machine as a whole: events that come twice or late, clocks that are set, logs that are cut,
//! processes that die, freeze or are refused at any of their calls. Whatever happens, all orders end as
//! if nothing had.

pub mod fate;
mod rig;

use crate::system::{CONTRACT, SERVICES, of_the_contract};
use fate::{Kind, Trouble};
use ofs_events::{Event, EventId, Key, Topic};
use ofs_runtime::store::{Record, Wanted};
use proptest::prelude::*;
use rig::{Rig, index_of};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;

/// What one run takes at most, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// One thing that one process does; of the services that have something to do, the `nth` does it.
#[derive(Clone, Debug)]
enum Step {
    Place {
        scenario: &'static str,
        trouble: Option<Trouble>,
    },
    Work {
        nth: usize,
        back: u64,
        batches: Vec<(usize, usize)>,
        trouble: Option<Trouble>,
    },
    Deliver {
        nth: usize,
        trouble: Option<Trouble>,
    },
    Push {
        trouble: Option<Trouble>,
    },
    Retry {
        trouble: Option<Trouble>,
    },
    Rebuild {
        trouble: Option<Trouble>,
    },
    /// Time passes, and deadlines with it.
    Pass {
        trouble: Option<Trouble>,
    },
    Thaw {
        nth: usize,
    },
    SetClock {
        by_hours: i64,
    },
    Tidy,
    /// A part of the log takes nothing from now on, or takes again.
    TurnPart {
        nth: usize,
    },
    /// Payment and fulfillment go on without trouble, so that there is much to read for the others.
    Flow,
}

/// At one of the first `calls` calls, if at all.
fn trouble(calls: usize) -> impl Strategy<Value = Option<Trouble>> {
    let kind = prop_oneof![
        1 => Just(Kind::Dies),
        1 => Just(Kind::Panics),
        4 => Just(Kind::Freezes),
        2 => Just(Kind::IsRefused),
    ];
    let trouble = (kind, 0..calls, any::<bool>());
    prop::option::weighted(0.6, trouble.prop_map(|(kind, nth, done)| Trouble { kind, nth, done }))
}

fn place() -> impl Strategy<Value = Step> {
    let scenario = prop::sample::select(&["success", "declined", "sim:down:2", "sim:lost-answer"]);
    (scenario, trouble(3)).prop_map(|(scenario, trouble)| Step::Place { scenario, trouble })
}

fn work() -> impl Strategy<Value = Step> {
    let batches = prop::collection::vec((0..Topic::ALL.len(), 1..4_usize), 1..3);
    (0..SERVICES.len(), 0..4_u64, batches, trouble(3))
        .prop_map(|(nth, back, batches, trouble)| Step::Work { nth, back, batches, trouble })
}

fn thaw() -> impl Strategy<Value = Step> {
    (0..3_usize).prop_map(|nth| Step::Thaw { nth })
}

/// By an hour, a day, or more than anything but a record of an order is kept.
fn set_clock() -> impl Strategy<Value = Step> {
    const DAY: i64 = 24;
    let by_hours = prop::sample::select(&[-40 * DAY, -DAY, -1, 1, DAY, 4 * DAY, 40 * DAY]);
    by_hours.prop_map(|by_hours| Step::SetClock { by_hours })
}

fn push() -> impl Strategy<Value = Step> {
    trouble(5).prop_map(|trouble| Step::Push { trouble })
}

fn rebuild() -> impl Strategy<Value = Step> {
    trouble(16).prop_map(|trouble| Step::Rebuild { trouble })
}

fn anything() -> impl Strategy<Value = Vec<Step>> {
    let deliver = (0..SERVICES.len(), trouble(4));
    let step = prop_oneof![
        3 => place(),
        10 => work(),
        6 => deliver.prop_map(|(nth, trouble)| Step::Deliver { nth, trouble }),
        2 => push(),
        2 => trouble(6).prop_map(|trouble| Step::Retry { trouble }),
        1 => rebuild(),
        1 => trouble(5).prop_map(|trouble| Step::Pass { trouble }),
        4 => thaw(),
        1 => Just(Step::Flow),
        2 => set_clock(),
        2 => Just(Step::Tidy),
        1 => (0..2 * Topic::ALL.len()).prop_map(|nth| Step::TurnPart { nth }),
    ];
    prop::collection::vec(step, 20..120)
}

/// All events of a few orders are there, and those who make something of them overtake each other.
fn race(step: impl Strategy<Value = Step>) -> impl Strategy<Value = Vec<Step>> {
    let orders = prop::collection::vec(place(), 1..4);
    let racers = prop::collection::vec(step, 10..50);
    (orders, racers).prop_map(|(mut steps, racers)| {
        steps.push(Step::Flow);
        steps.extend(racers);
        steps
    })
}

fn choose(nth: usize, busy: &[usize]) -> usize {
    if busy.is_empty() { nth } else { busy[nth % busy.len()] }
}

impl Step {
    async fn take(self, rig: &mut Rig, placed: &mut Vec<&'static str>) {
        match self {
            Step::Place { scenario, trouble } => {
                rig.place(placed.len(), scenario, trouble).await;
                placed.push(scenario);
            }
            Step::Work { nth, back, batches, trouble } => {
                let service = choose(nth, &rig.busy().await);
                rig.work(service, back, &batches, trouble).await;
            }
            Step::Deliver { nth, trouble } => {
                let service = choose(nth, &rig.owing().await);
                rig.deliver(service, trouble).await;
            }
            Step::Push { trouble } => rig.push(trouble).await,
            Step::Retry { trouble } => rig.retry(trouble).await,
            Step::Rebuild { trouble } => rig.rebuild(trouble).await,
            Step::Pass { trouble } => rig.pass(trouble).await,
            Step::Flow => {
                rig.deliver(index_of(order_service::NAME), None).await;
                for service in [payment_worker::NAME, fulfillment_worker::NAME].map(index_of) {
                    rig.work_all(service, false).await;
                    rig.deliver(service, None).await;
                }
            }
            Step::Thaw { nth } => {
                rig.thaw(nth).await;
            }
            Step::SetClock { by_hours } => rig.clock.set(by_hours * 3_600),
            Step::Tidy => rig.tidy().await,
            Step::TurnPart { nth } => rig.turn_part(nth),
        }
    }
}

/// Without further trouble: every client sends its order until it is taken, every frozen process goes
/// on, and all go on until there is nothing left to do. With `again`, everything is delivered once more.
async fn finish(rig: &mut Rig, placed: &[&str], again: bool) -> Vec<Key> {
    let mut orders = Vec::new();
    for (nth, scenario) in placed.iter().enumerate() {
        orders.push(rig.place(nth, scenario, None).await.expect("an order that is taken"));
    }
    while rig.thaw(0).await {}
    rig.heal().await;
    for round in 0..20 {
        for service in 0..rig.services.len() {
            rig.work_all(service, again && round == 0).await;
            rig.deliver(service, None).await;
        }
        rig.retry(None).await;
        rig.heal().await;
        rig.push(None).await;
        if rig.is_quiet().await {
            return orders.into_iter().map(Into::into).collect();
        }
    }
    panic!("there is always something left to do");
}

/// What the log says of each order: its events by topic, each once, with their causes.
async fn history(rig: &Rig) -> HashMap<Key, Vec<(&'static str, EventId, Option<EventId>)>> {
    let mut history: HashMap<Key, Vec<_>> = HashMap::new();
    for topic in Topic::ALL {
        for record in rig.history(topic).await {
            let event = Event::decode(topic, record.key.as_deref(), &record.value);
            let event = event.expect("an event");
            let known = history.entry(event.key()).or_default();
            if known.iter().all(|(_, id, _)| *id != event.id) {
                known.push((event.payload.event_type(), event.id, event.causation_id));
            }
        }
    }
    history
}

async fn record(rig: &Rig, owner: &str, order: Key) -> Option<Record> {
    let wanted = Wanted { owner: owner.to_owned(), keys: vec![order], ..Wanted::default() };
    rig.store.load(&wanted).await.expect("the store").records.remove(&order)
}

/// The statuses in which an order with `scenario` leaves payment and fulfillment, and itself; and the
/// events of the contract about it.
fn end(scenario: &str) -> ([Option<&'static str>; 3], &'static [&'static str]) {
    match scenario {
        "declined" => {
            ([Some("Failed"), None, Some("PaymentFailed")], &["OrderCreatedV1", "PaymentFailedV1"])
        }
        _ => (
            [Some("Authorized"), Some("Scheduled"), Some("FulfillmentScheduled")],
            &["OrderCreatedV1", "PaymentAuthorizedV1", "FulfillmentScheduledV1"],
        ),
    }
}

async fn assert_all_is_well(rig: &Rig, placed: &[&str], orders: &[Key]) {
    let history = history(rig).await;
    assert_eq!(
        history.len(),
        orders.len(),
        "orders that no client placed, or none for two clients"
    );
    for (scenario, order) in placed.iter().zip(orders) {
        let ([payment, shipment, status], kinds) = end(scenario);
        let all = &history[order];
        let mut events = all.clone();
        events.retain(|(kind, ..)| CONTRACT.contains(kind));
        assert_eq!(events.iter().map(|(kind, ..)| *kind).collect::<Vec<_>>(), kinds, "{scenario}");
        assert_eq!(events[0].2, None);
        for pair in events.windows(2) {
            assert_eq!(pair[1].2, Some(pair[0].1), "each event follows from the one before");
        }
        for (owner, status) in [
            (order_service::NAME, status),
            (payment_worker::NAME, payment),
            (fulfillment_worker::NAME, shipment),
            (search_indexer_worker::NAME, status),
        ] {
            let record = record(rig, owner, *order).await;
            let found = record.as_ref().map(|record| record.status.as_str());
            assert_eq!(found, status, "{owner} of {scenario}");
        }
        let document = record(rig, search_indexer_worker::NAME, *order).await.expect("a document");
        let document: Value = document.read().expect("JSON");
        let shown = document["timeline"].as_array().expect("a timeline").iter();
        let shown = shown.map(|entry| entry["eventId"].as_str().expect("an id").to_owned());
        let mut shown: Vec<String> = shown.collect();
        let mut told: Vec<String> = all.iter().map(|(_, id, _)| id.to_string()).collect();
        shown.sort_unstable();
        told.sort_unstable();
        assert_eq!(shown, told, "every event once: {document}");
        let contract = of_the_contract(&document["timeline"]);
        let contract: Vec<_> = contract.iter().map(|entry| &entry["eventType"]).collect();
        assert_eq!(contract, kinds, "{document}");
    }
    let all = rig.store.scan(order_service::NAME, None, 1000).await.expect("the store");
    assert_eq!(all.len(), orders.len(), "each client has one order");
    let verified = rig.watch().verify().await.expect("an index");
    assert_eq!((verified.checked, verified.differences), (orders.len() as u64, 0), "{verified:?}");
}

fn all_ends_well(steps: Vec<Step>, again: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let all = async {
        let mut rig = Rig::start().await;
        let mut placed = Vec::new();
        for step in steps {
            step.take(&mut rig, &mut placed).await;
        }
        let orders = finish(&mut rig, &placed, again).await;
        assert_all_is_well(&rig, &placed, &orders).await;
    };
    let ended = runtime.block_on(async { tokio::time::timeout(PATIENCE, all).await });
    ended.expect("an end");
    // The dead are not waited for.
    runtime.shutdown_background();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_on_the_way_all_orders_end_as_if_nothing_had(
        steps in anything(),
        again in any::<bool>(),
    ) {
        all_ends_well(steps, again);
    }

    #[test]
    fn workers_that_overtake_each_other_lose_no_event(
        steps in race(prop_oneof![3 => work(), 1 => thaw()]),
        again in any::<bool>(),
    ) {
        all_ends_well(steps, again);
    }

    #[test]
    fn couriers_and_rebuilds_that_overtake_each_other_leave_no_document_behind(
        steps in race(prop_oneof![6 => work(), 5 => push(), 1 => rebuild(), 3 => thaw()]),
    ) {
        all_ends_well(steps, false);
    }
}
