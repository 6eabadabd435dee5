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
    // Where there is an index to use, the planner now uses it.
    let settings = "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan";
    client.batch_execute(settings).await.unwrap();
    let plain = |sql: &&str| !sql.starts_with("BEGIN") && !sql.starts_with("COMMIT");
    for sql in postgres::statements().filter(plain) {
        let params = client.prepare(sql).await.unwrap().params().len();
        let nulls = vec!["NULL"; params].join(", ");
        let call = if params == 0 { "p".to_owned() } else { format!("p({nulls})") };
        client.batch_execute(&format!("PREPARE p AS {sql}")).await.unwrap();
        let plan = client.query(&format!("EXPLAIN EXECUTE {call}"), &[]).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(!plan.contains("Seq Scan"), "{sql}\n{plan}");
        client.batch_execute("DEALLOCATE p").await.unwrap();
    }
}
