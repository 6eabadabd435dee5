//! Encrypted connections and logins to Kafka, PostgreSQL and Elasticsearch, with an authority of our own:
//! orders pass, and what is wrong with a certificate or a login is said at the start.

use crate::secured::{Secured, secured};
use crate::server::{Server, place_all, until, until_status};
use crate::servers::Urls;
use crate::system::{SERVICES, System};
use std::time::{Duration, Instant, SystemTime};

/// Base64 for URLs, without padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letters = bytes.chunks(3).flat_map(|chunk| {
        let bits = chunk
            .iter()
            .enumerate()
            .fold(0, |bits, (n, byte)| bits | u32::from(*byte) << (16 - 8 * n));
        (0..=chunk.len()).map(move |n| LETTERS[(bits >> (18 - 6 * n) & 63) as usize] as char)
    });
    letters.collect()
}

/// A token for `user` that is good until `seconds` from now; unsigned, which brokers take by default.
pub fn token(user: &str, seconds: i64) -> String {
    let now =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let now = i64::try_from(now).expect("before the end of time");
    let claims =
        serde_json::json!({ "sub": user, "iat": now.min(now + seconds), "exp": now + seconds });
    format!("{}.{}.", base64(br#"{"alg":"none"}"#), base64(claims.to_string().as_bytes()))
}

/// A process for each service.
fn four(secured: &Secured, system: &System, variables: &[(&str, &str)]) -> Vec<Server> {
    let run = |service: &&str| secured.run(system, &["--service", service], variables);
    SERVICES.iter().map(run).collect()
}

/// Orders that are paid and declined pass all services of these processes, and are found.
pub async fn pass(processes: &[Server]) {
    let url = &processes[0].url;
    let placed = place_all(url, &["success", "declined"]).await;
    until_status(url, &placed[0], "FulfillmentScheduled").await;
    until_status(url, &placed[1], "PaymentFailed").await;
    for (id, status) in placed.iter().zip(["FulfillmentScheduled", "PaymentFailed"]) {
        let found = format!("{}/orders/search?status={status}", processes[3].url);
        let holds = |_, page: &serde_json::Value| {
            page["orders"].as_array().is_some_and(|all| all.iter().any(|one| one["id"] == **id))
        };
        until(&found, "the order is found", holds).await;
    }
}

#[tokio::test]
async fn over_tls_and_with_logins_orders_pass_through_every_service() {
    let Some(secured) = secured().await else { return };
    let _turn = secured.turn.lock().await;
    let urls = secured.urls();
    let system = secured.system(urls.clone());
    pass(&four(&secured, &system, &[])).await;
    // The topics are there, which is all that `ofs migrate` can do with a token.
    let (_, prefix) = urls.log.split_once("prefix=").expect("a prefix");
    let query = format!("sasl=oauthbearer&prefix={prefix}");
    let log = secured.log(&format!("ofs:{}", token("ofs", 600)), &query);
    let system = secured.system(Urls { log: log.clone(), ..urls });
    pass(&four(&secured, &system, &[])).await;
}

/// A variable that is wrong, and what is said.
type Row = (&'static str, String, [&'static str; 2]);

fn rows(secured: &Secured, urls: &Urls) -> Vec<Row> {
    let Urls { log, store, index } = urls;
    let elsewhere = |url: &str| url.replace("localhost", "127.0.0.1");
    let untrusted = "issued by an authority that is not trusted here";
    let misnamed = "its certificate is for localhost, not for 127.0.0.1";
    let other = secured.other_ca().display().to_string();
    let expired = secured.log(&format!("ofs:{}", token("ofs", -600)), "sasl=oauthbearer");
    vec![
        ("OFS_STORE_URL", elsewhere(store), ["PostgreSQL (store.url)", misnamed]),
        (
            "OFS_STORE_URL",
            store.replace("ofs:ofs", "ofs:wrong"),
            ["log in to PostgreSQL", "password"],
        ),
        ("OFS_LOG_URL", elsewhere(log), ["Kafka (log.url)", misnamed]),
        ("OFS_LOG_URL", log.replace("ca.pem", "other.pem"), ["speak TLS with Kafka", untrusted]),
        (
            "OFS_LOG_URL",
            log.replace("ofs:ofs", "ofs:wrong"),
            ["as ofs", "check the user and the password"],
        ),
        ("OFS_LOG_URL", expired, ["log in to Kafka", "check the user and the token"]),
        ("OFS_INDEX_URL", elsewhere(index), ["Elasticsearch (index.url)", misnamed]),
        (
            "OFS_INDEX_URL",
            index.replace("api-key=", "api-key=x"),
            ["log in to Elasticsearch", "API key"],
        ),
        ("SSL_CERT_FILE", other.clone(), ["SSL_CERT_FILE", untrusted]),
    ]
}

#[tokio::test]
async fn a_certificate_or_login_that_is_wrong_is_named_at_the_start() {
    let Some(secured) = secured().await else { return };
    let _turn = secured.turn.lock().await;
    let urls = secured.urls();
    let system = secured.system(urls.clone());
    let (args, began) = (["--service", "search-indexer-worker"], Instant::now());
    let mut rows = rows(&secured, &urls);
    let other = secured.other_ca().display().to_string();
    rows.push(("SSL_CERT_FILE", other, ["speak TLS with Elasticsearch", "not trusted here"]));
    for (n, (name, value, words)) in rows.iter().enumerate() {
        // The last row is about the index alone.
        let store = urls.store.replace("verify-full", "require");
        let lax = (n + 1 == rows.len()).then_some(("OFS_STORE_URL", &*store));
        let variables: Vec<_> = [(*name, &**value)].into_iter().chain(lax).collect();
        let said = secured.try_run(&system, &args, &variables).err();
        let said = said.unwrap_or_else(|| panic!("{name}={value} is taken"));
        assert!(said.contains("exit status: 5"), "{said}");
        let last = said.lines().rev().find(|line| line.starts_with("error: "));
        let last = last.unwrap_or_else(|| panic!("{said}"));
        eprintln!("{last}");
        assert!(words.iter().all(|words| last.contains(words)), "{words:?}: {last}");
        assert!(!last.contains("wrong"), "it shows the password: {last}");
    }
    assert!(began.elapsed() < Duration::from_secs(60), "it waits for what does not come");
}
