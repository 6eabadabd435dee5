//! Each service with a role and a principal of its own, which may do what `ofs grants` prints and nothing
//! else: orders pass, and what belongs to another service is refused.

use crate::secured::{Secured, secured};
use crate::server::{Server, order, place, post, until};
use crate::servers::Urls;
use crate::system::{SERVICES, System};
use crate::wires::pass;
use std::process::Command;

/// What `ofs grants` prints for `server`.
fn grants(secured: &Secured, system: &System, server: &str) -> String {
    let told = secured.command(system).args(["grants", server]).output().expect("an end");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).expect("text")
}

/// Has Kafka's own tool do what it was told, a few at a time.
fn allow_in_kafka(secured: &Secured, calls: &str) {
    let calls: Vec<Vec<&str>> =
        calls.lines().map(|line| line.split_whitespace().collect()).collect();
    for some in calls.chunks(4) {
        std::thread::scope(|scope| {
            for call in some {
                assert_eq!(call[..2], ["kafka-acls", "--bootstrap-server"]);
                scope.spawn(|| secured.kafka_tool("kafka.admin.AclCommand", &call[3..]));
            }
        });
    }
}

/// The variables of a process with the role of one service and the principal of another.
fn variables(secured: &Secured, database: &str, role: &str, principal: &str) -> [String; 2] {
    let place = format!("localhost:{}/{database}?sslmode=verify-full", secured.port());
    [
        secured.log(&format!("{principal}:{principal}"), ""),
        format!("postgres://{database}-{role}:{role}@{place}"),
    ]
}

fn run(secured: &Secured, system: &System, service: &str, urls: &[String; 2]) -> Server {
    let variables = [("OFS_LOG_URL", &*urls[0]), ("OFS_STORE_URL", &*urls[1])];
    secured.run(system, &["--service", service], &variables)
}

/// What psql says when `role` runs `sql`: the answer, or the error.
fn psql_as(store: &str, sql: &str) -> Result<String, String> {
    let store = store.replace("verify-full", "require");
    let done = Command::new("psql").args([&store, "-X", "-t", "-A", "-c", sql]).output();
    let done = done.expect("psql");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
}

/// What the role of payment-worker may do is less than what there is.
fn assert_rows_of_others_are_refused(store: &str) {
    let own_rows = "row-level security";
    for (sql, words) in [
        (
            "INSERT INTO records VALUES ('order-service', gen_random_uuid(), 1, 'Created', '{}', now(), now())",
            own_rows,
        ),
        (
            "INSERT INTO processed_events VALUES ('order-service', 1, gen_random_uuid(), gen_random_uuid())",
            own_rows,
        ),
        ("DELETE FROM audit", "permission denied"),
        ("UPDATE refinery_schema_history SET version = 1", "permission denied"),
        ("CREATE TABLE mine (a integer)", "permission denied"),
        ("ALTER TABLE records DISABLE ROW LEVEL SECURITY", "must be owner"),
    ] {
        let said = psql_as(store, sql).expect_err(sql);
        assert!(said.contains(words), "{sql}: {said}");
    }
    let touched = psql_as(store, "UPDATE records SET status = 'x' WHERE owner = 'order-service'");
    assert_eq!(touched.expect("nothing happens").trim(), "UPDATE 0");
    let own = psql_as(store, "SELECT count(*) FROM records WHERE owner = 'payment-worker'");
    assert_eq!(own.expect("rows").trim(), "2");
}

#[tokio::test]
async fn each_service_runs_with_rights_of_its_own_and_those_of_others_are_refused() {
    let Some(secured) = secured().await else { return };
    let _turn = secured.turn.lock().await;
    let urls = secured.urls();
    let (_, prefix) = urls.log.split_once("prefix=").expect("a prefix");
    let database = prefix.trim_end_matches('.');
    // The names of the contract, and a principal that makes the topics and can do nothing else.
    let urls = Urls { log: secured.log("ofs-migrate:ofs-migrate", ""), ..urls.clone() };
    let system = System::unprepared_on(urls.clone());
    allow_in_kafka(&secured, &grants(&secured, &system, "kafka"));
    let system = secured.system(urls);
    let allowed = grants(&secured, &system, "postgres");
    secured.psql(database, &allowed);
    secured.psql(database, &allowed);
    for service in SERVICES {
        let sql = format!("ALTER ROLE \"{database}-{service}\" PASSWORD '{service}'");
        secured.psql(database, &sql);
    }
    let mine = |service: &str| variables(&secured, database, service, service);
    let start = |service: &&str| run(&secured, &system, service, &mine(service));
    let mut processes: Vec<Server> = SERVICES.iter().map(start).collect();
    pass(&processes).await;
    for process in &processes {
        let said = process.said().join("\n");
        assert!(!said.contains("denied") && !said.contains("uthorization failed"), "{said}");
    }
    assert_rows_of_others_are_refused(&mine("payment-worker")[1]);

    // An order-service with the rights of payment-worker: in PostgreSQL, then in Kafka.
    assert_eq!(processes[0].stop(), Some(0));
    let urls = variables(&secured, database, "payment-worker", "order-service");
    let wrong = run(&secured, &system, "order-service", &urls);
    let (status, problem) = post(&format!("{}/orders", wrong.url), Some(&order(None))).await;
    assert_eq!(status, 503, "{problem}");
    drop(wrong);
    let urls = variables(&secured, database, "order-service", "payment-worker");
    let wrong = run(&secured, &system, "order-service", &urls);
    place(&wrong.url, &order(None)).await.expect("it is accepted, and waits");
    until(&format!("{}/pipeline", wrong.url), "it cannot be published", |_, view| {
        let waits = view["services"][0]["outbox"]["rows"] == 1;
        waits && wrong.said().iter().any(|line| line.contains("authorization failed"))
    })
    .await;
}
