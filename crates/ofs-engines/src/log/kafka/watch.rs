//! Looks at a running member from outside: whether the topics are still the ones it reads, and
//! whether it gets what is there. The client library notices neither by itself.

use super::hand::Hand;
use super::observer::Observer;
use ofs_runtime::log::Error;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How often to look.
const EVERY: Duration = Duration::from_secs(10);
/// Looks in a row that find a member stuck, before it gets another client.
const STRIKES: u32 = 3;

pub(super) struct Watch<'a> {
    group: &'a str,
    observer: &'a Observer,
    hand: &'a Hand,
    looked: Instant,
    /// What all owned partitions were read up to, when it was last looked.
    before: HashMap<super::Place, u64>,
    strikes: u32,
}

impl<'a> Watch<'a> {
    pub fn new(group: &'a str, observer: &'a Observer, hand: &'a Hand) -> Self {
        let before = HashMap::new();
        Self { group, observer, hand, looked: Instant::now(), before, strikes: 0 }
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
                tracing::debug!(group = self.group, %error, "cannot look after a member");
                Ok(())
            }
            Ok(()) if self.strikes >= STRIKES => {
                Err(Error::Unavailable("records are there and do not come".to_owned()))
            }
            Ok(()) => Ok(()),
        }
    }

    fn inspect(&mut self) -> Result<(), Error> {
        let standings = self.hand.standings();
        if standings.is_empty() {
            return Ok(());
        }
        let now: HashMap<_, _> = standings.iter().map(|s| (s.place, s.next)).collect();
        let idle = now == self.before;
        let waiting = self.observer.look_here(|view| {
            view.check(self.group, &standings)?;
            if !idle {
                return Ok(false);
            }
            let places: Vec<_> = now.keys().copied().collect();
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
