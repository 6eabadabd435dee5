//! The log on Apache Kafka, for any number of processes: order within a partition, at least once.
//!
//! Topics and groups may carry a prefix, so that several installations share a cluster.

// Speaking to the cluster: where it is, what our topics are called there, how its errors are meant.
mod address;
mod client;
mod grants;
mod login;
mod names;
mod open;
mod record;

// Appending, and what takes nothing at present.
mod gates;
mod producer;

// Reading as a member of a group: the worker's end, the member's thread, and what passes between them.
mod hand;
mod member;
mod subscription;

// What a member has to decide: where to go on, when to stop fetching, when to begin anew.
mod brake;
mod note;
mod rebalance;
mod start;
mod watch;

// Looking, without taking part: bounds, positions, single records, groups, topics.
mod groups;
mod mark;
mod observer;
mod read;
mod topics;

// Measuring what the cluster does without us.
mod bare;

pub use bare::bare;
pub use grants::grants;
pub use open::OpenError;

use crate::ServerUrl;
use async_trait::async_trait;
use client::Cluster;
use futures::StreamExt;
use futures::stream::BoxStream;
use hand::Hand;
use member::Member;
use note::Note;
use observer::{FRESH, Observer, View};
use ofs_events::{Key, Topic};
use ofs_runtime::log::{
    Appended, Bounds, Error, Lag, Layout, Log, Message, Position, Reader, Received, Reset,
    StoreMark, Subscription,
};
use producer::Producer;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use subscription::KafkaSubscription;
use topics::ADMIN_PATIENCE;

/// A partition of a topic.
type Place = (Topic, u32);

/// The log on a Kafka cluster. Its connections are closed in the background when it is dropped;
/// a subscription lives on by itself.
pub struct KafkaLog {
    cluster: Arc<Cluster>,
    producer: Producer,
    /// Looks for those who belong to no group.
    reader: Observer,
    /// By group.
    observers: Mutex<HashMap<String, Observer>>,
    /// The members in this process.
    members: Mutex<Vec<(String, Weak<Hand>)>>,
}

impl KafkaLog {
    /// Opens the log at `url`: `kafka://host:port[,host:port…]`, or `kafka+tls://` for TLS, with
    /// `user:password@` for SASL (`?sasl=` plain, scram-sha-256, oauthbearer with a token for
    /// password, or scram-sha-512, the default), `?ca=` a file of trusted certificates, and
    /// `?prefix=` for the names of topics and groups. Needs no topic to be there. Blocks for up to
    /// three seconds, until a broker answers.
    ///
    /// # Errors
    /// [`OpenError`], which tells what passes from what does not.
    pub fn open(url: impl Into<ServerUrl>) -> Result<KafkaLog, OpenError> {
        open::open(url.into())
    }

    /// Whether the topics are there, with `layout.partitions` partitions each.
    ///
    /// # Errors
    /// [`Error::Unprepared`] if not.
    pub async fn check(&self, layout: Layout) -> Result<(), Error> {
        let found = self.reader.look(move |view| view.survey(layout)).await?;
        found.complete(&self.cluster)
    }

    fn observer(&self, group: &str) -> Observer {
        let mut observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Observer::new(Arc::clone(&self.cluster), group);
        observers.entry(group.to_owned()).or_insert_with(new).clone()
    }

    fn members(&self, group: &str) -> Vec<Arc<Hand>> {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|(_, hand)| hand.strong_count() > 0);
        let own = members.iter().filter(|(known, _)| known == group);
        own.filter_map(|(_, hand)| hand.upgrade()).collect()
    }
}

/// What is to be known for a group's lag.
fn lag(
    view: &mut View,
    topics: &[Topic],
    assigned: impl Fn(Place) -> bool,
) -> Result<Vec<Lag>, Error> {
    let places = view.places(topics, FRESH)?;
    let committed = view.committed(&places)?;
    let led = view.led(&places);
    let (firsts, ends) = (view.firsts(&led)?, view.ends(&led)?);
    let mut lags = Vec::with_capacity(places.len());
    let mut behind = HashMap::new();
    for place in places {
        let leaderless = !led.contains(&place);
        let first = firsts.get(&place).copied().unwrap_or(0);
        let end = ends.get(&place).copied().unwrap_or(first);
        let position = committed.get(&place).map(|committed| committed.offset);
        // What retention took before the group read it is still lag: it was never handled.
        let next = position.unwrap_or(first);
        let events = end.saturating_sub(next);
        if events > 0 {
            behind.insert(place, next.max(first));
        }
        let (topic, partition) = place;
        let assigned = assigned(place);
        let (oldest, happened) = (None, None);
        lags.push(Lag {
            topic,
            partition,
            position,
            end,
            events,
            oldest,
            happened,
            assigned,
            leaderless,
        });
    }
    let unread = view.unread(behind)?;
    for lag in lags.iter_mut().filter(|lag| lag.events > 0) {
        if let Some(times) = unread.get(&(lag.topic, lag.partition)) {
            (lag.oldest, lag.happened) = (Some(times.appended_at), Some(times.happened_at));
        }
    }
    Ok(lags)
}

/// Where a group is to go, with what is noted there.
fn targets(view: &mut View, topics: &[Topic], to: Reset) -> Result<Vec<(Place, u64, Note)>, Error> {
    let places = view.places(topics, Duration::ZERO)?;
    let (firsts, ends) = (view.firsts(&places)?, view.ends(&places)?);
    let found = match to {
        Reset::Earliest => firsts.clone(),
        Reset::Latest => ends.clone(),
        // The cluster knows milliseconds; a part of one must not reach back.
        Reset::Time(time) => {
            view.since(&places, time.as_micros().saturating_add(999).div_euclid(1000))?
        }
    };
    let target = |place: &Place| found.get(place).or(ends.get(place)).copied().unwrap_or(0);
    let before = places.iter().filter_map(|place| {
        let last = target(place).checked_sub(1)?;
        firsts.get(place).is_some_and(|first| *first <= last).then_some((*place, last))
    });
    let before: HashMap<Place, u64> = before.collect();
    let records = view.at(before.clone())?;
    let note = |place: &Place| {
        let last = records.get(place).map(|record| (record.at.offset, record.appended_at));
        let last = last.filter(|(at, _)| before.get(place) == Some(at));
        Note { partitions: view.count(place.0), last }
    };
    Ok(places.iter().map(|place| (*place, target(place), note(place))).collect())
}

#[async_trait]
impl Log for KafkaLog {
    async fn append(&self, messages: Vec<Message>) -> Vec<Result<Position, Error>> {
        let mut answers: Vec<_> = self.producer.append(messages).collect().await;
        answers.sort_unstable_by_key(|(n, _)| *n);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    fn append_each(&self, messages: Vec<Message>) -> BoxStream<'_, Appended> {
        self.producer.append(messages)
    }

    fn takes(&self, topic: Topic, key: Key) -> bool {
        self.producer.takes(topic, key.to_string().as_bytes())
    }

    async fn subscribe(
        &self,
        group: &str,
        topics: &[Topic],
    ) -> Result<Box<dyn Subscription>, Error> {
        let hand = Arc::new(Hand::default());
        let weak = Arc::downgrade(&hand);
        let member = Member {
            cluster: Arc::clone(&self.cluster),
            group: group.to_owned(),
            topics: topics.to_vec(),
            hand,
            observer: self.observer(group),
        };
        let joined = KafkaSubscription::join(member).await?;
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.push((group.to_owned(), weak));
        Ok(Box::new(joined))
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        max: usize,
    ) -> Result<Vec<Received>, Error> {
        self.reader
            .look(move |view| {
                let place = (topic, partition);
                if !view.places(&[topic], FRESH)?.contains(&place) {
                    return Ok(Vec::new());
                }
                view.read(place, offset, max)
            })
            .await
    }

    async fn bounds(&self, topic: Topic) -> Result<Vec<Bounds>, Error> {
        self.reader
            .look(move |view| {
                let places = view.places(&[topic], FRESH)?;
                view.bounds(&places)
            })
            .await
    }

    async fn readable(&self, topic: Topic) -> Result<(Vec<Bounds>, Vec<u32>), Error> {
        let readable = move |view: &mut View, age| {
            let (led, others): (Vec<_>, Vec<_>) =
                view.places(&[topic], age)?.into_iter().partition(|place| view.is_led(place));
            let others = others.into_iter().map(|(_, partition)| partition).collect();
            Ok((view.bounds(&led)?, others))
        };
        // Who leads what may have changed since it was asked for.
        let twice = move |view: &mut View| {
            readable(view, FRESH).or_else(|_: Error| readable(view, Duration::ZERO))
        };
        self.reader.look(twice).await
    }

    async fn lag(&self, group: &str, topics: &[Topic]) -> Result<Vec<Lag>, Error> {
        let (topics, hands) = (topics.to_vec(), self.members(group));
        let assigned = move |place| hands.iter().any(|hand| hand.owns(place));
        let observer = self.observer(group);
        observer.look(move |view| lag(view, &topics, assigned)).await
    }

    async fn reset(&self, group: &str, topics: &[Topic], to: Reset) -> Result<(), Error> {
        let topics = topics.to_vec();
        let observer = self.observer(group);
        let reset = move |view: &mut View| {
            let targets = targets(view, &topics, to)?;
            view.commit(&targets)
        };
        match observer.look(reset).await? {
            true => Ok(()),
            false => Err(Error::Busy(group.to_owned())),
        }
    }

    async fn groups(&self) -> Result<Vec<String>, Error> {
        let mut known = Vec::new();
        for group in self.reader.look(|view| view.candidates()).await? {
            // Not kept, as ours are: there may be many of others.
            let observer = Observer::new(Arc::clone(&self.cluster), &group);
            if observer.look(View::has_position).await? {
                known.push(group);
            }
        }
        Ok(known)
    }

    async fn forget(&self, group: &str) -> Result<(), Error> {
        groups::delete(&self.cluster, group).await
    }

    async fn noted_store(&self) -> Result<Option<StoreMark>, Error> {
        self.observer(mark::STORE).look(|view| view.mark().map(Some)).await
    }

    async fn note_store(&self, mark: StoreMark) -> Result<(), Error> {
        self.observer(mark::STORE).look(move |view| view.note_mark(mark)).await
    }

    async fn engine(&self) -> Option<String> {
        let brokers = self.reader.look(View::brokers).await.ok()?;
        let unit = if brokers == 1 { "broker" } else { "brokers" };
        Some(format!("Kafka ({brokers} {unit})"))
    }

    async fn prepare(&self, layout: Layout) -> Result<(), Error> {
        let found = self.reader.look(move |view| view.survey(layout)).await?;
        found.make(&self.cluster, layout).await?;
        // A broker may hear of a new partition a moment later than the one that made it.
        let made = async {
            loop {
                let ready = self.reader.look(View::is_ready).await;
                if ready.is_ok() {
                    return ready;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let late = |_| Error::Unavailable("the new topics are not ready yet".to_owned());
        tokio::time::timeout(ADMIN_PATIENCE, made).await.map_err(late)?
    }

    /// Retention is the cluster's own business.
    async fn tidy(&self, _: Duration, _: &[Reader]) -> Result<(), Error> {
        Ok(())
    }
}
