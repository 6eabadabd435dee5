//! The surface as programs of others see it, which know nothing but its description: one that looks for
//! mistakes, and a client that another one made of it. `tests/api/install` installs both.

use crate::doors::{REQUIRED, SCOPES, key, text};
use crate::server::Server;
use crate::system::{System, record};
use ofs_events::Topic;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the programs are; none if the environment does not say.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment what to run")]
fn tools() -> Option<PathBuf> {
    let tools = std::env::var("OFS_TEST_API_TOOLS").ok().map(PathBuf::from);
    if tools.is_none() {
        eprintln!("skipped: OFS_TEST_API_TOOLS does not say where schemathesis is");
    }
    tools
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/api").join(name)
}

/// One of the programs, in the system's directory, where it may leave what it likes.
fn tool(tools: &Path, system: &System, name: &str) -> Command {
    let mut command = Command::new(tools.join(name));
    command.current_dir(system.dir()).env("PATH", tools).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn succeeds(command: &mut Command) {
    let output = command.output().expect("it runs");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(output.status.success(), "{}", said.join("\n"));
}

/// A server with events that cannot be decoded, set as `variables` say.
async fn server(system: &System, variables: &[(&str, &str)]) -> Server {
    drop(system.start());
    let unreadable = || record(Topic::Orders, Some(b"no id"), b"{garbage");
    system.append((0..30).map(|_| unreadable()).collect()).await;
    system.start_with(&[], variables)
}

#[tokio::test]
async fn a_tester_that_makes_requests_of_the_description_finds_nothing() {
    let Some(tools) = tools() else { return };
    let system = System::new();
    let key = key(&system, &SCOPES);
    let server = server(&system, &[REQUIRED]).await;
    let mut schemathesis = tool(&tools, &system, "schemathesis");
    schemathesis.arg("--config-file").arg(script("schemathesis.toml"));
    schemathesis.args(["run", "--no-color", "--checks", "all"]);
    schemathesis.arg("--header").arg(format!("Authorization: Bearer {}", text(&key)));
    schemathesis.arg(format!("{}/openapi.json", server.url));
    succeeds(schemathesis.env("SCHEMATHESIS_HOOKS", script("hooks.py")));
}

#[tokio::test]
async fn a_client_made_of_the_description_works() {
    let Some(tools) = tools() else { return };
    let system = System::new();
    let server = server(&system, &[]).await;
    let mut generator = tool(&tools, &system, "openapi-python-client");
    generator.args(["generate", "--meta", "none", "--fail-on-warning"]);
    generator.arg("--config").arg(script("client.yml"));
    generator.args(["--output-path", "ofs_client", "--url"]);
    succeeds(generator.arg(format!("{}/openapi.json", server.url)));
    let mut client = tool(&tools, &system, "python");
    client.env("PYTHONPATH", system.dir());
    succeeds(client.arg(script("client.py")).arg(&server.url));
}
