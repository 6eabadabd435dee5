//! The writer: gathers commits that wait into groups, one transaction each, and answers when they
//! are durable. A commit once handed in is written even if its caller is gone.

use super::session::{Failure, Sessions};
use super::write;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use ofs_events::Key;
use ofs_runtime::budget::{Room, Share, Weight};
use ofs_runtime::store::{Commit, Error, Settled};
use ofs_runtime::task;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Commits waiting for the writer before callers wait in line.
const QUEUE: usize = 1_024;
/// Groups written at the same time, each on a connection of its own.
pub(super) const WRITERS: usize = 3;
/// Commits in one group.
const COMMITS: usize = 128;
/// Rows in a group, beyond which nothing is added to it.
const ROWS: usize = 1_024;

struct Job {
    commit: Commit,
    answer: oneshot::Sender<Result<(), Error>>,
    /// Of the room that commits have until they are answered.
    _share: Share,
}

/// Where commits are handed in.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    room: Room,
}

impl Writer {
    /// Writes with `sessions`, until the writer is dropped and all that was handed in is answered.
    pub(super) fn start(sessions: Sessions) -> Writer {
        let (queue, jobs) = mpsc::channel(QUEUE);
        tokio::spawn(task::guard("postgres-writer", run(Arc::new(sessions), jobs)));
        Writer { queue, room: Room::default() }
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<(), Error> {
        write::check(&commit)?;
        let closed = |_| Error::Unavailable("the store is closed".to_owned());
        let share = self.room.take(commit.weight()).await;
        let (answer, answered) = oneshot::channel();
        self.queue.send(Job { commit, answer, _share: share }).await.map_err(|_| closed(()))?;
        answered.await.map_err(|_| closed(()))?
    }
}

async fn run(sessions: Arc<Sessions>, mut jobs: mpsc::Receiver<Job>) {
    let mut waiting: VecDeque<Job> = VecDeque::new();
    let mut writing = FuturesUnordered::new();
    let mut open = true;
    loop {
        while waiting.len() < QUEUE
            && let Ok(job) = jobs.try_recv()
        {
            waiting.push_back(job);
        }
        if !waiting.is_empty() && writing.len() < WRITERS {
            let (sessions, group) = (Arc::clone(&sessions), gather(&mut waiting));
            writing.push(tokio::spawn(async move { settle(&sessions, group).await }));
            continue;
        }
        tokio::select! {
            job = jobs.recv(), if open && waiting.len() < QUEUE => match job {
                Some(job) => waiting.push_back(job),
                None => open = false,
            },
            Some(_) = writing.next() => {}
            else => return,
        }
    }
}

/// Takes the next commits of one owner that do not touch the same rows; the others go on waiting.
fn gather(waiting: &mut VecDeque<Job>) -> Vec<Job> {
    let (mut group, mut rows): (Vec<Job>, usize) = (Vec::new(), 0);
    let mut taken = HashSet::new();
    let mut left = VecDeque::with_capacity(waiting.len());
    while let Some(job) = waiting.pop_front() {
        let same = group.first().is_none_or(|first| first.commit.owner == job.commit.owner);
        if !same || group.len() >= COMMITS || rows >= ROWS {
            left.push_back(job);
            continue;
        }
        let claims = claims(&job.commit);
        if claims.iter().any(|claim| taken.contains(claim)) {
            left.push_back(job);
            continue;
        }
        taken.extend(claims);
        rows += weight(&job.commit);
        group.push(job);
    }
    *waiting = left;
    group
}

/// What only one commit of a group may touch: within a group nobody sees what the others write.
#[derive(PartialEq, Eq, Hash)]
enum Claim {
    Record(Key),
    Sent(u64),
    Indexed(Key),
    Parked(u64),
    Once(String),
    Deadlines(Key),
}

fn claims(commit: &Commit) -> Vec<Claim> {
    let records = commit.records.iter().map(|record| Claim::Record(record.key));
    let guards = commit.guards.iter().map(|guard| Claim::Record(guard.key));
    let settled = commit.settled.iter().map(|settled| match settled {
        Settled::Sent(id) => Claim::Sent(*id),
        Settled::Indexed { key, .. } | Settled::Refused { key, .. } => Claim::Indexed(*key),
        Settled::Resolved(id) | Settled::Discarded(id, _) | Settled::Deferred { id, .. } => {
            Claim::Parked(*id)
        }
        Settled::Passed { key, .. } => Claim::Deadlines(*key),
    });
    let deadlines = commit.deadlines.iter().map(|deadline| Claim::Deadlines(deadline.key));
    let once = commit.once.iter().map(|once| Claim::Once(once.key.clone()));
    records.chain(guards).chain(settled).chain(deadlines).chain(once).collect()
}

fn weight(commit: &Commit) -> usize {
    let Commit { seen, records, outgoing, parked, settled, index, again, deadlines, .. } = commit;
    let rows = [seen.len(), records.len(), outgoing.len(), parked.len(), settled.len()];
    1 + rows.iter().sum::<usize>() + index.len() + again.len() + deadlines.len()
}

/// Writes a group. Whoever is at fault is answered and left out; if it cannot be told who, the halves
/// are written apart, until it is alone.
async fn settle(sessions: &Sessions, group: Vec<Job>) {
    let mut todo = vec![group];
    while let Some(mut group) = todo.pop() {
        match write(sessions, &group).await {
            Ok(()) => answer(group, &Ok(())),
            Err(Failure::Conflict(error, guilty)) if !guilty.is_empty() => {
                let guilty: HashSet<usize> = guilty.into_iter().collect();
                let (mut at_fault, mut others) = (Vec::new(), Vec::new());
                for (n, job) in group.into_iter().enumerate() {
                    if guilty.contains(&n) { &mut at_fault } else { &mut others }.push(job);
                }
                answer(at_fault, &Err(error));
                if !others.is_empty() {
                    todo.push(others);
                }
            }
            Err(Failure::Conflict(..) | Failure::Refused(_)) if group.len() > 1 => {
                let half = group.split_off(group.len() / 2);
                todo.extend([half, group]);
            }
            Err(failure) => answer(group, &Err(failure.into())),
        }
    }
}

async fn write(sessions: &Sessions, group: &[Job]) -> Result<(), Failure> {
    let commits: Vec<&Commit> = group.iter().map(|job| &job.commit).collect();
    let Some(first) = commits.first() else { return Ok(()) };
    sessions.run(&write::steps(&first.owner, &commits)?).await.map(|_| ())
}

fn answer(group: Vec<Job>, result: &Result<(), Error>) {
    for job in group {
        // The caller may be gone; what was done stands.
        let _ = job.answer.send(result.clone());
    }
}
