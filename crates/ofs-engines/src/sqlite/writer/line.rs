//! Whose turn it is: jobs that a client waits for go ahead of work, and one transaction takes a limited
//! time, so that nobody waits long for the next.

use super::QUEUE;
use super::job::Job;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Jobs in one transaction.
const GROUP: usize = 128;
/// How long one transaction takes up work; a job that has begun is finished.
const SLICE: Duration = Duration::from_millis(20);

/// When a job is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precedence {
    /// Before all work: a client waits for it.
    First,
    /// After what came before it.
    InLine,
    /// In the same transaction as another one, or a moment later if there is none.
    Along,
}

/// Jobs that the next transaction takes along, whatever it is for.
#[derive(Clone, Default)]
pub(super) struct Patient(Arc<Mutex<Vec<Box<dyn Job>>>>);

impl Patient {
    pub(super) fn push(&self, job: Box<dyn Job>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(job);
    }

    fn take(&self) -> Vec<Box<dyn Job>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Patient")
    }
}

/// What a transaction has taken up.
pub(super) struct Transaction {
    began: Instant,
    jobs: usize,
    works: bool,
}

impl Default for Transaction {
    fn default() -> Self {
        Self { began: Instant::now(), jobs: 0, works: false }
    }
}

/// The jobs that wait.
pub(super) struct Line {
    jobs: mpsc::Receiver<(Precedence, Box<dyn Job>)>,
    patient: Patient,
    first: VecDeque<Box<dyn Job>>,
    rest: VecDeque<Box<dyn Job>>,
}

impl Line {
    pub(super) fn new(jobs: mpsc::Receiver<(Precedence, Box<dyn Job>)>, patient: Patient) -> Self {
        Self { jobs, patient, first: VecDeque::new(), rest: VecDeque::new() }
    }

    /// Waits for a job, and takes the patient ones along; `false` once there will be none any more.
    pub(super) fn wait(&mut self) -> bool {
        if self.first.is_empty() && self.rest.is_empty() {
            match self.jobs.blocking_recv() {
                Some(job) => self.line_up(job),
                None => {
                    self.rest.extend(self.patient.take());
                    return !self.rest.is_empty();
                }
            }
        }
        self.rest.extend(self.patient.take());
        true
    }

    /// The next job of `transaction`: what clients wait for, then work while there is time; but at least one
    /// job of work, so that clients never bring it to a stop.
    pub(super) fn next(&mut self, transaction: &mut Transaction) -> Option<Box<dyn Job>> {
        while self.first.len() + self.rest.len() < QUEUE
            && let Ok(job) = self.jobs.try_recv()
        {
            self.line_up(job);
        }
        let left = GROUP.saturating_sub(transaction.jobs);
        if left == 0 {
            return None;
        }
        transaction.jobs += 1;
        if left > 1 || transaction.works || self.rest.is_empty() {
            let job = self.first.pop_front();
            if job.is_some() || transaction.works && transaction.began.elapsed() >= SLICE {
                return job;
            }
        }
        transaction.works = true;
        self.rest.pop_front()
    }

    /// Everyone who waits, to be told that it cannot be done.
    pub(super) fn all(&mut self) -> Vec<Box<dyn Job>> {
        self.first.drain(..).chain(self.rest.drain(..)).collect()
    }

    fn line_up(&mut self, (precedence, job): (Precedence, Box<dyn Job>)) {
        match precedence {
            Precedence::First => self.first.push_back(job),
            Precedence::InLine | Precedence::Along => self.rest.push_back(job),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::job::queued;
    use super::*;
    use crate::sqlite::Abort;
    use rusqlite::Connection;

    struct Waiting {
        line: Line,
        jobs: mpsc::Sender<(Precedence, Box<dyn Job>)>,
        done: Arc<Mutex<Vec<u32>>>,
        connection: Connection,
    }

    fn waiting(given: impl IntoIterator<Item = (Precedence, u32)>) -> Waiting {
        let (jobs, queue) = mpsc::channel(1024);
        let line = Line::new(queue, Patient::default());
        let connection = Connection::open_in_memory().expect("a connection");
        let waiting = Waiting { line, jobs, done: Arc::default(), connection };
        for (precedence, number) in given {
            waiting.send(precedence, number);
        }
        waiting
    }

    impl Waiting {
        fn send(&self, precedence: Precedence, number: u32) {
            let done = Arc::clone(&self.done);
            let job = move |_: &Connection| {
                done.lock().expect("done").push(number);
                Ok::<_, Abort<()>>(())
            };
            self.jobs.try_send((precedence, queued(job, |_| ()))).expect("room");
        }

        /// What is done in a transaction that began so long ago.
        fn transaction(&mut self, ago: Duration) -> Vec<u32> {
            let began = Instant::now().checked_sub(ago).expect("a time");
            let mut transaction = Transaction { began, ..Transaction::default() };
            while let Some(mut job) = self.line.next(&mut transaction) {
                job.run(&self.connection);
            }
            std::mem::take(&mut *self.done.lock().expect("done"))
        }
    }

    #[test]
    fn clients_go_first_and_work_goes_on_while_there_is_time() {
        use Precedence::{Along, First, InLine};
        let mixed = [(InLine, 1), (First, 2), (Along, 3), (First, 4)];
        assert_eq!(waiting(mixed).transaction(Duration::ZERO), [2, 4, 1, 3]);
        let mut late = waiting(mixed);
        assert_eq!(late.transaction(SLICE), [2, 4, 1], "one job of work, and no more");
        late.send(First, 5);
        assert_eq!(late.transaction(SLICE), [5, 3]);
        assert_eq!(late.transaction(Duration::ZERO), [0; 0]);
    }

    #[test]
    fn many_clients_do_not_bring_work_to_a_stop() {
        let clients = (1..=200).map(|number| (Precedence::First, number));
        let mut many = waiting([(Precedence::InLine, 0)].into_iter().chain(clients));
        let first = many.transaction(SLICE);
        assert_eq!((first.len(), first.last()), (GROUP, Some(&0)));
        assert_eq!(many.transaction(SLICE).len(), 201 - GROUP);
    }
}
