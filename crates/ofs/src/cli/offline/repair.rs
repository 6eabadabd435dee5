//! `ofs repair`: makes store and log agree again after one of them has lost something.
//!
//! An order that only the log knows is stored again; an event that the log has lost is owed again, if
//! its order is not finished. Then all services read the log from its beginning, and the index is
//! rebuilt.

use crate::engines::Engines;
use crate::told::told;
use anyhow::Context as _;
use ofs_events::{Event, EventId, Key, OrderStatus, Topic};
use ofs_runtime::agreement::Agreement;
use ofs_runtime::books::Books;
use ofs_runtime::log::{Bounds, Message, Received, Reset};
use ofs_runtime::pipeline::group_of;
use ofs_runtime::rebuild::Rebuild;
use ofs_runtime::service::Service;
use ofs_runtime::store::{Commit, Record, SHARDS, Wanted};
use order_service::order;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Records and events looked at together.
const PAGE: usize = 500;

/// What was found, and what was or would be done about it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repair {
    /// Whether it was done, not only found.
    pub applied: bool,
    /// Orders that only the log knew: stored again.
    pub restored: BTreeSet<Key>,
    /// Groups that read the log from its beginning again.
    pub rewound: Vec<String>,
    /// Events that the log lacked: owed to it again.
    pub republished: Vec<Republished>,
    /// What store and log know to have lost since they saw each other, in words.
    pub lost: Vec<String>,
    /// What cannot be repaired, and why.
    pub unrepairable: BTreeMap<Key, String>,
}

impl Repair {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.restored.is_empty()
            && self.republished.is_empty()
            && self.unrepairable.is_empty()
            && self.lost.is_empty()
    }
}

/// One event that the log lacked.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Republished {
    /// Whose it is.
    pub order_id: Key,
    /// What it tells.
    pub event_type: &'static str,
    /// Its id, as it was.
    pub event_id: EventId,
}

/// Looks for what store and log have lost; with `apply`, repairs it. No service may run.
///
/// # Errors
/// If an engine cannot be reached, or a group has members. What was done until then stands; the next
/// run does the rest.
pub async fn repair(
    engines: &Engines,
    services: &[Service],
    apply: bool,
) -> anyhow::Result<Repair> {
    let agreement = Agreement::new(Arc::clone(&engines.store), Arc::clone(&engines.log));
    let mut found = Repair { lost: agreement.missing().await?, ..examine(engines, false).await? };
    // A store that has lost its last writes does not know what it has handled.
    let rewinds =
        !(found.restored.is_empty() && found.republished.is_empty() && found.lost.is_empty());
    if rewinds {
        found.rewound = services.iter().map(|service| group_of(service.name())).collect();
    }
    if !apply {
        return Ok(found);
    }
    // First, so that a second run still sees that it has to be done, if this one dies.
    for service in services.iter().filter(|_| rewinds) {
        let (group, topics) = (group_of(service.name()), service.handler.topics());
        engines.log.reset(&group, topics, Reset::Earliest).await?;
    }
    let applied = examine(engines, true).await?;
    if rewinds {
        // The index may hold higher versions than the records have now, and would take no lower ones.
        let books = Books::new(search_indexer_worker::NAME, Arc::clone(&engines.store));
        Rebuild::new(books, Arc::clone(&engines.index)).start().await?;
    }
    agreement.settle().await?;
    Ok(Repair { applied: true, rewound: found.rewound, lost: found.lost, ..applied })
}

async fn examine(engines: &Engines, apply: bool) -> anyhow::Result<Repair> {
    let mut examination = Examination {
        engines,
        apply,
        repair: Repair::default(),
        in_log: HashSet::new(),
        begun: HashSet::new(),
    };
    for topic in Topic::ALL {
        for bounds in engines.log.bounds(topic).await? {
            examination.read(topic, bounds).await?;
        }
    }
    examination.compare().await?;
    Ok(examination.repair)
}

struct Examination<'a> {
    engines: &'a Engines,
    apply: bool,
    repair: Repair,
    /// Every event in the log.
    in_log: HashSet<EventId>,
    /// Every order whose beginning is in the log.
    begun: HashSet<Key>,
}

impl Examination<'_> {
    /// Reads one partition; stores orders again that are not in the store.
    async fn read(&mut self, topic: Topic, bounds: Bounds) -> anyhow::Result<()> {
        let mut at = bounds.first;
        while at < bounds.end {
            let records = self
                .engines
                .log
                .read(topic, bounds.partition, at, PAGE)
                .await
                .context("cannot read the log")?;
            let Some(last) = records.last() else { return Ok(()) };
            at = last.at.offset + 1;
            // What cannot be read is parked by the service that reads it.
            let events: Vec<Event> = records.iter().filter_map(decode).collect();
            self.in_log.extend(events.iter().map(|event| event.id));
            if topic == Topic::Orders {
                self.begun.extend(events.iter().map(Event::key));
            }
            self.restore(&events).await?;
        }
        Ok(())
    }

    async fn restore(&mut self, events: &[Event]) -> anyhow::Result<()> {
        let keys: BTreeSet<Key> = events.iter().map(Event::key).collect();
        let known = self.records(order_service::NAME, keys.into_iter().collect()).await?;
        let mut records = Vec::new();
        for event in events {
            let id = event.key();
            if known.contains_key(&id) || self.repair.restored.contains(&id) {
                continue;
            }
            match order::restored(event) {
                Some(record) => {
                    self.repair.unrepairable.remove(&id);
                    self.repair.restored.insert(id);
                    records.push(record);
                }
                None => {
                    let reason = "neither the store nor an OrderCreatedV1 in the log knows it, \
                                  only later events";
                    self.repair.unrepairable.insert(id, reason.to_owned());
                }
            }
        }
        self.commit(order_service::NAME, records, Vec::new()).await
    }

    /// Goes through all orders; has events published again that unfinished ones need.
    async fn compare(&mut self) -> anyhow::Result<()> {
        let mut owed = HashSet::new();
        for owner in crate::services::NAMES {
            owed.extend(self.owed(owner).await?);
        }
        let mut after = None;
        loop {
            let orders = self.engines.store.scan(order_service::NAME, after, PAGE).await?;
            let Some(last) = orders.last() else { return Ok(()) };
            after = Some(last.key);
            self.compare_page(orders, &owed).await?;
        }
    }

    async fn compare_page(
        &mut self,
        orders: Vec<Record>,
        owed: &HashSet<EventId>,
    ) -> anyhow::Result<()> {
        let keys: Vec<Key> = orders.iter().map(|order| order.key).collect();
        let mut payments = self.records(payment_worker::NAME, keys.clone()).await?;
        let mut shipments = self.records(fulfillment_worker::NAME, keys.clone()).await?;
        let documents = self.records(search_indexer_worker::NAME, keys).await?;
        let mut again: BTreeMap<&'static str, (Vec<Record>, Vec<Message>)> = BTreeMap::new();
        for order in orders {
            let id = order.key;
            if is_finished(&order) && documents.get(&id).is_some_and(is_finished) {
                continue;
            }
            let (payment, shipment) = (payments.remove(&id), shipments.remove(&id));
            let told = told(order, payment, shipment);
            if told.is_empty() && !self.begun.contains(&id) {
                let reason =
                    "it is not finished, and its record does not say which event announced it";
                self.repair.unrepairable.insert(id, reason.to_owned());
            }
            for (owner, record, event) in told {
                if self.in_log.contains(&event.id) || owed.contains(&event.id) {
                    continue;
                }
                self.repair.republished.push(Republished {
                    order_id: id,
                    event_type: event.payload.event_type(),
                    event_id: event.id,
                });
                let (records, outgoing) = again.entry(owner).or_default();
                records.push(Record {
                    loaded: record.version,
                    version: record.version + 1,
                    ..record
                });
                outgoing.push(Message::from(&event));
            }
        }
        for (owner, (records, outgoing)) in again {
            self.commit(owner, records, outgoing).await?;
        }
        Ok(())
    }

    /// The events that `owner` owes to the log; of each order the first, behind which others wait.
    async fn owed(&self, owner: &str) -> anyhow::Result<Vec<EventId>> {
        let shards: Vec<u16> = (0..SHARDS).collect();
        let (mut seen, mut owed) = (Vec::new(), Vec::new());
        loop {
            let rows = self.engines.store.outbox(owner, &shards, &seen, 0, PAGE).await?;
            if rows.is_empty() {
                return Ok(owed);
            }
            for row in rows {
                seen.push(row.key);
                let Ok(message) = row.message else { continue };
                let event = Event::decode(message.topic, message.key.as_deref(), &message.value);
                owed.extend(event.map(|event| event.id));
            }
        }
    }

    async fn records(
        &self,
        owner: &str,
        mut keys: Vec<Key>,
    ) -> anyhow::Result<HashMap<Key, Record>> {
        let mut records = HashMap::new();
        while !keys.is_empty() {
            let wanted = Wanted { owner: owner.to_owned(), keys, ..Wanted::default() };
            let loaded = self.engines.store.load(&wanted).await?;
            records.extend(loaded.records);
            keys = loaded.left.into_iter().collect();
        }
        Ok(records)
    }

    async fn commit(
        &self,
        owner: &str,
        records: Vec<Record>,
        outgoing: Vec<Message>,
    ) -> anyhow::Result<()> {
        if !self.apply || records.is_empty() {
            return Ok(());
        }
        let commit = Commit { owner: owner.to_owned(), records, outgoing, ..Commit::default() };
        Ok(self.engines.store.commit(commit).await?)
    }
}

fn decode(record: &Received) -> Option<Event> {
    Event::decode(record.at.topic, record.key.as_deref(), &record.value).ok()
}

fn is_finished(record: &Record) -> bool {
    OrderStatus::named(&record.status).is_some_and(OrderStatus::is_final)
}
