//! Looks at a running member from outside: whether the topics are still the ones it reads, whether
//! its client reaches the cluster, and whether it gets what is there. The library notices none of it.

use super::client::PATIENCE;
use super::member::{Client, Member};
use ofs_runtime::log::Error;
use rdkafka::consumer::Consumer as _;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How often to look.
const EVERY: Duration = Duration::from_secs(10);
/// Looks in a row that find a member stuck, before it gets another client.
const STRIKES: u32 = 3;

pub(super) struct Watch<'a> {
    member: &'a Member,
    client: &'a Client,
    looked: Instant,
    /// What all owned partitions were read up to, when it was last looked.
    before: HashMap<super::Place, u64>,
    strikes: u32,
}

impl<'a> Watch<'a> {
    pub fn new(member: &'a Member, client: &'a Client) -> Self {
        let before = HashMap::new();
        Self { member, client, looked: Instant::now(), before, strikes: 0 }
    }

    /// The member is held up by its worker, not stuck.
    pub fn rest(&mut self) {
        self.strikes = 0;
        self.before.clear();
    }

    /// Looks, if it is time.
    ///
    /// # Errors
    /// [`Error::Lost`] if the topics are others; [`Error::Unavailable`] if the member is stuck.
    pub fn look(&mut self) -> Result<(), Error> {
        if self.looked.elapsed() < EVERY {
            return Ok(());
        }
        let looked = self.inspect();
        self.looked = Instant::now();
        match looked {
            Err(error @ Error::Lost(_)) => Err(error),
            Err(error) => {
                tracing::debug!(group = self.member.group, %error, "cannot look after a member");
                Ok(())
            }
            Ok(()) if self.is_lost() => {
                Err(Error::Unavailable("the client has lost its brokers".to_owned()))
            }
            Ok(()) if self.strikes >= STRIKES => {
                Err(Error::Unavailable("records are there and do not come".to_owned()))
            }
            Ok(()) => Ok(()),
        }
    }

    /// Whether others reach the cluster and this client does not, see `Cluster`.
    fn is_lost(&self) -> bool {
        let Member { cluster, topics, observer, .. } = self.member;
        let reaches =
            |topic| self.client.fetch_metadata(Some(cluster.names.topic(topic)), PATIENCE).is_ok();
        let others = || observer.look_here(|view| view.places(topics, Duration::ZERO)).is_ok();
        topics.first().is_some_and(|topic| !reaches(*topic) && others())
    }

    fn inspect(&mut self) -> Result<(), Error> {
        let Member { group, hand, observer, .. } = self.member;
        let standings = hand.standings();
        if standings.is_empty() {
            return Ok(());
        }
        let now: HashMap<_, _> = standings.iter().map(|s| (s.place, s.next)).collect();
        let idle = now == self.before;
        let waiting = observer.look_here(|view| {
            view.check(group, &standings)?;
            if !idle {
                return Ok(false);
            }
            let places = view.led(&Vec::from_iter(now.keys().copied()));
            let ends = view.ends(&places)?;
            let behind = |(place, next): &(_, u64)| ends.get(place).is_some_and(|end| next < end);
            let behind: Vec<_> = now.iter().map(|(p, next)| (*p, *next)).filter(behind).collect();
            Ok(!view.at(behind)?.is_empty())
        })?;
        self.strikes = if waiting { self.strikes + 1 } else { 0 };
        self.before = now;
        Ok(())
    }
}
