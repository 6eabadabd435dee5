//! What people and BI tools see of the tables, and what tidying them leaves as it was.

use super::*;
use futures::future::join_all;
use ofs_runtime::store::Retention;

fn of(owner: &str, key: Key, status: &str, body: &serde_json::Value) -> Commit {
    let record = Record { body: body.to_string(), ..record(key, 0, status) };
    Commit { owner: owner.to_owned(), ..records([record]) }
}

#[tokio::test]
async fn people_see_orders_payments_and_shipments() {
    let Some(database) = fresh().await else { return };
    let store = database.store().await;
    let key = order(0xAB);
    let at = "2026-01-31T12:00:00.123456Z";
    let body = json!({
        "id": key, "customerEmail": "user@example.com", "productType": "Phone", "country": "US",
        "paymentScenario": null, "correlationId": Uuid::from_u128(9), "createdAt": at,
        "updatedAt": at, "facts": {}, "etaUtc": at,
    });
    store.commit(of("order-service", key, "Created", &body)).await.unwrap();
    let body = json!({ "orderId": key, "status": "Failed", "reason": "declined", "gatewayKey": "k",
                       "decidedAt": at });
    store.commit(of("payment-worker", key, "Failed", &body)).await.unwrap();
    let body = json!({ "orderId": key, "scheduledAt": at, "etaUtc": at });
    store.commit(of("fulfillment-worker", key, "Scheduled", &body)).await.unwrap();
    store.commit(of("search-indexer-worker", key, "Created", &json!({}))).await.unwrap();
    let client = database.client().await;
    for (view, condition) in [
        (
            "orders",
            format!(
                "id = '{key}' AND status = 'Created' AND customer_email = 'user@example.com'
                 AND product_type = 'Phone' AND country = 'US' AND payment_scenario IS NULL
                 AND failure_reason IS NULL AND correlation_id = '{}' AND created_at = '{at}'
                 AND updated_at = '{at}' AND eta_utc = '{at}' AND version = 1",
                Uuid::from_u128(9)
            ),
        ),
        (
            "payments",
            format!(
                "order_id = '{key}' AND status = 'Failed' AND reason = 'declined'
                 AND gateway_key = 'k' AND decided_at = '{at}' AND version = 1"
            ),
        ),
        (
            "shipments",
            format!(
                "order_id = '{key}' AND status = 'Scheduled' AND scheduled_at = '{at}'
                 AND eta_utc = '{at}' AND version = 1"
            ),
        ),
    ] {
        let sql = format!("SELECT count(*), count(*) FILTER (WHERE {condition}) FROM {view}");
        let row = client.query_one(&sql, &[]).await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 1), "{view}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_inbox_changes_no_outcome() {
    const NOTHING: Retention = Retention { inbox_days: 0, once_hours: 0, parked_days: 0 };
    let Some(database) = fresh().await else { return };
    let store = database.store().await;
    let event = |n| Commit { seen: vec![seen(order(n), n)], ..created(order(n), n) };
    // Events are handled, and delivered again, while the inbox is being emptied all the time.
    let handling = async {
        for _ in 0..20 {
            let outcomes = join_all((0..50).map(|n| store.commit(event(n)))).await;
            assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(()) | Err(Error::Stale))));
        }
    };
    let mut handling = std::pin::pin!(handling);
    while futures::poll!(handling.as_mut()).is_pending() {
        store.tidy(NOTHING).await.unwrap();
    }
    while store.tidy(NOTHING).await.unwrap() {}
    let client = database.client().await;
    let count = async |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        client.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    assert_eq!((count("processed_events").await, count("records").await), (0, 50));
    assert_eq!(outbox(&store, OWNER).await.len(), 50);
    assert_eq!(count("outbox").await, 50);
    for n in 0..50 {
        assert_eq!(store.commit(event(n)).await, Err(Error::Stale));
        assert_eq!(version(&store, order(n)).await, 1);
    }
}

#[tokio::test]
async fn a_text_that_postgresql_cannot_hold_is_rejected() {
    let Some(database) = fresh().await else { return };
    let store = database.store().await;
    let body = Record { body: r#"{"a":"\u0000"}"#.to_owned(), ..record(order(1), 0, "x") };
    let status = Record { status: "\0".to_owned(), ..record(order(1), 0, "x") };
    let mut header = created(order(1), 1);
    header.outgoing[0].headers.push(("a".to_owned(), "\0".to_owned()));
    let reason = Parking { reason: "\0".to_owned(), ..parking(Some(order(1)), 1, None) };
    let far = parking(Some(order(1)), u64::MAX, None);
    let bad = [records([body]), records([status]), header, parked([reason]), parked([far])];
    for commit in bad {
        let outcome = store.commit(commit).await;
        assert!(matches!(outcome, Err(Error::Rejected(_))), "{outcome:?}");
    }
    assert_eq!(version(&store, order(1)).await, 0);
    // A wait without end is only a very long one.
    store.commit(parked([parking(Some(order(1)), 1, Some(Duration::MAX))])).await.unwrap();
}

#[tokio::test]
async fn a_large_backlog_is_counted_without_keeping_anybody_waiting() {
    const ROWS: i32 = 25_000;
    let Some(database) = fresh().await else { return };
    let store = database.store().await;
    let client = database.client().await;
    for sql in [
        "INSERT INTO outbox (owner, shard, topic, key, headers, value, created_at)
         SELECT 'o', n % 8, 'orders.events.v1', gen_random_uuid(), '[]', '', now()
         FROM generate_series(1, $1::integer) AS g (n)",
        "INSERT INTO owed_index (owner, key, version, since)
         SELECT 'o', gen_random_uuid(), 1, now() FROM generate_series(1, $1::integer)",
        "INSERT INTO refused_documents (owner, key, version, reason, since)
         SELECT 'o', gen_random_uuid(), 1, '', now() FROM generate_series(1, $1::integer)",
        r#"INSERT INTO parked_events (owner, topic, partition, "offset", raw, reason, unknown_type, parked_at)
         SELECT 'o', 'orders.events.v1', 0, n, '', '', false, now()
         FROM generate_series(1, $1::integer) AS g (n)"#,
    ] {
        client.execute(sql, &[&ROWS]).await.unwrap();
    }
    let rows = async || {
        let depths = store.depths().await.unwrap();
        let lanes = [depths.outbox, depths.index, depths.refused, depths.parked];
        assert!(lanes.iter().flatten().all(|depth| depth.oldest.is_some()));
        lanes.map(|lane| lane.iter().map(|depth| depth.rows).sum::<u64>())
    };
    assert!(rows().await.iter().all(|rows| (10_000..=25_000).contains(rows)));
    until("all are counted", async || (rows().await == [25_000; 4]).then_some(())).await;
    client.batch_execute("DELETE FROM owed_index WHERE key > 'f0000000-0000-0000-0000-000000000000'; DELETE FROM outbox").await.unwrap();
    let left: i64 = client.query_one("SELECT count(*) FROM owed_index", &[]).await.unwrap().get(0);
    let left = u64::try_from(left).unwrap();
    until("they are counted again", async || {
        (rows().await == [0, left, 25_000, 25_000]).then_some(())
    })
    .await;
}
