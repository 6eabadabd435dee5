//! How far the store was, noted beside an offset of a group that nobody joins. Kafka keeps it as long as
//! the offset: a week from when it was noted last, unless the cluster is set otherwise.

use super::Place;
use super::client::unavailable;
use super::observer::{View, without_errors};
use ofs_events::Topic;
use ofs_runtime::log::{Error, StoreMark};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

/// The group.
pub(super) const STORE: &str = "ofs-store";

/// Where its offset is: any partition does.
const PLACE: Place = (Topic::ALL[0], 0);

impl View {
    /// The mark that was noted last; that of a new store if there is none.
    pub fn mark(&self) -> Result<StoreMark, Error> {
        let asked = self.list([(PLACE, Offset::Invalid)])?;
        let found = self.ask(|consumer, wait| {
            consumer.committed_offsets(asked.clone(), wait).and_then(without_errors)
        })?;
        Ok(found.elements().first().map(|noted| read(noted.metadata())).unwrap_or_default())
    }

    /// Notes `mark`.
    pub fn note_mark(&self, mark: StoreMark) -> Result<(), Error> {
        let (topic, partition) = PLACE;
        let mut list = TopicPartitionList::new();
        let name = self.cluster.names.topic(topic);
        let mut noted = list.add_partition(name, partition.cast_signed());
        noted.set_offset(Offset::Offset(0)).map_err(|error| unavailable(&error))?;
        noted.set_metadata(written(mark));
        self.consumer()?.commit(&list, CommitMode::Sync).map_err(|error| unavailable(&error))
    }
}

fn written(StoreMark { newest, missing }: StoreMark) -> String {
    format!("newest={newest} missing={missing}")
}

/// What another tool wrote is no mark.
fn read(text: &str) -> StoreMark {
    let find = |name: &str| {
        let mut words = text.split(' ').filter_map(|word| word.split_once('='));
        words.find(|(known, _)| *known == name).and_then(|(_, value)| value.parse().ok())
    };
    StoreMark {
        newest: find("newest").unwrap_or_default(),
        missing: find("missing").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark = StoreMark { newest: 41, missing: 7 };
        assert_eq!(read(&written(mark)), mark);
        assert_eq!(read("NONE"), StoreMark::default());
    }
}
