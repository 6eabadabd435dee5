//! Servers of the cluster set that go and come back, one at a time, under load: what needs them waits,
//! the rest goes on, and nothing that was accepted is lost.

use crate::crashes::{Accepted, assert_all_end_right, load};
use crate::resuming::{live, live_until, member};
use crate::server::{PATIENCE, Server, events, get, http, order, place, until, until_status};
use crate::servers::{Servers, Urls};
use crate::system::{SERVICES, System};
use ofs_events::Topic;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Four processes, one for each service, in the order of [`SERVICES`].
fn four(system: &System) -> Vec<Server> {
    SERVICES.iter().map(|service| system.start_with(&["--service", service], &[])).collect()
}

async fn until_working(url: &str) {
    let id = place(url, &order(Some("success"))).await.expect("201");
    until_status(url, &id, "FulfillmentScheduled").await;
}

/// A client that places orders; some of them are through already.
async fn loading(url: &str) -> JoinHandle<Accepted> {
    let client = url.to_owned();
    let loading = tokio::spawn(async move { load(&client, 0).await });
    let search = format!("{url}/orders/search");
    until(&search, "some orders", |_, body| body["total"].as_u64() > Some(20)).await;
    loading
}

#[tokio::test]
async fn while_kafka_is_down_orders_are_accepted_and_they_catch_up() {
    let Some(servers) = Servers::start(&["kafka"]).await else { return };
    let system = servers.system();
    let processes = four(&system);
    let url = &processes[0].url;
    until_working(url).await;
    servers.kill("kafka");
    let accepted = load(url, 0).await;
    assert_eq!(accepted.len(), 300, "every order is accepted");
    let pipeline = format!("{url}/pipeline");
    let unknown = |_, view: &serde_json::Value| {
        let topic = &view["services"][1]["topics"][0];
        topic["lagEvents"].is_null() && topic["unreachableSince"].is_string()
    };
    until(&pipeline, "the log is known to be unreachable", unknown).await;
    let (status, ready) = get(&format!("{url}/health/ready")).await;
    assert_eq!((status, ready["log"].as_str()), (200, Some("down")), "{ready}");
    servers.bring_back("kafka");
    assert_all_end_right(&system, url, &accepted).await;
}

#[tokio::test]
async fn while_elasticsearch_is_down_everything_but_search_goes_on() {
    let Some(servers) = Servers::start(&["elasticsearch"]).await else { return };
    let system = servers.system();
    let processes = four(&system);
    let url = &processes[0].url;
    until_working(url).await;
    servers.kill("elasticsearch");
    let accepted = load(url, 0).await;
    assert_eq!(accepted.len(), 300, "every order is accepted");
    for (id, status) in &accepted {
        until_status(url, id, status).await;
    }
    let (status, problem) = get(&format!("{url}/orders/search")).await;
    assert_eq!((status, problem["type"].as_str()), (503, Some("urn:ofs:problem:unavailable")));
    servers.bring_back("elasticsearch");
    until(&format!("{url}/orders/search"), "search again", |status, _| status == 200).await;
    assert_all_end_right(&system, url, &accepted).await;
}

#[tokio::test]
async fn while_postgres_is_down_writes_are_refused_and_no_accepted_order_is_lost() {
    let Some(servers) = Servers::start(&["postgres"]).await else { return };
    let system = servers.system();
    let processes = four(&system);
    let url = processes[0].url.clone();
    until_working(&url).await;
    let loading = loading(&url).await;
    servers.kill("postgres");
    let mut accepted = loading.await.expect("a client");
    let refused = http().post(format!("{url}/orders")).json(&order(None)).send().await;
    let refused = refused.expect("an answer");
    assert_eq!(refused.status().as_u16(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let (status, _) = get(&format!("{url}/health/ready")).await;
    assert_eq!(status, 503);
    servers.bring_back("postgres");
    until(&format!("{url}/health/ready"), "ready again", |status, _| status == 200).await;
    accepted.extend(load(&url, 1).await);
    assert!(accepted.len() >= 300, "orders are accepted again: {}", accepted.len());
    assert_all_end_right(&system, &url, &accepted).await;
}

#[tokio::test]
async fn a_broker_of_three_that_dies_under_load_loses_nothing() {
    let Some(servers) = Servers::start(&["kafka"]).await else { return };
    let system = servers.system();
    let processes = four(&system);
    let url = processes[0].url.clone();
    until_working(&url).await;
    let loading = loading(&url).await;
    servers.kill("kafka-1");
    let accepted = loading.await.expect("a client");
    assert_eq!(accepted.len(), 300, "every order is accepted");
    assert_all_end_right(&system, &url, &accepted).await;
}

/// Topics of one copy whose partitions 0 and 3 stand on the first broker.
fn in_one_copy(servers: &Servers) -> System {
    for topic in Topic::ALL {
        let brokers = servers.brokers();
        let create = ["--bootstrap-server", &brokers, "--create", "--topic", topic.name()];
        let settings = ["--replica-assignment", "1,2,3,1,2,3", "--config", "cleanup.policy=delete"];
        servers
            .kafka_tool("org.apache.kafka.tools.TopicCommand", &[&create[..], &settings].concat());
    }
    servers.system()
}

/// Waits until every one of `orders` is final, but for those that order-service cannot publish: with two
/// of six partitions gone, about a third.
async fn until_the_rest_is_final(url: &str, orders: &Accepted) {
    let third = orders.len() as u64 / 3;
    let began = Instant::now();
    loop {
        let (_, view) = get(&format!("{url}/pipeline")).await;
        let owed = view["services"][0]["outbox"]["rows"].as_u64().expect("a number");
        let mut open = 0;
        for (id, status) in orders {
            let (_, order) = get(&format!("{url}/orders/{id}")).await;
            open += u64::from(order["status"] != *status);
        }
        if open == owed && owed < third + 100 {
            assert!(owed > third - 100, "{owed} wait");
            return;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{open} are open, {owed} of them not published: {view}"
        );
    }
}

async fn loads(url: &str, seeds: std::ops::Range<usize>) -> Accepted {
    futures::future::join_all(seeds.map(|seed| load(url, seed))).await.concat()
}

#[tokio::test]
async fn a_partition_without_a_leader_waits_alone() {
    let Some(servers) = Servers::start(&["kafka"]).await else { return };
    let system = in_one_copy(&servers);
    let mut processes = four(&system);
    let url = processes[0].url.clone();
    until_working(&url).await;
    servers.kill("kafka-1");
    let mut accepted = loads(&url, 0..4).await;
    assert_eq!(accepted.len(), 1200, "every order is accepted");
    until_the_rest_is_final(&url, &accepted).await;
    let (_, view) = get(&format!("{url}/pipeline")).await;
    for service in view["services"].as_array().expect("services") {
        for topic in service["topics"].as_array().expect("topics") {
            assert_eq!(topic["leaderless"], serde_json::json!([0, 3]), "{view}");
            assert_eq!(topic["lagEvents"], 0, "{view}");
        }
    }
    let (before, last) = read_the_others(&system, &url).await;
    let told = system.ofs(Some(&url), &["pipeline"]);
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("payments.events.v1/3 has no leader"), "{told}");
    // A process that starts meanwhile takes up all the others.
    let began = Instant::now();
    std::thread::scope(|scope| {
        for process in &mut processes {
            scope.spawn(|| assert_eq!(process.stop(), Some(0)));
        }
    });
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "a stop waits for what cannot be delivered: {took:?}");
    let processes = four(&system);
    let url = processes[0].url.clone();
    accepted.extend(loads(&url, 0..1).await);
    until_the_rest_is_final(&url, &accepted).await;
    let client = url.clone();
    let following = tokio::spawn(async move {
        let led_again = |events: &[String]| {
            let all = events.iter().position(|event| event.contains(r#""leaderless":[]"#));
            let is_theirs = |event: &String| event.contains("id: orders.events.v1/3@");
            all.is_some_and(|all| events[all..].iter().any(is_theirs))
        };
        live_until(&client, None, led_again).await
    });
    until(&format!("{url}/pipeline"), "two partitions without a leader", |_, view| {
        view["services"][0]["topics"][0]["leaderless"] == serde_json::json!([0, 3])
    })
    .await;
    servers.bring_back("kafka-1");
    assert_all_end_right(&system, &url, &accepted).await;
    let followed = tokio::time::timeout(PATIENCE, following).await.expect("all is read in the end");
    assert!(followed.expect("a reader").len() > accepted.len());
    assert_nothing_was_missed(&url, before, &last).await;
}

/// While partitions 0 and 3 of each topic have no leader: the others are read, and those are named.
/// Answers with the positions that a live reader was given, and the last id.
async fn read_the_others(system: &System, url: &str) -> (BTreeSet<String>, String) {
    let told = system.ofs(Some(url), &["events", "tail", "--no-follow", "--json"]);
    assert!(told.status.success() && told.stdout.len() > 100_000, "{told:?}");
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("orders.events.v1/0, orders.events.v1/3"), "{told}");
    let mut events = live(url, None, 51).await;
    let first = events.remove(0);
    assert_eq!(member(&first, "event"), Some("leaderless"), "{first}");
    assert_eq!(member(&first, "id"), None, "a reader goes on behind records only");
    let data: serde_json::Value =
        serde_json::from_str(member(&first, "data").expect("data")).expect("JSON");
    let missing = Topic::ALL.map(|topic| [0, 3].map(|partition| format!("{topic}/{partition}")));
    assert_eq!(data["leaderless"], serde_json::json!(missing.concat()));
    let last = events.last().and_then(|event| member(event, "id")).expect("an id").to_owned();
    (events.iter().map(|event| position(event)).collect(), last)
}

/// Where the record of a server-sent event stands.
fn position(event: &str) -> String {
    let id = member(event, "id").unwrap_or_else(|| panic!("no record: {event}"));
    id.split(['~', ';']).next().expect("a position").to_owned()
}

/// A live reader that goes on behind `last` is given all that it was not given `before`, once.
async fn assert_nothing_was_missed(url: &str, mut before: BTreeSet<String>, last: &str) {
    let mut all = BTreeSet::new();
    for topic in Topic::ALL {
        let lines = events(url, topic.name()).await;
        all.extend(lines.iter().map(|line| line["position"].as_str().expect("it").to_owned()));
    }
    for event in live(url, Some(last), all.len() - before.len()).await {
        assert!(before.insert(position(&event)), "given twice: {event}");
    }
    assert!(before == all, "{} of {} records", before.len(), all.len());
}

#[test]
fn a_server_that_is_missing_at_the_start_is_waited_for_and_then_named() {
    let nobody = |log: &str, store: &str| Urls {
        log: log.to_owned(),
        store: store.to_owned(),
        index: "http://127.0.0.1:1".to_owned(),
    };
    let system =
        System::unprepared_on(nobody("kafka://127.0.0.1:1", "postgres://ofs@127.0.0.1:1/ofs"));
    let began = Instant::now();
    let mut command = system.command();
    command.args(["run", "--listen", "127.0.0.1:0"]).env("OFS_STARTUP_TIMEOUT", "5s");
    let ended = command.output().expect("an end");
    assert!(began.elapsed() >= Duration::from_secs(5), "it waits");
    assert_eq!(ended.status.code(), Some(5));
    let said = String::from_utf8_lossy(&ended.stderr);
    for (server, key) in
        [("PostgreSQL", "store.url"), ("Kafka", "log.url"), ("Elasticsearch", "index.url")]
    {
        let waiting = format!("waiting for {server} ({key})");
        assert_eq!(said.matches(&waiting).count(), 1, "{said}");
    }
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: ") && last.contains("start it, or set "), "{said}");
}
