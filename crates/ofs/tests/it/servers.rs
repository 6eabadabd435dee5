//! The servers of the cluster set: those that the environment names, and private ones that a test may
//! take down. Clients that are not ours look at them.

use crate::system::System;
use ofs_events::Topic;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// Where the three servers are.
#[derive(Clone)]
pub struct Urls {
    pub log: String,
    pub store: String,
    pub index: String,
}

/// The servers that every test may use and none may harm; none if the environment does not name all.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment what to run on")]
pub fn shared() -> Option<Urls> {
    let url = |server: &str| std::env::var(format!("OFS_TEST_{server}_URL")).ok();
    let urls = (url("KAFKA"), url("POSTGRES"), url("ELASTICSEARCH"));
    let (Some(log), Some(store), Some(index)) = urls else {
        eprintln!("skipped: OFS_TEST_{{KAFKA,POSTGRES,ELASTICSEARCH}}_URL do not name all servers");
        return None;
    };
    Some(Urls { log, store, index })
}

impl Urls {
    /// The same servers with a database and prefixes that no other test has.
    pub fn for_one_test(&self) -> Urls {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("system_{}_{number}", std::process::id());
        self.psql(&format!("CREATE DATABASE {name}"));
        let (server, _) = self.store.rsplit_once('/').expect("a database in the URL");
        Urls {
            log: format!("{}?prefix={name}.", self.log),
            store: format!("{server}/{name}"),
            index: format!("{}?prefix={name}-", self.index),
        }
    }

    /// What one of Kafka's own tools prints, with names of topics as they are there.
    pub fn kafka_tool(&self, class: &str, args: &[&str]) -> String {
        let brokers = self.log.trim_start_matches("kafka://").split('?').next().expect("brokers");
        let data = tempfile::tempdir().expect("a directory");
        let mut command = command(&data, &["tool", class, "--bootstrap-server", brokers]);
        said(&command.args(args).output().expect("the tool"))
    }

    /// What `topic` is called there.
    pub fn topic(&self, topic: Topic) -> String {
        let prefix = self.log.split_once("prefix=").map_or("", |(_, prefix)| prefix);
        format!("{prefix}{topic}")
    }

    /// Everything in the database, as SQL.
    pub fn dump(&self) -> String {
        said(&Command::new("pg_dump").arg(&self.store).output().expect("pg_dump"))
    }

    /// Recreates the database as it was when `dump` was taken.
    pub fn restore(&self, dump: &str) {
        let (server, name) = self.store.rsplit_once('/').expect("a database in the URL");
        let elsewhere = Urls { store: format!("{server}/postgres"), ..self.clone() };
        elsewhere.psql(&format!("DROP DATABASE {name} WITH (FORCE)"));
        elsewhere.psql(&format!("CREATE DATABASE {name}"));
        let mut psql = Command::new("psql");
        psql.args([&self.store, "-X", "-q", "-v", "ON_ERROR_STOP=1"]);
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut psql = psql.spawn().expect("psql");
        let mut stdin = psql.stdin.take().expect("stdin");
        stdin.write_all(dump.as_bytes()).expect("read by psql");
        drop(stdin);
        said(&psql.wait_with_output().expect("an end"));
    }

    /// What psql prints for `sql`: values alone, a row a line.
    pub fn psql(&self, sql: &str) -> String {
        let mut psql = Command::new("psql");
        psql.args([&self.store, "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        said(&psql.output().expect("psql"))
    }
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Only one private cluster at a time: they share their ports, and the machine is small.
static TURN: Mutex<()> = Mutex::const_new(());

/// Some servers of one test's own; the others are those that every test may use.
pub struct Servers {
    data: TempDir,
    pub urls: Urls,
    _turn: MutexGuard<'static, ()>,
}

impl Servers {
    /// Starts those with these names; Kafka has three brokers. None where no servers are to be tested on.
    pub async fn start(names: &[&str]) -> Option<Servers> {
        let others = shared()?.for_one_test();
        Some(Self::up(&[&["up", "--brokers", "3"], names].concat(), None, others).await)
    }

    /// One broker and PostgreSQL, with TLS, logins and permissions as `secure` says.
    #[cfg(feature = "kafka-tls")]
    pub async fn start_secure(secure: &Path) -> Option<Servers> {
        let others = shared()?;
        Some(Self::up(&["up", "kafka", "postgres"], Some(secure), others).await)
    }

    async fn up(args: &[&str], secure: Option<&Path>, others: Urls) -> Servers {
        let turn = TURN.lock().await;
        let data = tempfile::tempdir().expect("a directory");
        let mut command = command(&data, args);
        command.envs(secure.map(|secure| ("OFS_CLUSTER_SECURE", secure)));
        let printed = said(&command.output().expect("tests/cluster/cluster"));
        let url = |server: &str| {
            let name = format!("export OFS_TEST_{server}_URL=");
            let line = printed.lines().find_map(|line| line.strip_prefix(&name));
            line.map(str::to_owned)
        };
        let urls = Urls {
            log: url("KAFKA").unwrap_or(others.log),
            store: url("POSTGRES").unwrap_or(others.store),
            index: url("ELASTICSEARCH").unwrap_or(others.index),
        };
        Servers { data, urls, _turn: turn }
    }

    /// A system on them, with the names of the contract on those that are the test's own.
    pub fn system(&self) -> System {
        System::on(self.urls.clone())
    }

    /// SIGKILL.
    pub fn kill(&self, server: &str) {
        said(&cluster(&self.data, &["kill", server]));
    }

    /// Starts it again; returns when it answers.
    pub fn bring_back(&self, server: &str) {
        said(&cluster(&self.data, &["start", server]));
    }

    /// `host:port` of each broker.
    pub fn brokers(&self) -> String {
        self.urls.log.trim_start_matches("kafka://").to_owned()
    }

    /// What one of Kafka's own tools prints.
    pub fn kafka_tool(&self, class: &str, args: &[&str]) -> String {
        self.kafka_tool_with(class, args, "")
    }

    /// What one of Kafka's own tools prints when it is fed `input`.
    pub fn kafka_tool_with(&self, class: &str, args: &[&str], input: &str) -> String {
        let mut command = command(&self.data, &[&["tool", class], args].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut tool = command.spawn().expect("the tool");
        let mut stdin = tool.stdin.take().expect("stdin");
        stdin.write_all(input.as_bytes()).expect("read by the tool");
        drop(stdin);
        said(&tool.wait_with_output().expect("an end"))
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = cluster(&self.data, &["wipe"]);
    }
}

fn cluster(data: &TempDir, args: &[&str]) -> Output {
    command(data, args).output().expect("tests/cluster/cluster")
}

fn command(data: &TempDir, args: &[&str]) -> Command {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(root.join("tests/cluster/cluster"));
    command.args(args).env("OFS_CLUSTER_DATA", data.path()).env("OFS_CLUSTER_PORTS", "23000");
    command
}
