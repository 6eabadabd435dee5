//! Passwords and keys in files that change while everything runs: nothing is restarted, nothing is lost.

use crate::crashes::{Accepted, assert_all_end_right, load};
use crate::secured::{Secured, secured};
use crate::server::{Server, get, order, place_all, post, until};
use crate::system::System;

/// The three URLs in files.
struct Kept<'a> {
    system: &'a System,
}

impl Kept<'_> {
    fn path(&self, server: &str) -> String {
        self.system.dir().join(server).display().to_string()
    }

    fn write(&self, server: &str, url: &str) {
        std::fs::write(self.path(server), format!("{url}\n")).expect("written");
    }

    /// All services, with these files.
    fn run(&self, secured: &Secured) -> Server {
        let paths = ["store", "log", "index"].map(|server| self.path(server));
        let names = ["OFS_STORE_URL_FILE", "OFS_LOG_URL_FILE", "OFS_INDEX_URL_FILE"];
        let variables: Vec<(&str, &str)> =
            names.into_iter().zip(paths.iter().map(String::as_str)).collect();
        secured.run(self.system, &[], &variables)
    }
}

/// A role and a principal with passwords of their own, which may do everything here.
fn rotating(secured: &Secured, database: &str) {
    let sql = format!("CREATE ROLE {database} LOGIN PASSWORD 'first' IN ROLE ofs");
    secured.psql(database, &sql);
    let all = ["--operation", "All", "--topic", "*", "--group", "*", "--cluster"];
    let add = ["--add", "--allow-principal", "User:rotating"];
    secured.kafka_tool("kafka.admin.AclCommand", &[&add[..], &all].concat());
}

/// Another password for the principal; no connection is left.
fn change_in_kafka(secured: &Secured, password: &str) {
    let password = format!("SCRAM-SHA-512=[password={password}]");
    let user = ["--alter", "--entity-type", "users", "--entity-name", "rotating"];
    let change = [&user[..], &["--add-config", &password]].concat();
    secured.kafka_tool("kafka.admin.ConfigCommand", &change);
    secured.servers.kill("kafka-1");
    secured.servers.bring_back("kafka-1");
}

/// Orders that are all accepted.
async fn some(url: &str) -> Accepted {
    let ends = [("success", "FulfillmentScheduled"), ("declined", "PaymentFailed")];
    let ends = ends.iter().copied().cycle().take(20);
    let scenarios: Vec<&str> = ends.clone().map(|(scenario, _)| scenario).collect();
    let placed = place_all(url, &scenarios).await;
    placed.into_iter().zip(ends.map(|(_, status)| status)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_and_keys_that_change_are_read_again_and_nothing_is_lost() {
    let Some(secured) = secured().await else { return };
    let _turn = secured.turn.lock().await;
    let urls = secured.urls();
    let system = secured.system(urls.clone());
    let (_, prefix) = urls.log.split_once("prefix=").expect("a prefix");
    let database = prefix.trim_end_matches('.');
    rotating(&secured, database);
    let store = |password: &str| urls.store.replace("ofs:ofs", &format!("{database}:{password}"));
    let log = |password: &str| urls.log.replace("ofs:ofs", &format!("rotating:{password}"));
    let kept = Kept { system: &system };
    kept.write("store", &store("first"));
    kept.write("log", &log("rotating"));
    kept.write("index", &urls.index);
    let server = kept.run(&secured);
    let url = &server.url;
    let mut accepted = some(url).await;

    // PostgreSQL: under load, the old password is no good any more, and every connection is cut.
    let client = url.clone();
    let loading = tokio::spawn(async move { load(&client, 0).await });
    secured.psql(database, &format!("ALTER ROLE {database} PASSWORD 'second'"));
    let cut = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{database}'"
    );
    assert_ne!(secured.psql(database, &cut).trim(), "0", "there were connections");
    accepted.extend(loading.await.expect("a client"));
    // One that was just being made may have got through.
    while post(&format!("{url}/orders"), Some(&order(None))).await.0 != 503 {
        secured.psql(database, &cut);
    }
    kept.write("store", &store("second"));
    until(&format!("{url}/health/ready"), "ready again", |status, _| status == 200).await;
    accepted.extend(some(url).await);

    // Elasticsearch: the old key is revoked.
    secured.change_api_key("the-second-key");
    let search = format!("{url}/orders/search");
    assert_eq!(get(&search).await.0, 503, "with the old key nothing is found");
    kept.write("index", &urls.index.replace("the-first-key", "the-second-key"));
    assert_eq!(get(&search).await.0, 200);

    // Kafka: it asks for the password of new connections only, so they are all cut by a restart.
    change_in_kafka(&secured, "second");
    accepted.extend(some(url).await);
    until(&format!("{url}/pipeline"), "events wait", |_, view| {
        view["services"][0]["outbox"]["rows"].as_u64() > Some(0)
    })
    .await;
    kept.write("log", &log("second"));
    accepted.extend(some(url).await);
    assert_all_end_right(&system, url, &accepted).await;
    secured.change_api_key("the-first-key");
}
