//! The command line, as the real binary: help, exit codes, what goes to stdout and what to stderr.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use clap::CommandFactory as _;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};

const NOBODY: &str = "http://127.0.0.1:1";

fn ofs(arguments: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_ofs"))
        .args(arguments)
        .current_dir(dir.path())
        .env_clear()
        .output()
        .unwrap()
}

fn code(arguments: &[&str]) -> i32 {
    ofs(arguments).status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A server that gives one answer to each of `answers.len()` requests, in order.
fn server(answers: Vec<(u16, &'static str)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            while !complete(&request) {
                let read = stream.read(&mut chunk).unwrap();
                request.extend_from_slice(&chunk[..read]);
                if read == 0 {
                    break;
                }
            }
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all((head + body).as_bytes()).unwrap();
        }
    });
    url
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

fn each_command(command: &clap::Command, path: &str, seen: &mut Vec<String>) {
    let text = command.clone().render_long_help().to_string();
    assert!(text.trim_start().starts_with("Examples:\n"), "help of `{path}`:\n{text}");
    assert!(text.contains(path), "no example of `{path}`:\n{text}");
    seen.push(path.to_owned());
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        each_command(inner, &format!("{path} {}", inner.get_name()), seen);
    }
}

#[test]
fn the_help_of_every_command_starts_with_examples_of_it() {
    let mut seen = Vec::new();
    each_command(&ofs::cli::Cli::command(), "ofs", &mut seen);
    assert!(seen.len() >= 26, "{seen:?}");
    let help = stdout(&ofs(&["order", "create", "--help"]));
    assert!(help.starts_with("Examples:\n"), "{help}");
}

#[test]
fn wrong_usage_ends_with_2_and_names_the_nearest() {
    for (arguments, hint) in [
        (vec!["ordr", "get", "x"], "order"),
        (vec!["run", "--service", "payment-wroker"], "payment-worker"),
        (
            vec!["events", "reset", "--group", "payment-worker", "--to", "latest"],
            "payment-worker-v1",
        ),
        (vec!["events", "tail", "--topic", "order.events.v1"], "orders.events.v1"),
        (vec!["run", "--demo=-1"], "from 0.001 to 100000"),
        (vec!["order", "search", "--status", "Paid"], "PaymentAuthorized"),
    ] {
        let output = ofs(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = stderr(&output);
        assert!(said.contains(hint), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty());
        let output = ofs(&[&arguments[..], &["--json"]].concat());
        let problem: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), &problem["type"]),
            (Some(2), &"urn:ofs:cli:usage".into())
        );
    }
}

#[test]
fn an_unreachable_server_ends_every_client_command_with_5() {
    let id = "0198c0de-0000-7000-8000-000000000001";
    for arguments in [
        vec!["order", "create", "--email", "a@b.c", "--product", "P", "--country", "GB"],
        vec!["order", "get", id],
        vec!["order", "search"],
        vec!["order", "timeline", id],
        vec!["order", "watch", id],
        vec!["events", "tail"],
        vec!["parked", "list"],
        vec!["parked", "show", "1"],
        vec!["parked", "retry", "1"],
        vec!["parked", "discard", "1", "--reason", "x"],
        vec!["pipeline"],
        vec!["index", "status"],
        vec!["index", "rebuild"],
        vec!["index", "verify"],
        vec!["keys", "list"],
        vec!["audit", "list"],
        vec!["health"],
    ] {
        let mut plain = arguments.clone();
        plain.extend(["--server", NOBODY]);
        let output = ofs(&plain);
        assert_eq!(output.status.code(), Some(5), "{plain:?}");
        assert!(stderr(&output).contains("OFS_SERVER"), "{}", stderr(&output));

        plain.push("--json");
        let output = ofs(&plain);
        let problem: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(problem["type"], "urn:ofs:cli:unreachable");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn problems_of_the_server_become_exit_codes_and_stay_as_they_are_in_json() {
    let problem = r#"{"type":"urn:ofs:problem:not-found","title":"T","status":404,"detail":"D"}"#;
    for (status, exit) in [(400, 2), (404, 3), (409, 4), (422, 4), (503, 5), (504, 6), (500, 1)] {
        let url = server(vec![(status, problem)]);
        let output = ofs(&["parked", "show", "1", "--json", "--server", &url]);
        assert_eq!(output.status.code(), Some(exit), "{status}");
        let said: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(said, serde_json::from_str::<Value>(problem).unwrap());
    }
}

const MADE: &str = r#"{"id":"01","correlationId":"02"}"#;
const FAILED: &str = r#"{"id":"01","status":"PaymentFailed"}"#;
const FAILED_TIMELINE: &str = r#"{"orderId":"01","events":[
    {"eventId":"a","eventType":"OrderCreatedV1","occurredAt":"2026-01-31T12:00:00Z"},
    {"eventId":"b","eventType":"PaymentFailedV1","occurredAt":"2026-01-31T12:00:01Z"}]}"#;

#[test]
fn watching_an_order_whose_payment_fails_shows_its_events_and_ends_with_10() {
    let order = ["--email", "a@b.c", "--product", "P", "--country", "GB", "--watch", "--json"];
    let url = server(vec![(201, MADE), (200, FAILED), (200, FAILED_TIMELINE)]);
    let output = ofs(&[&["order", "create"], &order[..], &["--server", &url]].concat());
    assert_eq!(output.status.code(), Some(10), "{}", stderr(&output));
    let said = stdout(&output);
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["id"], "01");
    assert_eq!(lines[2]["eventType"], "PaymentFailedV1");
}

#[test]
fn watching_longer_than_the_timeout_ends_with_6() {
    let created = (200, r#"{"id":"01","status":"Created"}"#);
    let none = (404, r#"{"title":"T","status":404,"detail":"D"}"#);
    let answers = std::iter::repeat_n([created, none], 1000).flatten().collect();
    let url = server(answers);
    assert_eq!(code(&["order", "watch", "01", "--timeout", "200ms", "--server", &url]), 6);
}

#[test]
fn watching_an_order_that_is_not_there_ends_with_3() {
    let url = server(vec![(404, r#"{"title":"T","status":404,"detail":"D"}"#)]);
    assert_eq!(code(&["order", "watch", "01", "--server", &url]), 3);
}

#[test]
fn a_tail_shows_records_and_says_when_one_is_no_event() {
    let lines = concat!(
        r#"{"position":"orders.events.v1/0@0","appendedAt":"2026-01-31T12:00:00Z","key":"01","#,
        r#""headers":{},"event":{"eventType":"OrderCreatedV1","occurredAt":"2026-01-31T11:00:00Z"}}"#,
        "\n",
        r#"{"position":"orders.events.v1/0@1","appendedAt":"2026-01-31T12:00:00Z","key":null,"#,
        r#""headers":{},"error":"the record has no value"}"#,
        "\n",
    );
    let url = server(vec![(200, lines), (200, lines)]);
    let text = ofs(&["events", "tail", "--no-follow", "--server", &url]);
    assert_eq!(text.status.code(), Some(0), "{}", stderr(&text));
    assert!(stdout(&text).contains("OrderCreatedV1"));
    assert!(stdout(&text).contains("not an event: the record has no value"));
    let json = stdout(&ofs(&["events", "tail", "--no-follow", "--json", "--server", &url]));
    assert_eq!(json.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count(), 2);
}

#[test]
fn what_is_unknown_in_the_pipeline_is_not_shown_as_nothing() {
    let view = r#"{"at":"2026-01-31T12:00:00Z","services":[{"service":"payment-worker",
        "topics":[{"topic":"orders.events.v1","lagEvents":null,"lagSeconds":null}],
        "outbox":{"rows":3},"index":{"rows":0},"refused":{"rows":1},"parked":{"rows":0,"ageSeconds":0.0}}]}"#;
    let url = server(vec![(200, view)]);
    let output = ofs(&["pipeline", "--server", &url]);
    let said = stdout(&output);
    let row: Vec<_> = said.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["payment-worker", "orders.events.v1", "?", "?", "3", "0", "1", "0", "0.0"]);
}

#[test]
fn an_index_that_differs_and_a_retry_that_fails_again_end_with_1() {
    let differs = r#"{"checked":2,"differences":1,"missing":["01"],"extra":[],"different":[]}"#;
    let failed = r#"{"id":1,"outcome":"failed","reason":"still unknown"}"#;
    let url = server(vec![(200, differs), (200, failed)]);
    assert_eq!(code(&["index", "verify", "--server", &url]), 1);
    let output = ofs(&["parked", "retry", "1", "--json", "--server", &url]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(serde_json::from_str::<Value>(&stdout(&output)).unwrap()["outcome"], "failed");
}

#[test]
fn a_server_that_is_not_ready_ends_health_with_1() {
    let url = server(vec![(503, r#"{"ready":false,"store":"down"}"#)]);
    let output = ofs(&["health", "--server", &url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("down"));
}

#[test]
fn commands_that_need_no_server_answer_in_json() {
    let shown: Value = serde_json::from_slice(&ofs(&["config", "show", "--json"]).stdout).unwrap();
    assert_eq!(shown["settings"][0]["key"], "listen");
    assert_eq!(shown["settings"][0]["source"], "default");
    let checked = ofs(&["config", "check", "--json"]);
    assert_eq!(serde_json::from_slice::<Value>(&checked.stdout).unwrap()["ok"], true);
    let described: Value = serde_json::from_slice(&ofs(&["openapi"]).stdout).unwrap();
    assert!(described["paths"]["/orders/search"].is_object());
    assert!(stdout(&ofs(&["completions", "bash"])).contains("_ofs"));
}

#[test]
fn a_wrong_configuration_ends_with_2_and_says_where_it_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ofs.toml"), "listen = 'nowhere'\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ofs"))
        .args(["config", "check"])
        .current_dir(dir.path())
        .env_clear()
        .env("OFS_LISTN", "x")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("listen: `nowhere` is not IP:port"), "{said}");
    assert!(said.contains("file ofs.toml"), "{said}");
    assert!(said.contains("warning: variable OFS_LISTN"), "{said}");
}
