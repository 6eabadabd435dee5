//! What a server stands on: its engines and the gateway's ledger, in a place of their own.
//!
//! The one place that knows which engines these are; tests reach them through the ports, stopped.

use crate::server::Server;
use crate::servers::{self, Urls};
use ofs::config::{Config, Inputs};
use ofs::engines::{self, Engines};
use ofs_engines::index::elasticsearch::ElasticsearchIndex;
use ofs_engines::index::tantivy::{self, TantivyIndex};
use ofs_events::{Key, Topic};
use ofs_runtime::index::{Index, Schema};
use ofs_runtime::log::Message;
use ofs_runtime::service::Service;
use ofs_runtime::store::Record;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use tempfile::TempDir;

/// Tests of what holds whatever the system stands on, `async fn(System)`: each is run on the embedded
/// engines always, and on the servers of the cluster set where the environment names them.
macro_rules! on_every_set {
    ($($test:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::system::System::new()).await;
            })+
        }

        mod cluster {
            $(#[tokio::test]
            async fn $test() {
                if let Some(system) = $crate::system::System::on_shared_servers() {
                    super::$test(system).await;
                }
            })+
        }
    };
}

/// The owners of records.
pub use ofs::services::NAMES as SERVICES;

/// The events of the contract; other services may tell more.
pub const CONTRACT: [&str; 4] =
    ["OrderCreatedV1", "PaymentAuthorizedV1", "PaymentFailedV1", "FulfillmentScheduledV1"];

/// The events of the contract among `events`.
pub fn of_the_contract(events: &Value) -> Vec<&Value> {
    let all = events.as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter(|event| CONTRACT.iter().any(|kind| event["eventType"] == *kind)).collect()
}

/// All services, as they are where nothing is configured.
pub fn services() -> Vec<Service> {
    let config = Config::load(&Inputs::default()).expect("the defaults");
    ofs::services::all(&config).expect("all services")
}

/// Every service, and the topics it reads.
pub fn readers() -> Vec<(&'static str, &'static [Topic])> {
    services().iter().map(|service| (service.name(), service.handler.topics())).collect()
}

/// The services that read `topic`.
pub fn readers_of(topic: Topic) -> Vec<&'static str> {
    let all = readers().into_iter();
    all.filter(|(_, topics)| topics.contains(&topic)).map(|(service, _)| service).collect()
}

pub struct System {
    dir: TempDir,
    /// The servers of the cluster set; none on the embedded engines.
    servers: Option<Urls>,
}

impl System {
    /// On the embedded engines.
    pub fn new() -> System {
        System { dir: tempfile::tempdir().expect("a directory"), servers: None }
    }

    /// On the servers that the environment names, with names of its own there; none if it names none.
    pub fn on_shared_servers() -> Option<System> {
        servers::shared().map(|urls| Self::on(urls.for_one_test()))
    }

    /// On these servers, as they are.
    pub fn unprepared_on(servers: Urls) -> System {
        System { servers: Some(servers), ..System::new() }
    }

    /// On these servers, its tables and topics made.
    pub fn on(servers: Urls) -> System {
        let system = Self::unprepared_on(servers);
        let migrated = system.ofs(None, &["migrate"]);
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        system
    }

    /// The servers of the cluster set, if it is on those.
    pub fn servers(&self) -> Option<&Urls> {
        self.servers.as_ref()
    }

    /// `ofs`, on this system's engines, untouched by the environment of the test.
    pub fn command(&self) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_ofs")))
    }

    /// The same of another build.
    pub fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.dir.path()).env("OFS_LOGS_LEVEL", "warn").envs(self.variables());
        command
    }

    /// `ofs` in an empty directory, as found by a user who has configured nothing.
    pub fn plain_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ofs"));
        command.current_dir(self.dir());
        command
    }

    /// Where its commands run.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn variables(&self) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![
            ("OFS_DATA_DIR", self.data().into_os_string()),
            ("OFS_PAYMENT_SIMULATOR_LEDGER", self.ledger().into_os_string()),
        ];
        if let Some(urls) = &self.servers {
            variables.push(("OFS_LOG_URL", urls.log.clone().into()));
            variables.push(("OFS_STORE_URL", urls.store.clone().into()));
            variables.push(("OFS_INDEX_URL", urls.index.clone().into()));
        }
        variables
    }

    /// All services.
    pub fn start(&self) -> Server {
        self.start_with(&[], &[])
    }

    /// `ofs run` with `args` and `variables`.
    pub fn start_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Server {
        self.try_start(args, variables).unwrap_or_else(|said| panic!("it ended: {said}"))
    }

    /// As [`System::start_with`]; if it ends before it listens, answers with what it said.
    pub fn try_start(&self, args: &[&str], variables: &[(&str, &str)]) -> Result<Server, String> {
        let mut command = self.command();
        command.args(["run", "--listen", "127.0.0.1:0"]).args(args);
        command.envs(variables.iter().copied());
        Server::start(command)
    }

    /// `ofs` with `args`, to its end; talks to the server at `url`, if there is one.
    pub fn ofs(&self, url: Option<&str>, args: &[&str]) -> Output {
        let mut command = self.command();
        command.args(args).envs(url.map(|url| ("OFS_SERVER", url)));
        command.output().expect("an end")
    }

    fn ledger(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    /// Every line of the gateway's ledger: one for each charge.
    pub fn charges(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.ledger()).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect()
    }

    /// The directory of the embedded engines.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Opens the engines; dropping them closes them. On the embedded engines, no server may run.
    pub async fn engines(&self) -> Engines {
        let own = self.variables().into_iter().map(|(name, value)| (name.into(), value));
        let inputs = Inputs { variables: own.collect(), ..Inputs::default() };
        let config = Config::load(&inputs).expect("a configuration");
        engines::open(&config, &[]).await.expect("the engines")
    }

    /// Opens the search index as a build with another schema would. On the embedded engines, nothing else
    /// may have it open.
    pub fn index_of(&self, schema: Schema) -> Arc<dyn Index> {
        match &self.servers {
            Some(urls) => Arc::new(ElasticsearchIndex::open(&urls.index, schema).expect("a URL")),
            None => {
                let options = tantivy::Options::default();
                let index = TantivyIndex::open(self.data().join("index"), schema, options);
                Arc::new(index.expect("an index"))
            }
        }
    }

    /// Appends records to the log, whatever they hold. No server may run.
    pub async fn append(&self, records: Vec<Message>) {
        for answer in self.engines().await.log.append(records).await {
            answer.expect("appended");
        }
    }

    /// Every record of every service, by owner and order. No server may run.
    pub async fn records(&self) -> BTreeMap<(&'static str, Key), Record> {
        let engines = self.engines().await;
        let mut all = BTreeMap::new();
        for owner in SERVICES {
            let mut after = None;
            loop {
                let page = engines.store.scan(owner, after, 500).await.expect("records");
                let Some(last) = page.last() else { break };
                after = Some(last.key);
                all.extend(page.into_iter().map(|record| ((owner, record.key), record)));
            }
        }
        all
    }

    /// Where each topic ends, over all partitions. No server may run.
    pub async fn ends(&self) -> BTreeMap<Topic, Vec<u64>> {
        let engines = self.engines().await;
        let mut ends = BTreeMap::new();
        for topic in Topic::ALL {
            let bounds = engines.log.bounds(topic).await.expect("bounds");
            ends.insert(topic, bounds.into_iter().map(|bounds| bounds.end).collect());
        }
        ends
    }

    /// Makes every service forget which events it has handled. No server may run.
    pub fn empty_the_inbox(&self) {
        match &self.servers {
            Some(urls) => {
                urls.psql("DELETE FROM processed_events");
            }
            None => {
                let path = self.data().join("store.db");
                let store = rusqlite::Connection::open(path).expect("the store");
                let gone = store.execute("DELETE FROM processed_events", []).expect("deleted");
                assert!(gone > 0, "the inbox was empty");
            }
        }
    }
}

/// A record of `topic` for [`System::append`].
pub fn record(topic: Topic, key: Option<&[u8]>, value: &[u8]) -> Message {
    Message {
        topic,
        key: key.map(|key| key.to_vec().into()),
        event_id: None,
        headers: Vec::new(),
        value: value.to_vec().into(),
    }
}

/// What a command printed to stdout, as JSON.
pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    })
}

/// What a command printed, line by line.
pub fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

/// A disk of a few megabytes under a system's data; gone with this value.
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// None if this user may not mount one.
    pub fn mount(system: &System, bytes: usize) -> Option<SmallDisk> {
        let path = system.data();
        std::fs::create_dir_all(&path).expect("a directory");
        let size = format!("size={bytes}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "ofs-test"])
            .arg(&path)
            .output();
        mounted.is_ok_and(|output| output.status.success()).then_some(SmallDisk { path })
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut ballast = std::fs::File::create(self.path.join("ballast")).expect("a file");
        for size in [1 << 16, 1 << 12, 1] {
            while std::io::Write::write_all(&mut ballast, &vec![0; size]).is_ok() {}
        }
    }

    /// Gives it back.
    pub fn make_room(&self) {
        std::fs::remove_file(self.path.join("ballast")).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may not have let go of it yet.
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
