//! The least that each service's principal must be allowed, as calls of kafka-acls.

use super::address::Address;
use super::mark::STORE;
use super::names::Names;
use super::open::{OpenError, READERS};
use crate::ServerUrl;
use ofs_events::Topic;
use ofs_runtime::pipeline::Station;

/// Who makes the topics.
const MIGRATE: &str = "ofs-migrate";

/// Calls of kafka-acls that allow a principal for each of `services` what it needs, at the cluster of
/// `url`, and one more to make the topics. Every service reads all topics and looks where all groups
/// are, because every process answers for the whole; it writes to its own topics and moves its own group
/// alone.
///
/// # Errors
/// If the URL cannot be read.
pub fn grants(url: impl Into<ServerUrl>, services: &[Station]) -> Result<String, OpenError> {
    let address = Address::parse(url.into().at_start()).map_err(OpenError::Url)?;
    let names = Names::new(&address.prefix);
    let principal = |service: &str| format!(" --allow-principal User:{}", names.group(service));
    let everyone: String = services.iter().map(|one| principal(one.service)).collect();
    let topics = |topics: &[Topic]| -> String {
        topics.iter().map(|topic| format!(" --topic {}", names.topic(*topic))).collect()
    };
    let group = |group: &str| format!(" --group {}", names.group(group));
    let groups: String = services.iter().map(|one| group(&one.reader().group)).collect();
    let all = topics(&Topic::ALL);
    let mut rights = vec![
        format!(
            "{} --operation Create --operation Describe --operation DescribeConfigs{all}",
            principal(MIGRATE)
        ),
        format!("{everyone} --operation Read{all}{}", group(STORE)),
        format!("{everyone} --operation Describe{groups}{}", group(READERS)),
        format!("{everyone} --operation IdempotentWrite --cluster"),
    ];
    for one in services {
        let who = principal(one.service);
        rights.push(format!("{who} --operation Read{}", group(&one.reader().group)));
        let own = Topic::ALL.into_iter().filter(|topic| topic.publisher() == one.service);
        let own = Vec::from_iter(own);
        if !own.is_empty() {
            rights.push(format!("{who} --operation Write{}", topics(&own)));
        }
    }
    let call = |rights: &String| {
        format!("kafka-acls --bootstrap-server {} --add{rights}\n", address.brokers)
    };
    Ok(rights.iter().map(call).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_writes_to_the_topics_it_publishes_on_alone() {
        let publisher = Topic::ALL[0].publisher();
        let station = |service| Station { service, topics: &[], indexed: false };
        let url = "kafka://u:secret@h:1?prefix=p-";
        let lines = grants(url, &[station(publisher), station("a-reader")]).expect("lines");
        let writes: Vec<&str> = lines.lines().filter(|line| line.contains(" Write ")).collect();
        let expected = format!(
            "kafka-acls --bootstrap-server h:1 --add --allow-principal User:p-{publisher} \
             --operation Write --topic p-{}",
            Topic::ALL[0]
        );
        assert_eq!(writes, [expected]);
        assert!(!lines.contains("secret"), "{lines}");
    }
}
