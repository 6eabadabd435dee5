//! The real binary as a server of its own: started on a free port in a temporary directory, spoken to
//! over HTTP, ended by signals.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    /// Starts `ofs run` with `args` on `dir` and waits until it says where it listens.
    pub fn start(dir: &Path, args: &[&str], variables: &[(&str, &str)]) -> Server {
        Self::try_start(dir, args, variables).unwrap_or_else(|said| panic!("it ended: {said}"))
    }

    /// As [`Server::start`]; if it ends before it listens, answers with what it said.
    pub fn try_start(
        dir: &Path,
        args: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Server, String> {
        let mut child = command(dir)
            .args(["run", "--listen", "127.0.0.1:0"])
            .args(args)
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stderr.take().expect("stderr")).lines();
        let mut seen = String::new();
        let url = loop {
            let Some(Ok(line)) = lines.next() else {
                let status = child.wait().expect("an exit status");
                return Err(format!("{seen}{status}"));
            };
            if let Some(url) = line.trim().strip_prefix("API ") {
                break url.trim().to_owned();
            }
            seen.push_str(&line);
            seen.push('\n');
        };
        // Read on, or the server would block once the pipe is full.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Server { child, url })
    }

    pub fn kill(mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("an exit status");
    }

    /// SIGTERM; answers with the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
        assert!(sent.success());
        self.child.wait().expect("an exit status").code()
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("an exit status")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary, on the data directory `dir`, untouched by the environment of the test.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ofs"));
    command
        .current_dir(dir)
        .env("OFS_DATA_DIR", dir.join("data"))
        .env("OFS_PAYMENT_SIMULATOR_LEDGER", dir.join("ledger"))
        .env("OFS_LOGS_LEVEL", "warn");
    command
}

pub fn order(scenario: Option<&str>) -> Value {
    json!({"customerEmail": "user@example.com", "productType": "Phone", "country": "US",
        "paymentScenario": scenario})
}

pub async fn place(url: &str, body: &Value) -> reqwest::Result<String> {
    let answer = reqwest::Client::new().post(format!("{url}/orders")).json(body).send().await?;
    let placed: Value = answer.error_for_status()?.json().await?;
    Ok(placed["id"].as_str().expect("an id").to_owned())
}

pub async fn get(url: &str) -> (u16, Value) {
    let answer = reqwest::get(url).await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Asks `url` until `done` says so.
pub async fn until(url: &str, what: &str, done: impl Fn(u16, &Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let (status, body) = get(url).await;
        if done(status, &body) {
            return body;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: {status} {body}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn until_status(url: &str, id: &str, status: &str) -> Value {
    until(&format!("{url}/orders/{id}"), status, |_, order| order["status"] == status).await
}
