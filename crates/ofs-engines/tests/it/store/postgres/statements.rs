//! The statements themselves, read by a real server.

use super::*;

#[tokio::test]
async fn the_server_understands_every_statement() {
    let Some(database) = fresh().await else { return };
    let client = database.client().await;
    let mut count = 0;
    for sql in postgres::statements() {
        client.prepare(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        count += 1;
    }
    assert!(count > 30, "{count}");
}

#[tokio::test]
async fn no_statement_has_to_read_a_table_from_end_to_end() {
    let Some(database) = fresh().await else { return };
    let client = database.client().await;
    for sql in postgres::statements().filter(planned) {
        let plan = plan(&client, sql).await;
        assert!(!plan.contains("Seq Scan"), "{sql}\n{plan}");
    }
}

#[tokio::test]
async fn a_backlog_of_one_shard_is_not_read_for_another() {
    let Some(database) = fresh().await else { return };
    let client = database.client().await;
    let sql = "INSERT INTO outbox (owner, shard, topic, key, headers, value, created_at)
               SELECT 'o', 0, 'orders.events.v1', gen_random_uuid(), '[]', '', now()
               FROM generate_series(1, 50000);
               ANALYZE outbox";
    client.batch_execute(sql).await.unwrap();
    let by_shard = |sql: &&str| sql.contains("o.shard, o.id");
    assert_eq!(postgres::statements().filter(by_shard).count(), 2);
    for sql in postgres::statements().filter(by_shard) {
        let plan = plan(&client, sql).await;
        assert!(plan.contains("using outbox_by_shard"), "{sql}\n{plan}");
        assert!(!plan.contains("outbox_pkey"), "{sql}\n{plan}");
    }
}

#[tokio::test]
async fn parked_events_are_found_by_an_index() {
    let Some(database) = fresh().await else { return };
    let client = database.client().await;
    for (those, index) in [
        ("WHERE key = $", "parked_events_by_order"),
        ("FROM parked_events WHERE state = 'parked' AND id >", "parked_events_open_by_id"),
        ("FROM parked_events WHERE  id >", "parked_events_pkey"),
    ] {
        let lists: Vec<_> = postgres::statements().filter(|sql| sql.contains(those)).collect();
        assert_eq!(lists.len(), 2, "{those}");
        for sql in lists {
            let plan = plan(&client, sql).await;
            assert!(plan.contains(index) && plan.contains("Index Cond: "), "{sql}\n{plan}");
        }
    }
}

fn planned(sql: &&str) -> bool {
    !sql.starts_with("BEGIN") && !sql.starts_with("COMMIT")
}

/// How the server would go about it, whatever the values, where there is an index to use.
async fn plan(client: &Client, sql: &str) -> String {
    let settings = "SET enable_seqscan = off; SET enable_bitmapscan = off;
                    SET plan_cache_mode = force_generic_plan";
    client.batch_execute(settings).await.unwrap();
    let params = client.prepare(sql).await.unwrap().params().len();
    let nulls = vec!["NULL"; params].join(", ");
    let call = if params == 0 { "p".to_owned() } else { format!("p({nulls})") };
    client.batch_execute(&format!("PREPARE p AS {sql}")).await.unwrap();
    let plan = client.query(&format!("EXPLAIN EXECUTE {call}"), &[]).await.unwrap();
    client.batch_execute("DEALLOCATE p").await.unwrap();
    let lines: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    lines.join("\n")
}
