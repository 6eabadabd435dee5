//! Many orders at once: `POST /orders/batch`, and `ofs order import` through every interruption.

use crate::server::{PATIENCE, Server, http, order, until};
use crate::system::{System, json, lines};
use ofs_events::Key;
use serde_json::Value;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

async fn send(url: &str, body: String) -> Vec<Value> {
    let request = http().post(format!("{url}/orders/batch")).body(body);
    let answer = request.header("content-type", "application/x-ndjson").send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.expect("lines");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// An order with this idempotency key and country, as a line.
fn line(key: &str, country: &str) -> String {
    let mut order = order(Some("success"));
    order["country"] = country.into();
    order["idempotencyKey"] = key.into();
    format!("{order}\n")
}

async fn each_line_of_a_batch_is_taken_or_refused_alone(system: System) {
    let server = system.start();
    let body = [
        line("a", "US"),
        line("b", "USA"),
        "no json\n\n".to_owned(),
        line("a", "US"),
        line("a", "GB"),
        line("spaced out", "US"),
        line("c", "FR").trim_end().to_owned(),
    ];
    let told = send(&server.url, body.concat()).await;
    let statuses: Vec<_> =
        told.iter().map(|line| (line["line"].as_u64(), line["status"].as_u64())).collect();
    let expected = [(1, 201), (2, 400), (3, 400), (5, 201), (6, 422), (7, 400), (8, 201)];
    let expected = expected.map(|(line, status)| (Some(line), Some(status)));
    assert_eq!(statuses, expected, "{told:#?}");
    assert_eq!(told[0]["id"], told[3]["id"], "one key, one order");
    let replayed = |line: &&Value| line["replayed"] == true;
    assert_eq!(told.iter().filter(replayed).count(), 1);
    assert_eq!(told[1]["problem"]["errors"][0]["pointer"], "/country");
    let again = send(&server.url, line("c", "FR")).await;
    assert_eq!((&again[0]["id"], &again[0]["replayed"]), (&told[6]["id"], &Value::Bool(true)));
    let search = format!("{}/orders/search?status=FulfillmentScheduled", server.url);
    until(&search, "both at their end", |_, found| found["total"] == 2).await;
}

#[tokio::test]
async fn a_batch_ends_at_a_line_that_says_so_and_not_before() {
    let system = System::new();
    let server = system.start();
    let told = send(&server.url, line("k", "USA").repeat(20_000)).await;
    let (last, before) = told.split_last().expect("lines");
    assert!(before.iter().all(|line| line["status"] == 400));
    assert_eq!((&last["status"], last["line"].as_u64()), (&413.into(), Some(told.len() as u64)));
    let detail = last["problem"]["detail"].as_str().expect("words");
    assert!(detail.contains("those after it were not read"), "{detail}");
    let request = http().post(format!("{}/orders/batch", server.url)).json(&order(None));
    assert_eq!(request.send().await.expect("an answer").status(), 415);
}

const ROWS: usize = 3000;
/// Every so many rows, one is refused.
const BAD: usize = 100;

fn csv(file: &Path) {
    let mut text = String::from("productType,customerEmail,country,paymentScenario\n");
    for row in 1..=ROWS {
        let country = if row % BAD == 0 { "Atlantis" } else { "DE" };
        writeln!(text, "\"Lamp, {row}\",lamp{row}@example.com,{country},").expect("written");
    }
    fs::write(file, text).expect("a file");
}

fn import(system: &System, url: &str, file: &Path) -> Command {
    let mut command = system.command();
    command.args(["order", "import", file.to_str().expect("a path"), "--json"]);
    command.env("OFS_SERVER", url).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits until the import has noted this many rows.
async fn noted(file: &Path, rows: u64) {
    let note = file.with_extension("csv.import");
    let began = Instant::now();
    loop {
        let text = fs::read(&note).unwrap_or_default();
        let noted = serde_json::from_slice::<Value>(&text).unwrap_or_default()["rows"].as_u64();
        if noted.is_some_and(|noted| noted >= rows) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{noted:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn a_file_is_imported_once_whatever_is_killed(system: System) {
    let mut server = system.start();
    let address = server.url.trim_start_matches("http://").to_owned();
    let file = system.dir().join("lamps.csv");
    csv(&file);
    // Once before anything is noted, once in the midst.
    for rows in [0, 1000] {
        let mut importing = import(&system, &server.url, &file).spawn().expect("started");
        noted(&file, rows).await;
        server.kill();
        assert!(importing.try_wait().expect("a status").is_none(), "it is done already");
        importing.kill().expect("killed");
        importing.wait().expect("an end");
        let mut again = system.command();
        again.args(["run", "--listen", &address]);
        server = Server::start(again).expect("a server");
    }
    let done = import(&system, &server.url, &file).output().expect("an end");
    assert_eq!(done.status.code(), Some(1), "{:?}", lines(&done.stderr));
    let told = json(&done);
    let refused = ROWS / BAD;
    assert_eq!((&told["accepted"], &told["refused"]), (&(ROWS - refused).into(), &refused.into()));
    let text = fs::read_to_string(told["refusedFile"].as_str().expect("a file")).expect("lines");
    let rows: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let numbers: Vec<_> = rows.iter().map(|row| row["line"].as_u64().expect("a line")).collect();
    let expected: Vec<_> = (1..=refused).map(|nth| (nth * BAD + 1) as u64).collect();
    assert_eq!(numbers, expected);
    assert!(rows.iter().all(|row| row["problem"]["errors"][0]["pointer"] == "/country"));

    let again = import(&system, &server.url, &file).output().expect("an end");
    assert_eq!(again.status.code(), Some(4), "{:?}", lines(&again.stderr));
    assert_eq!(server.stop(), Some(0));
    let records = system.records().await;
    let orders: HashSet<Key> = records
        .keys()
        .filter(|(owner, _)| *owner == "order-service")
        .map(|(_, key)| *key)
        .collect();
    assert_eq!(orders.len(), ROWS - refused, "each row is one order");
}

on_every_set! { each_line_of_a_batch_is_taken_or_refused_alone, a_file_is_imported_once_whatever_is_killed }

#[tokio::test]
async fn a_file_that_cannot_be_imported_is_refused_before_anything_is_sent() {
    let system = System::new();
    let server = system.start();
    let file = |name: &str, text: &str| {
        let file = system.dir().join(name);
        fs::write(&file, text).expect("a file");
        file
    };
    for (file, code, said) in [
        (file("a.csv", "customerEmail,colour\n"), 1, "colour"),
        (system.dir().join("missing.ndjson"), 1, "missing.ndjson"),
    ] {
        let told = import(&system, &server.url, &file).output().expect("an end");
        assert_eq!(told.status.code(), Some(code));
        assert!(lines(&told.stderr).concat().contains(said), "{:?}", lines(&told.stderr));
    }
    let text = "{\"a\"\n[1]\n\n{\"customerEmail\":\"a@example.com\",\"productType\":\"x\",\"country\":\"US\"}";
    let mixed = file("mixed.ndjson", text);
    let told = import(&system, &server.url, &mixed).output().expect("an end");
    assert_eq!((told.status.code(), json(&told)["accepted"].as_u64()), (Some(1), Some(1)));
    fs::write(&mixed, "{}\n").expect("a file");
    let told = import(&system, &server.url, &mixed).output().expect("an end");
    assert_eq!(told.status.code(), Some(4), "{:?}", lines(&told.stderr));
    assert!(lines(&told.stderr).concat().contains("has changed"));
}
