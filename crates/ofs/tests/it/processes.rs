//! Many processes on the servers of the cluster set: they share the work, and whichever of them dies
//! or freezes, nothing is lost, doubled or out of order.

use crate::crashes::{Accepted, assert_all_end_right, load};
use crate::server::{Server, get, until};
use crate::system::{SERVICES, System};
use futures::future::join_all;
use ofs_events::{CorrelationId, Key, PaymentAuthorizedV1, Topic};
use ofs_runtime::context::Context;
use ofs_runtime::log::Position;
use ofs_runtime::store::{Commit, Parking};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Two processes of each service, in the order of [`SERVICES`]; the second ones with `variables`.
fn two_of_each(system: &System, variables: &[(&str, &str)]) -> Vec<[Server; 2]> {
    let start = |service, variables| system.start_with(&["--service", service], variables);
    SERVICES.iter().map(|service| [start(service, &[]), start(service, variables)]).collect()
}

/// Partitions of all topics that the process at `url` reads for `service`, and how many there are.
async fn partitions(url: &str, service: &str) -> (u64, u64) {
    let (_, view) = get(&format!("{url}/pipeline")).await;
    let services = view["services"].as_array().expect("services");
    let station = services.iter().find(|station| station["service"] == service).expect("it");
    let topics = station["topics"].as_array().expect("topics");
    let all = topics.iter().filter_map(|topic| topic["partitions"].as_u64()).sum();
    (topics.iter().map(assigned).sum(), all)
}

fn assigned(topic: &Value) -> u64 {
    topic["assigned"].as_array().map_or(0, |partitions| partitions.len() as u64)
}

/// How long a group may take to divide its partitions: it does so in two steps, and in each it may wait
/// for a member for as long as that may go without polling, 30 seconds. Twice that for a busy machine.
const TWO_STEPS: Duration = Duration::from_secs(180);

/// Waits until the two have divided all partitions between them.
pub async fn until_shared(service: &str, [one, other]: &[Server; 2]) {
    let began = Instant::now();
    loop {
        let (mine, all) = partitions(&one.url, service).await;
        let (theirs, _) = partitions(&other.url, service).await;
        if all > 0 && mine > 0 && theirs > 0 && mine + theirs == all {
            return;
        }
        let patient = began.elapsed() < TWO_STEPS;
        assert!(patient, "{service} does not share: {mine} and {theirs} of {all} partitions");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Load on both order services at once.
async fn load_both(urls: [String; 2]) -> Accepted {
    let loads = urls.iter().zip([0, 1]).map(|(url, seed)| load(url, seed));
    join_all(loads).await.concat()
}

fn urls(processes: &[[Server; 2]]) -> [String; 2] {
    let [one, other] = &processes[0];
    [one.url.clone(), other.url.clone()]
}

#[tokio::test]
async fn two_of_each_service_share_the_work_and_do_nothing_twice() {
    let Some(system) = System::on_shared_servers() else { return };
    let mut processes = two_of_each(&system, &[]);
    for (service, pair) in SERVICES.iter().zip(&processes) {
        until_shared(service, pair).await;
    }
    let accepted = load_both(urls(&processes)).await;
    assert_eq!(accepted.len(), 600, "every order is accepted");
    assert_all_end_right(&system, &processes[0][0].url, &accepted).await;
    for (service, pair) in SERVICES.iter().zip(&processes) {
        for process in pair {
            let (_, metrics) = get(&format!("{}/metrics", process.url)).await;
            let metrics = metrics.as_str().expect("text").to_owned();
            let handled = format!("ofs_events_handled_total{{service=\"{service}\"");
            let worked = |line: &&str| {
                line.starts_with(&handled)
                    && line.contains("outcome=\"processed\"")
                    && !line.ends_with(" 0")
            };
            assert!(metrics.lines().any(|line| worked(&line)), "{service} was idle:\n{metrics}");
        }
    }
    for process in processes.iter_mut().flatten() {
        assert_eq!(process.stop(), Some(0));
    }
}

#[tokio::test]
async fn killing_one_of_each_service_under_load_loses_and_doubles_nothing() {
    let Some(system) = System::on_shared_servers() else { return };
    let mut processes = two_of_each(&system, &[]);
    let loading = tokio::spawn(load_both(urls(&processes)));
    let search = format!("{}/orders/search", processes[0][0].url);
    until(&search, "some orders", |_, body| body["total"].as_u64() > Some(20)).await;
    for pair in &mut processes {
        pair[1].kill();
    }
    let accepted = loading.await.expect("clients");
    assert!(accepted.len() > 300, "one order service goes on: {}", accepted.len());
    assert_all_end_right(&system, &processes[0][0].url, &accepted).await;
}

#[tokio::test]
async fn a_process_that_wakes_up_after_its_partitions_have_moved_changes_nothing() {
    let Some(system) = System::on_shared_servers() else { return };
    // A gateway of its own: a process that is frozen while it writes the simulated one's ledger would
    // freeze the gateway, too.
    let processes =
        two_of_each(&system, &[("OFS_PAYMENT_SIMULATOR_LEDGER", "ledger-of-the-frozen")]);
    for (service, pair) in SERVICES.iter().zip(&processes) {
        until_shared(service, pair).await;
    }
    let [awake, _] = urls(&processes);
    let loading = tokio::spawn({
        let url = awake.clone();
        async move { load(&url, 0).await }
    });
    let search = format!("{awake}/orders/search");
    until(&search, "some orders", |_, body| body["total"].as_u64() > Some(20)).await;
    for pair in &processes {
        pair[1].freeze();
    }
    for (service, pair) in SERVICES.iter().zip(&processes) {
        let moved = |_, view: &Value| {
            let services = view["services"].as_array().expect("services");
            let station = services.iter().find(|station| station["service"] == *service);
            let topics = station.and_then(|station| station["topics"].as_array());
            topics.is_some_and(|topics| {
                topics.iter().all(|topic| topic["partitions"] == assigned(topic))
            })
        };
        until(&format!("{}/pipeline", pair[0].url), "partitions move", moved).await;
    }
    let mut accepted = loading.await.expect("a client");
    assert_all_end_right(&system, &awake, &accepted).await;
    for pair in &processes {
        pair[1].thaw();
    }
    accepted.extend(load_both(urls(&processes)).await);
    for (service, pair) in SERVICES.iter().zip(&processes) {
        until_shared(service, pair).await;
    }
    assert_all_end_right(&system, &awake, &accepted).await;
}

#[tokio::test]
async fn what_an_older_process_parks_is_handled_by_a_newer_one_that_runs_already() {
    let Some(system) = System::on_shared_servers() else { return };
    let server = system.start();
    let parked = format!("{}/parked?state=resolved", server.url);
    let context = Context::new("an older build");
    let key = Key(context.new_id());
    let paid = PaymentAuthorizedV1 { order_id: key.into() }.into();
    let event = context.first(CorrelationId(context.new_id()), paid);
    let engines = system.engines().await;
    let unread = Parking {
        at: Position { topic: Topic::Payments, partition: 0, offset: 1_000_000 },
        key: Some(key),
        event_id: None,
        event_type: None,
        raw_key: Some(key.to_string().into()),
        raw: event.encode().into(),
        reason: "event type PaymentAuthorizedV1 version 1 is unknown to this build".to_owned(),
        unknown_type: true,
        retry_in: None,
    };
    let owner = "fulfillment-worker".to_owned();
    let commit = Commit { owner, parked: vec![unread], ..Commit::default() };
    engines.store.commit(commit).await.expect("parked");
    until(&parked, "the event is handled", |_, body| body.to_string().contains(&key.to_string()))
        .await;
}
