//! What README.md tells people to type, typed.

use crate::server::{PATIENCE, Server, get, http, search_all, until};
use crate::system::System;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const ADDRESS: &str = "127.0.0.1:8080";

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    std::fs::read_to_string(path).expect("README.md")
}

/// Every command in a block of shell lines, each on one line.
fn commands() -> Vec<String> {
    let readme = readme();
    let blocks = readme.split("```bash\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().expect("an end"));
    let lines = blocks.flat_map(|block| {
        let block = block.replace("\\\n", " ");
        block.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    });
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

fn command(start: &str) -> String {
    let mut found = commands().into_iter().filter(|command| command.starts_with(start));
    found.next().unwrap_or_else(|| panic!("README.md has no command `{start}`"))
}

fn shell(command: &str, server: &Server) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("OFS_SERVER", &server.url);
    shell.output().expect("a shell")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Commands that the tests below type, or that tell how to run tests.
const TYPED: [&str; 4] = [
    "cargo run -- run --demo",
    "curl -i ",
    "cargo run -q -- order create ",
    "cargo test --workspace",
];

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether `command`, which needs servers, fits what the repository has.
fn fits(command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    let compose = std::fs::read_to_string(root().join("deploy/docker-compose.yml")).expect("it");
    let served = |url: &str| {
        let port = url.rsplit_once(':').map(|(_, rest)| &rest[..4]);
        port.is_some_and(|port| compose.contains(&format!("\"127.0.0.1:{port}:")))
    };
    match words.as_slice() {
        ["docker", "compose", "-f", file, rest @ ..] => {
            let profile = rest.iter().skip_while(|word| **word != "--profile").nth(1);
            let known = profile.is_none_or(|name| compose.contains(&format!("profiles: [{name}]")));
            root().join(file).is_file() && known
        }
        ["docker", "exec", "-it", container, ..] => {
            compose.contains(&format!("container_name: {container}\n"))
        }
        ["cargo", "run", "--", arguments @ ..] => {
            let arguments = [&["ofs"], arguments].concat();
            <ofs::cli::Cli as clap::Parser>::try_parse_from(arguments).is_ok()
        }
        ["export", assignment] => {
            let (name, value) = assignment.split_once('=').expect("a value");
            let known = ofs::config::KEYS.iter().any(|key| key.variable() == name);
            known && served(value)
        }
        ["curl" | "psql", rest @ ..] => {
            rest.iter().filter(|word| word.contains("://localhost:")).all(|url| served(url))
        }
        [first, ..] if first.contains("tests/cluster/cluster") => {
            root().join("tests/cluster/cluster").is_file()
        }
        _ => false,
    }
}

#[test]
fn every_command_is_typed_by_a_test_or_fits_what_is_there() {
    let commands = commands();
    for command in &commands {
        let typed = TYPED.iter().any(|typed| command.starts_with(typed));
        assert!(typed || fits(command), "no test knows `{command}`");
    }
    for typed in TYPED {
        assert!(commands.iter().any(|command| command.starts_with(typed)), "{typed} is not there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_order_works_as_printed_with_curl_and_with_ofs() {
    let system = System::new();
    let server = system.start();
    let address = server.url.strip_prefix("http://").expect("a URL");
    let curl = command("curl ");
    assert!(curl.contains(ADDRESS), "{curl}");
    let curled = shell(&curl.replace(ADDRESS, address), &server);
    let said = text(&curled.stdout);
    assert!(said.starts_with("HTTP/1.1 201 Created"), "{said} {}", text(&curled.stderr));
    assert!(said.lines().any(|line| line.starts_with("location: /orders/")), "{said}");
    let body: Value = serde_json::from_str(said.lines().last().expect("a body")).expect("JSON");
    assert!(body["id"].is_string() && body["correlationId"].is_string(), "{body}");
    let create = command("cargo run -q -- order create")
        .replace("cargo run -q --", env!("CARGO_BIN_EXE_ofs"));
    let created = shell(&create, &server);
    let said = text(&created.stdout);
    assert_eq!(created.status.code(), Some(0), "{said} {}", text(&created.stderr));
    for event in ["OrderCreatedV1", "PaymentAuthorizedV1", "FulfillmentScheduledV1"] {
        assert!(said.contains(event), "{said}");
    }
    let search = format!("{}/orders/search?status=FulfillmentScheduled", server.url);
    until(&search, "both", |_, page| page["total"] == 2).await;
    // The reads that are named in the text.
    let readme = readme();
    let named = readme.split('`').filter_map(|code| code.strip_prefix("GET /"));
    let named: Vec<&str> = named.collect();
    assert!(named.len() >= 3, "{named:?}");
    for path in named {
        let path = path.replace("{id}", body["id"].as_str().expect("an id"));
        let (status, answer) = get(&format!("{}/{path}", server.url)).await;
        assert_eq!(status, 200, "GET /{path}: {answer}");
    }
}

/// `ofs run …` as started by a user who has configured nothing.
fn demo(system: &System, rate: &str) -> Server {
    let mut command = system.plain_command();
    command.args(["run", rate, "--listen", "127.0.0.1:0"]);
    Server::start(command).unwrap_or_else(|said| panic!("it ended: {said}"))
}

async fn until_moving(server: &Server, total: usize) -> Vec<Value> {
    let began = Instant::now();
    let index = format!("{}/index", server.url);
    until(&index, "an index", |_, state| state["active"].is_string()).await;
    loop {
        let found = search_all(&server.url, "").await;
        let count = |status: &str| found.iter().filter(|order| order["status"] == status).count();
        if found.len() >= total && count("PaymentFailed") > 0 && count("FulfillmentScheduled") > 0 {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "orders do not move: {found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_says_little_and_orders_are_moving_already_declines_among_them() {
    let system = System::new();
    let mut server = demo(&system, "--demo");
    let found = until_moving(&server, 5).await;
    assert!(found.iter().all(|order| order["customerEmail"].is_string()));
    let said = server.said();
    assert!(said.len() <= 9, "{said:#?}");
    for word in [server.url.as_str(), "/docs", "./ofs-data", "Ctrl-C"] {
        assert!(said.iter().any(|line| line.contains(word)), "nothing says {word}: {said:#?}");
    }
    let tried = said.iter().find_map(|line| line.trim().strip_prefix("Try ")).expect("a command");
    let tried = shell(tried.trim(), &server);
    let page: Value = serde_json::from_slice(&tried.stdout).expect("the command works as printed");
    assert!(page["orders"].as_array().is_some_and(|orders| !orders.is_empty()), "{page}");
    let docs = http().get(format!("{}/docs", server.url)).send().await.expect("an answer");
    assert_eq!(docs.status().as_u16(), 200);
    assert_eq!(server.interrupt(), Some(0), "Ctrl-C stops it");
    assert!(system.dir().join("ofs-data/store.db").is_file());
}

#[tokio::test]
async fn a_demo_that_goes_on_for_long_still_says_little() {
    let system = System::new();
    let server = demo(&system, "--demo=40");
    until_moving(&server, 120).await;
    let said = server.said();
    assert!(said.len() <= 9, "{said:#?}");
}
