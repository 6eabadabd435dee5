//! The log on a real Kafka cluster: a prefix of its own for each test, cleaned up behind it.

use super::Engine;
use futures::executor::block_on;
use ofs_engines::log::kafka::KafkaLog;
use ofs_events::Topic;
use ofs_runtime::context::Context;
use ofs_runtime::log::{Layout, Log};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

/// The cluster to test on; none if there is none.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment what to run on")]
pub fn cluster_url() -> Option<String> {
    static SKIPPED: Once = Once::new();
    let url = std::env::var("OFS_TEST_KAFKA_URL").ok();
    if url.is_none() {
        SKIPPED.call_once(|| eprintln!("skipped: OFS_TEST_KAFKA_URL names no Kafka cluster"));
    }
    url
}

/// An installation on a cluster.
pub struct Kafka {
    /// `host:port`, separated by commas.
    pub brokers: String,
    pub prefix: String,
    pub layout: Layout,
}

impl Kafka {
    /// On the cluster of `OFS_TEST_KAFKA_URL`.
    pub async fn start() -> Option<Self> {
        cluster_url().map(|url| Self::on(url.trim_start_matches("kafka://")))
    }

    pub fn on(brokers: &str) -> Self {
        let prefix = format!("test-{}-", Context::new("test").new_id());
        let layout = Layout { partitions: 3, replication: 0 };
        Self { brokers: brokers.to_owned(), prefix, layout }
    }

    pub fn url(&self) -> String {
        format!("kafka://{}?prefix={}", self.brokers, self.prefix)
    }

    /// The log, topics or not.
    pub async fn connect(&self) -> KafkaLog {
        let url = self.url();
        tokio::task::spawn_blocking(move || KafkaLog::open(&url)).await.unwrap().unwrap()
    }

    /// The log with its topics.
    pub async fn log(&self) -> KafkaLog {
        let log = self.connect().await;
        log.prepare(self.layout).await.unwrap();
        log
    }

    pub fn topic(&self, topic: Topic) -> String {
        format!("{}{topic}", self.prefix)
    }

    pub fn group(&self, group: &str) -> String {
        format!("{}{group}", self.prefix)
    }

    /// Settings of a client that is not ours.
    pub fn foreign(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.foreign().create().unwrap()
    }

    pub async fn delete_topic(&self, topic: Topic) {
        let name = self.topic(topic);
        let options = AdminOptions::new();
        let deleted = self.admin().delete_topics(&[&name], &options).await.unwrap();
        deleted.into_iter().for_each(|topic| drop(topic.unwrap()));
    }

    fn clean(&self) {
        let admin = self.admin();
        let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
        let topics = Topic::ALL.map(|topic| self.topic(topic));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let _ = block_on(admin.delete_topics(&topics, &options));
        // Members that were dropped, not closed, leave their group a moment later.
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            let groups = self.groups();
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            if groups.is_empty() {
                return;
            }
            let _ = block_on(admin.delete_groups(&groups, &options));
        }
    }

    fn groups(&self) -> Vec<String> {
        let client: BaseConsumer = self.foreign().create().unwrap();
        let Ok(groups) = client.fetch_group_list(None, Duration::from_secs(5)) else {
            return Vec::new();
        };
        let names = groups.groups().iter().map(|group| group.name().to_owned());
        names.filter(|name| name.starts_with(&self.prefix)).collect()
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.clean();
    }
}

#[async_trait::async_trait]
impl Engine for Kafka {
    async fn open(&self) -> Arc<dyn Log> {
        Arc::new(self.log().await)
    }
}
