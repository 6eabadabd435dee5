//! What our topics and groups are called on a cluster that may have several installations.

use super::Place;
use super::note::Note;
use ofs_events::Topic;
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

/// The names with their prefix.
#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
    topics: [String; Topic::ALL.len()],
}

impl Names {
    pub fn new(prefix: &str) -> Self {
        let topics = Topic::ALL.map(|topic| format!("{prefix}{topic}"));
        Self { prefix: prefix.to_owned(), topics }
    }

    /// The name of `topic` on the cluster.
    pub fn topic(&self, topic: Topic) -> &str {
        &self.topics[topic as usize]
    }

    /// The topic that has this name on the cluster.
    pub fn find(&self, name: &str) -> Option<Topic> {
        Topic::ALL.into_iter().find(|topic| self.topic(*topic) == name)
    }

    /// The name of a group on the cluster.
    pub fn group(&self, group: &str) -> String {
        format!("{}{group}", self.prefix)
    }

    /// The name of ours that `group` on the cluster has; none if it is another installation's.
    pub fn own<'a>(&self, group: &'a str) -> Option<&'a str> {
        group.strip_prefix(&self.prefix)
    }

    /// The partition that `element` is about.
    pub fn place(&self, element: &TopicPartitionListElem<'_>) -> Option<Place> {
        Some((self.find(element.topic())?, u32::try_from(element.partition()).ok()?))
    }

    /// The partitions in `list`.
    pub fn places(&self, list: &TopicPartitionList) -> Vec<Place> {
        list.elements().iter().filter_map(|element| self.place(element)).collect()
    }

    /// A list for the client library.
    pub fn list(
        &self,
        places: impl IntoIterator<Item = (Place, Offset)>,
    ) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in places {
            list.add_partition_offset(self.topic(topic), partition.cast_signed(), offset)?;
        }
        Ok(list)
    }

    /// A list of offsets to commit, each with its note.
    pub fn commit(&self, commits: &[(Place, u64, Note)]) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset, note) in commits {
            let partition = partition.cast_signed();
            let mut element = list.add_partition(self.topic(*topic), partition);
            element.set_offset(Offset::Offset(offset.cast_signed()))?;
            element.set_metadata(note.to_string());
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        let names = Names::new("test-");
        assert_eq!(names.topic(Topic::Payments), "test-payments.events.v1");
        for topic in Topic::ALL {
            assert_eq!(names.find(names.topic(topic)), Some(topic));
        }
        assert_eq!(names.find("payments.events.v1"), None);
        assert_eq!(names.group("g"), "test-g");
    }
}
