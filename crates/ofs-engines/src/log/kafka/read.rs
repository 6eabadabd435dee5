//! Reading records from a given place on, without a group: pages of a partition, and the one
//! record that stands at a place.

use super::Place;
use super::client::{PATIENCE, unavailable};
use super::observer::View;
use super::record::received;
use ofs_events::Topic;
use ofs_runtime::budget::{Budget, Weight};
use ofs_runtime::log::{Error, Received};
use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// What is wanted of one partition.
struct Page {
    from: u64,
    budget: Budget,
    records: Vec<Received>,
    done: bool,
}

impl Page {
    fn new(from: u64, max: usize) -> Self {
        Self { from, budget: Budget::of(max), records: Vec::new(), done: false }
    }

    fn add(&mut self, record: Received) {
        if self.done || record.at.offset < self.from {
            return;
        }
        self.done = !self.budget.spend(record.weight());
        self.records.push(record);
    }
}

impl View {
    /// Records of one partition from `offset` on, or from the oldest kept; at most `max`.
    pub fn read(&mut self, place: Place, offset: u64, max: usize) -> Result<Vec<Received>, Error> {
        let (topic, partition) = place;
        let ends = self.ends(&[place])?;
        let Some(end) = ends.get(&place).filter(|end| offset < **end && max > 0) else {
            return Ok(Vec::new());
        };
        let first = self.firsts(&[place])?.get(&place).copied().unwrap_or(0);
        if first >= *end {
            return Ok(Vec::new());
        }
        let wanted = BTreeMap::from([(partition, Page::new(offset.max(first), max))]);
        let mut pages = self.fetch(topic, wanted)?;
        Ok(pages.remove(&partition).map(|page| page.records).unwrap_or_default())
    }

    /// The first record at or behind each of `places`, which must lie within the bounds. None where
    /// there is none that a reader gets to see.
    pub fn at(
        &mut self,
        places: impl IntoIterator<Item = (Place, u64)>,
    ) -> Result<HashMap<Place, Received>, Error> {
        let mut wanted: BTreeMap<Topic, BTreeMap<u32, Page>> = BTreeMap::new();
        for ((topic, partition), offset) in places {
            wanted.entry(topic).or_default().insert(partition, Page::new(offset, 1));
        }
        let mut found = HashMap::new();
        // Topic by topic: the end of a partition is told without the name of its topic.
        for (topic, pages) in wanted {
            for (partition, page) in self.fetch(topic, pages)? {
                let first = page.records.into_iter().next();
                found.extend(first.map(|record| ((topic, partition), record)));
            }
        }
        Ok(found)
    }

    fn fetch(
        &mut self,
        topic: Topic,
        mut pages: BTreeMap<u32, Page>,
    ) -> Result<BTreeMap<u32, Page>, Error> {
        let from = pages.iter().map(|(partition, page)| {
            ((topic, *partition), Offset::Offset(page.from.cast_signed()))
        });
        let from = self.list(from)?;
        let consumer = self.consumer()?;
        consumer.assign(&from).map_err(|error| unavailable(&error))?;
        let filled = self.fill(&mut pages);
        // Else it would go on fetching.
        consumer.unassign().map_err(|error| unavailable(&error))?;
        filled.map(|()| pages)
    }

    fn fill(&self, pages: &mut BTreeMap<u32, Page>) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        let mut trouble = None;
        while pages.values().any(|page| !page.done) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let reason = trouble.unwrap_or_else(|| "no records came in time".to_owned());
                return Err(Error::Unavailable(reason));
            }
            match self.consumer()?.poll(left) {
                Some(Ok(message)) => {
                    let record = received(&self.cluster.names, &message);
                    if let Some(record) = record
                        && let Some(page) = pages.get_mut(&record.at.partition)
                    {
                        page.add(record);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if let Some(page) = pages.get_mut(&partition.cast_unsigned()) {
                        page.done = true;
                    }
                }
                Some(Err(error)) => trouble = Some(error.to_string()),
                None => {}
            }
        }
        Ok(())
    }
}
