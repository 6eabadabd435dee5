//! A worker's rounds: groups that are loaded, decided and committed together, and how many at once.

use super::{Late, Worker};
use crate::budget::BATCHES;
use crate::window::KeyBatch;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use std::collections::VecDeque;

/// What a round came to.
#[derive(Default)]
pub(super) struct Round {
    /// What is committed.
    pub done: Vec<KeyBatch>,
    /// Decisions that took longer than it.
    pub late: Vec<Late>,
    /// What has to be loaded apart: all of it together was too much.
    pub left: Vec<KeyBatch>,
}

/// What ended.
enum Ended {
    Round(Round),
    Late(Vec<KeyBatch>),
}

/// The rounds of one session. A late decision holds up no round.
pub(super) struct Rounds {
    worker: Worker,
    running: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// Of those running, the rounds.
    rounds: usize,
    waiting: VecDeque<Vec<KeyBatch>>,
}

impl Rounds {
    pub fn new(worker: &Worker) -> Self {
        let (running, waiting) = (FuturesUnordered::new(), VecDeque::new());
        Self { worker: worker.clone(), running, rounds: 0, waiting }
    }

    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Whether a round would run at once. While none would, records gather in the log, and the next round
    /// is larger for that.
    pub fn has_room(&self) -> bool {
        self.rounds < BATCHES
    }

    /// Has a round of `groups` run, now or when there is room.
    pub fn start(&mut self, groups: Vec<KeyBatch>) {
        if !groups.is_empty() {
            self.waiting.push_back(groups);
        }
        while self.has_room()
            && let Some(groups) = self.waiting.pop_front()
        {
            self.rounds += 1;
            self.running.push(self.worker.clone().round(groups).map(Ended::Round).boxed());
        }
    }

    /// The groups that are done next; none if nothing is running.
    pub async fn next(&mut self) -> Option<Vec<KeyBatch>> {
        let Round { done, late, left } = match self.running.next().await? {
            Ended::Late(done) => return Some(done),
            Ended::Round(round) => round,
        };
        self.rounds -= 1;
        // So many records fitted; the next ones are as large.
        let fitted = (done.len() + late.len()).max(1);
        for late in late {
            self.running.push(self.worker.clone().late(late).map(Ended::Late).boxed());
        }
        let mut left = left.into_iter().peekable();
        while left.peek().is_some() {
            self.waiting.push_back(left.by_ref().take(fitted).collect());
        }
        self.start(Vec::new());
        Some(done)
    }
}
