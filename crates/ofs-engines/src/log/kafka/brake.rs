//! Stops fetching while the worker stands still. Partitions that are held stay polled, so the member
//! keeps its place in the group.
//!
//! Exact, because the library is not: what is resumed without having been paused is read again from
//! where it was begun, and what is paused when it is revoked is still paused when it comes back.

use super::Place;
use super::client::reason;
use super::member::Client;
use super::names::Names;
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The partitions of a client that are held.
#[derive(Default)]
pub(super) struct Brake(Mutex<BTreeSet<Place>>);

impl Brake {
    /// Holds all of `owned`.
    pub fn hold(&self, names: &Names, client: &Client, owned: impl Iterator<Item = Place>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<Place> = owned.filter(|place| !held.contains(place)).collect();
        if with(names, &new, |list| client.pause(list)) {
            held.extend(new);
        }
    }

    /// Lets go of those that are held and `which` picks.
    pub fn release(&self, names: &Names, client: &Client, which: impl Fn(&Place) -> bool) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free: Vec<Place> = held.iter().filter(|place| which(place)).copied().collect();
        if with(names, &free, |list| client.resume(list)) {
            held.retain(|place| !which(place));
        }
    }
}

/// Whether it was done; if not, it is tried again.
fn with(
    names: &Names,
    places: &[Place],
    act: impl FnOnce(&TopicPartitionList) -> rdkafka::error::KafkaResult<()>,
) -> bool {
    if places.is_empty() {
        return false;
    }
    let list = names.list(places.iter().map(|place| (*place, Offset::Invalid)));
    match list.and_then(|list| act(&list)) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(error = reason(&error), "cannot pause or resume fetching");
            false
        }
    }
}
