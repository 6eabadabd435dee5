//! A rolling upgrade and its roll-back: this build and the next one, which knows two events, a topic and
//! some members more, on the same data and under load. Nothing is lost, doubled or forgotten.

use crate::bad_records::{created, order_id};
use crate::crashes::{Accepted, assert_all_end_right, load, wait_for_end};
use crate::processes::until_shared;
use crate::server::{Server, get, search_all, until};
use crate::system::{SERVICES, System, of_the_contract};
use ofs_events::{Key, Topic};
use ofs_runtime::log::Position;
use ofs_runtime::store::{Commit, Parking};
use serde_json::Value;
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long it may take until the next build comes to what an older one has tried again and again: as
/// long as that went on for.
const IN_THE_END: Duration = Duration::from_mins(5);

/// A system, and the two builds that take turns on it.
struct Builds {
    system: System,
    next: PathBuf,
}

impl Builds {
    /// None where the next build is not made.
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where it is")]
    fn on(system: System) -> Option<Builds> {
        let next = std::env::var("OFS_TEST_NEXT").ok().map(PathBuf::from);
        if next.is_none() {
            eprintln!("skipped: OFS_TEST_NEXT does not say where the next build is");
        }
        Some(Builds { system, next: next? })
    }

    fn old(&self, args: &[&str]) -> Server {
        self.system.start_with(args, &[])
    }

    fn next(&self, args: &[&str]) -> Server {
        self.next_that_dies(args, None)
    }

    /// The next build; if `at` is given, it dies there.
    fn next_that_dies(&self, args: &[&str], at: Option<&str>) -> Server {
        let mut command = self.system.command_of(&self.next);
        command.args(["run", "--listen", "127.0.0.1:0"]).args(args);
        command.envs(at.map(|at| ("OFS_CRASH_AT", at)));
        Server::start(command).unwrap_or_else(|said| panic!("it ended: {said}"))
    }

    /// Makes what the next build needs beside what there is.
    fn migrate(&self) {
        let migrated = self.system.command_of(&self.next).arg("migrate").output().expect("an end");
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    }

    /// The next build's order service takes orders, and dies when it owes their events to the log.
    async fn orders_of_one_that_dies(&self) -> Accepted {
        let at = "append.before:20";
        let mut dying = self.next_that_dies(&["--service", "order-service"], Some(at));
        let accepted = load(&dying.url, 0).await;
        assert!(!accepted.is_empty());
        wait_for_end(&mut dying, at).await;
        accepted
    }

    /// What the order service of the next build wrote into its records is still there.
    async fn assert_records_keep_their_members(&self, theirs: &Accepted) {
        let records = self.system.records().await;
        for (id, status) in theirs {
            let key: Key = id.parse().expect("an id");
            let record = records.get(&("order-service", key)).expect("a record");
            let body: Value = record.read().expect("JSON");
            assert_eq!(body["channel"], "web", "{body}");
            assert_eq!(record.status, *status, "what came later is there, too");
        }
    }
}

/// The orders end as they must where only this build runs. What it cannot read waits, and holds up no
/// order: events of a type it does not know are parked, those for a topic it does not know are owed.
async fn assert_the_unknown_waits(old: &str, accepted: &Accepted) {
    for (id, status) in accepted {
        let order = format!("{old}/orders/{id}");
        until(&order, status, |_, order| order["status"] == *status).await;
    }
    for reader in ["payment-worker", "search-indexer-worker"] {
        let parked = format!("{old}/parked?state=parked&limit=200&service={reader}");
        let unknown = |one: &Value| {
            let reason = one["reason"].as_str().unwrap_or_default();
            reason.contains("OrderNoteAddedV1 version 1 is unknown") && one["unknownType"] == true
        };
        let waits = |page: &Value| page["parked"].as_array().is_some_and(|p| p.iter().any(unknown));
        until(&parked, "a note is parked", |_, page| waits(page)).await;
    }
    let (_, view) = get(&format!("{old}/pipeline")).await;
    assert!(view["services"][0]["outbox"]["rows"].as_u64() > Some(0), "ratings are owed: {view}");
}

/// The next build has taken up by itself what was left to it, and its documents say all that they
/// should: every event once.
async fn until_nothing_waits_and_nothing_is_forgotten(next: &str, theirs: &Accepted) {
    let parked = format!("{next}/parked?state=parked");
    let began = Instant::now();
    while get(&parked).await.1["parked"] != serde_json::json!([]) {
        assert!(began.elapsed() < IN_THE_END, "{}", get(&parked).await.1);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (id, status) in theirs {
        let events = if *status == "PaymentFailed" { 2 } else { 3 };
        let search = format!("{next}/orders/search?q={id}");
        let whole = |_: u16, found: &Value| {
            let order = &found["orders"][0];
            let told = of_the_contract(&order["timeline"]).len();
            (&order["note"], &order["stars"], told) == (&"wrap it".into(), &5.into(), events)
        };
        until(&search, "the whole document", whole).await;
    }
    for order in search_all(next, "").await {
        let told = order["timeline"].as_array().expect("a timeline");
        let kinds: HashSet<String> =
            told.iter().map(|entry| entry["eventType"].to_string()).collect();
        assert_eq!(kinds.len(), told.len(), "something is told twice: {order}");
        assert!(told.iter().all(|entry| entry["position"].is_string()), "{order}");
    }
}

/// Starts a client of `url`; returns when some of its orders are taken.
async fn loading(url: &str, seed: usize) -> tokio::task::JoinHandle<Accepted> {
    let total = |found: &Value| found["total"].as_u64();
    let search = format!("{url}/orders/search");
    let before = total(&until(&search, "an index", |status, _| status == 200).await);
    let client = url.to_owned();
    let client = tokio::spawn(async move { load(&client, seed).await });
    let more = before.expect("a number") + 20;
    until(&search, "some orders", |_, found| total(found) > Some(more)).await;
    client
}

#[tokio::test]
async fn both_builds_side_by_side_on_the_way_up_and_on_the_way_back() {
    let Some(system) = System::on_shared_servers() else { return };
    let Some(builds) = Builds::on(system) else { return };
    let old = SERVICES.map(|service| builds.old(&["--service", service]));
    let mut ours = loading(&old[0].url, 0).await.await.expect("a client");
    builds.migrate();
    let next = |service| builds.next(&["--service", service]);
    let mut pairs: Vec<[Server; 2]> =
        SERVICES.into_iter().zip(old).map(|(service, old)| [next(service), old]).collect();
    for (service, pair) in SERVICES.iter().zip(&pairs) {
        until_shared(service, pair).await;
    }
    let (of_next, of_old) = tokio::join!(load(&pairs[0][0].url, 0), load(&pairs[0][1].url, 1));
    let mut theirs = of_next;
    ours.extend(of_old);
    let client = loading(&pairs[0][0].url, 2).await;
    for pair in &mut pairs {
        assert_eq!(pair[1].stop(), Some(0));
    }
    theirs.extend(client.await.expect("a client"));

    for (service, pair) in SERVICES.iter().zip(&mut pairs) {
        pair[1] = builds.old(&["--service", service]);
    }
    let client = loading(&pairs[0][1].url, 3).await;
    for pair in &mut pairs {
        assert_eq!(pair[0].stop(), Some(0));
    }
    ours.extend(client.await.expect("a client"));
    theirs.extend(builds.orders_of_one_that_dies().await);
    let old = pairs[0][1].url.clone();
    assert_the_unknown_waits(&old, &[&ours[..], &theirs].concat()).await;

    for (service, pair) in SERVICES.iter().zip(&mut pairs) {
        pair[0] = next(service);
    }
    // While it runs, half of what is owed is its own, and it cannot send all of that.
    assert_eq!(pairs[0][1].stop(), Some(0));
    until_nothing_waits_and_nothing_is_forgotten(&pairs[0][0].url, &theirs).await;
    pairs[0][1] = builds.old(&["--service", "order-service"]);
    let old = &pairs[0][1].url;
    assert_all_end_right(&builds.system, old, &[&ours[..], &theirs].concat()).await;
    builds.assert_records_keep_their_members(&theirs).await;
}

#[tokio::test]
async fn both_builds_by_turns_in_one_directory() {
    let Some(builds) = Builds::on(System::new()) else { return };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for seed in 0..2 {
        for (start, accepted) in
            [(Builds::old as fn(&_, &[&str]) -> _, &mut ours), (Builds::next, &mut theirs)]
        {
            let mut server = start(&builds, &[]);
            let client = loading(&server.url, seed).await;
            server.kill();
            accepted.extend(client.await.expect("a client"));
        }
    }
    theirs.extend(builds.orders_of_one_that_dies().await);
    let mut old = builds.old(&[]);
    ours.extend(load(&old.url, 2).await);
    assert_the_unknown_waits(&old.url, &[&ours[..], &theirs].concat()).await;
    assert_eq!(old.stop(), Some(0));

    let mut next = builds.next(&[]);
    until_nothing_waits_and_nothing_is_forgotten(&next.url, &theirs).await;
    assert_eq!(next.stop(), Some(0));
    let mut old = builds.old(&[]);
    assert_all_end_right(&builds.system, &old.url, &[&ours[..], &theirs].concat()).await;
    assert_eq!(old.stop(), Some(0));
    builds.assert_records_keep_their_members(&theirs).await;
}

async fn what_a_newer_build_has_parked_and_this_one_cannot_read_is_not_given_up(system: System) {
    assert_eq!(system.start().stop(), Some(0));
    let known = String::from_utf8(created(1).encode()).expect("JSON");
    let parking = Parking {
        at: Position { topic: Topic::Orders, partition: 0, offset: 1_000_000 },
        key: Some(order_id(1).into()),
        event_id: Some(created(1).id),
        event_type: Some("OrderMislaidV1".to_owned()),
        raw_key: Some(order_id(1).to_string().into()),
        raw: known.replace("OrderCreatedV1", "OrderMislaidV1").into(),
        reason: "waits behind an earlier event of this key on this topic".to_owned(),
        unknown_type: false,
        retry_in: Some(Duration::ZERO),
    };
    let owner = "payment-worker".to_owned();
    let commit = Commit { owner, parked: vec![parking], ..Commit::default() };
    system.engines().await.store.commit(commit).await.expect("parked");
    let mut server = system.start();
    let tried = |_: u16, page: &Value| {
        let parked = &page["parked"][0];
        let reason = parked["reason"].as_str().unwrap_or_default();
        reason.contains("unknown to this build") && parked["nextAt"].is_string()
    };
    until(&format!("{}/parked?state=parked", server.url), "it is tried again", tried).await;
    assert_eq!(server.stop(), Some(0));
}

on_every_set! { what_a_newer_build_has_parked_and_this_one_cannot_read_is_not_given_up }
