//! The contract on the wire, looked at and written to by clients that are not ours: Kafka's console
//! tools, psql and curl, under the contract's names.

use crate::server::{order, place, until_status};
use crate::servers::Servers;
use crate::system::{SERVICES, of_the_contract};
use serde_json::{Value, json};
use std::process::Command;

const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const PRODUCER: &str = "kafka.tools.ConsoleProducer";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

/// An order that another producer made.
const FOREIGN: &str = "0b7c1d2e-3f40-4a5b-8c6d-7e8f90a1b2c3";

/// Every record of `topic`, as Kafka's console consumer prints it: partition, headers, key, value.
fn records(servers: &Servers, topic: &str, count: usize) -> Vec<[String; 4]> {
    let brokers = servers.brokers();
    let (count, plain) = (count.to_string(), "print.value=true");
    let printed = servers.kafka_tool(
        CONSUMER,
        &[
            "--bootstrap-server",
            &brokers,
            "--topic",
            topic,
            "--from-beginning",
            "--max-messages",
            &count,
            "--timeout-ms",
            "20000",
            "--property",
            plain,
            "--property",
            "print.key=true",
            "--property",
            "print.headers=true",
            "--property",
            "print.partition=true",
        ],
    );
    let line = |line: &str| {
        let mut parts = line.splitn(4, '\t').map(str::to_owned);
        std::array::from_fn(|_| parts.next().expect("four columns"))
    };
    printed.lines().map(line).collect()
}

fn curl(args: &[&str]) -> Value {
    let answer = Command::new("curl").args(["-sS"]).args(args).output().expect("curl");
    serde_json::from_slice(&answer.stdout).expect("JSON")
}

fn members(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// `event` is the contract's envelope, in a record with the contract's key and headers.
fn assert_is_the_contracts(
    [_, headers, key, value]: &[String; 4],
    order: &str,
    kind: &str,
) -> Value {
    assert_eq!(key, order);
    let event: Value = serde_json::from_str(value).expect("UTF-8 JSON");
    let envelope = "eventId eventType eventVersion occurredAt correlationId causationId payload";
    assert_eq!(members(&event), envelope.split(' ').collect::<Vec<_>>());
    assert_eq!((&event["eventType"], &event["eventVersion"]), (&json!(kind), &json!(1)));
    assert!(headers.contains(&format!("eventType:{kind}")), "{headers}");
    let correlation = event["correlationId"].as_str().expect("a correlation id");
    assert!(headers.contains(&format!("correlationId:{correlation}")), "{headers}");
    assert_eq!(event["payload"]["orderId"], order);
    event
}

#[tokio::test]
async fn clients_that_are_not_ours_read_and_write_what_the_contract_says() {
    let Some(servers) = Servers::start(&["kafka", "postgres", "elasticsearch"]).await else {
        return;
    };
    let system = servers.system();
    let server = system.start();
    let paid = place(&server.url, &order(Some("success"))).await.expect("201");
    until_status(&server.url, &paid, "FulfillmentScheduled").await;

    let [created] = &records(&servers, "orders.events.v1", 1)[..] else { panic!("one record") };
    let first = assert_is_the_contracts(created, &paid, "OrderCreatedV1");
    assert_eq!(first["causationId"], Value::Null);
    let payload = "orderId customerEmail productType country paymentScenario";
    assert_eq!(members(&first["payload"]), payload.split(' ').collect::<Vec<_>>());
    let [decided] = &records(&servers, "payments.events.v1", 1)[..] else { panic!("one record") };
    let second = assert_is_the_contracts(decided, &paid, "PaymentAuthorizedV1");
    assert_eq!(second["causationId"], first["eventId"]);
    assert_eq!(members(&second["payload"]), ["orderId"]);
    let [shipped] = &records(&servers, "fulfillment.events.v1", 1)[..] else { panic!("one") };
    let third = assert_is_the_contracts(shipped, &paid, "FulfillmentScheduledV1");
    assert_eq!(third["causationId"], second["eventId"]);
    assert_eq!(members(&third["payload"]), ["orderId", "etaUtc"]);

    a_foreign_record_is_taken(&servers, &server.url, created).await;
    let groups = servers.kafka_tool(GROUPS, &["--bootstrap-server", &servers.brokers(), "--list"]);
    let theirs = |group: &&str| group.starts_with("console-consumer-");
    let mut groups: Vec<&str> = groups.lines().filter(|group| !theirs(group)).collect();
    groups.sort_unstable();
    // The last is no consumer: it keeps how far the store was.
    let mut expected: Vec<String> =
        SERVICES.iter().map(|service| format!("{service}-v1")).collect();
    expected.push("ofs-store".to_owned());
    expected.sort_unstable();
    assert_eq!(groups, expected);
    assert_psql_sees(&servers, &paid);
    assert_curl_finds(&servers, &server.url, &paid).await;
}

/// A record by another producer: members in another order, a time with an offset, members that no build
/// knows, no headers. It lands where our records of the same key land, and is handled.
async fn a_foreign_record_is_taken(servers: &Servers, url: &str, ours: &[String; 4]) {
    let [partition, _, key, _] = ours;
    let event = |order: &str| {
        let id = uuid::Uuid::from_u128(
            u128::from_str_radix(&order.replace('-', ""), 16).expect("id") ^ 1,
        );
        format!(
            r#"{{"payload":{{"vip":true,"country":"DE","productType":"Book","customerEmail":"a@example.org","paymentScenario":"success","orderId":"{order}"}},"shop":7,"causationId":null,"correlationId":"{id}","occurredAt":"2026-01-31T13:00:00.5+01:00","eventVersion":1,"eventType":"OrderCreatedV1","eventId":"{id}"}}"#
        )
    };
    let lines = format!("{FOREIGN}\t{}\n{key}\t{}\n", event(FOREIGN), event(key));
    servers.kafka_tool_with(
        PRODUCER,
        &[
            "--bootstrap-server",
            &servers.brokers(),
            "--topic",
            "orders.events.v1",
            "--property",
            "parse.key=true",
        ],
        &lines,
    );
    let all = records(servers, "orders.events.v1", 3);
    let same_key: Vec<&String> =
        all.iter().filter(|[_, _, of, _]| of == key).map(|[partition, ..]| partition).collect();
    assert_eq!(same_key, [partition, partition], "the Java client picks the same partition");
    let timeline = format!("{url}/orders/{FOREIGN}/timeline");
    crate::server::until(&timeline, "three events", |_, body| {
        of_the_contract(&body["events"]).len() == 3
    })
    .await;
}

fn assert_psql_sees(servers: &Servers, order: &str) {
    for (sql, rows) in [
        (format!("SELECT status FROM orders WHERE id = '{order}'"), "FulfillmentScheduled"),
        (format!("SELECT status FROM payments WHERE order_id = '{order}'"), "Authorized"),
        (format!("SELECT status FROM shipments WHERE order_id = '{order}'"), "Scheduled"),
    ] {
        assert_eq!(servers.urls.psql(&sql).trim(), rows, "{sql}");
    }
    let owners = servers.urls.psql("SELECT DISTINCT owner FROM processed_events ORDER BY 1");
    let mut consumers = SERVICES;
    consumers.sort_unstable();
    assert_eq!(owners.lines().collect::<Vec<_>>(), consumers);
}

async fn assert_curl_finds(servers: &Servers, url: &str, paid: &str) {
    let declined = place(url, &order(Some("no money"))).await.expect("201");
    until_status(url, &declined, "PaymentFailed").await;
    let search = format!("{url}/orders/search?status=PaymentFailed");
    crate::server::until(&search, "the declined order", |_, body| body["total"] == 1).await;
    let index = &servers.urls.index;
    let all = curl(&[&format!("{index}/orders-v1/_search?pretty")]);
    assert_eq!(all["hits"]["total"]["value"], 3, "{all}");
    let by_status = curl(&[
        "-X",
        "POST",
        &format!("{index}/orders-v1/_search"),
        "-H",
        "Content-Type: application/json",
        "-d",
        r#"{"query":{"match":{"status":"FulfillmentScheduled"}}}"#,
    ]);
    let hits = by_status["hits"]["hits"].as_array().expect("hits");
    let mut found: Vec<&str> = hits.iter().filter_map(|hit| hit["_id"].as_str()).collect();
    found.sort_unstable();
    let mut expected = vec![FOREIGN, paid];
    expected.sort_unstable();
    assert_eq!(found, expected);
    let foreign = hits.iter().find(|hit| hit["_id"] == FOREIGN).expect("the foreign order");
    assert_eq!(of_the_contract(&foreign["_source"]["timeline"]).len(), 3);
}
