//! The simulated gateway's ledger: a file with one JSON line per charge, shared by all processes.
//!
//! It outlives kills, as a real gateway outlives us, so it proves that no order was charged twice.

use crate::gateway::{IdempotencyKey, Verdict};
use ofs_events::OrderId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Serialize, Deserialize)]
struct Line {
    key: IdempotencyKey,
    order: OrderId,
    verdict: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

struct Book {
    file: File,
    /// Everything before this offset is read, complete lines all.
    read: u64,
    verdicts: HashMap<IdempotencyKey, Verdict>,
}

/// The open ledger.
pub struct Ledger {
    book: Mutex<Book>,
    /// A second handle for fsync, and the offset up to which the file is durable.
    durable: Mutex<(File, u64)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// Opens the ledger at `path`, or begins it; reads what is there.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let durable = Mutex::new((file.try_clone()?, 0));
        let book = Mutex::new(Book { file, read: 0, verdicts: HashMap::new() });
        let ledger = Self { book, durable };
        lock(&ledger.book).locked(Book::catch_up)?;
        Ok(ledger)
    }

    /// The verdict under `key`, by whatever process it was written.
    pub fn find(&self, key: &IdempotencyKey) -> io::Result<Option<Verdict>> {
        let mut book = lock(&self.book);
        if !book.verdicts.contains_key(key) {
            book.locked(Book::catch_up)?;
        }
        Ok(book.verdicts.get(key).cloned())
    }

    /// Writes the verdict under `key` unless there is one; answers the one that stands, durably.
    pub fn charge(
        &self,
        key: &IdempotencyKey,
        order: OrderId,
        verdict: &Verdict,
    ) -> io::Result<Verdict> {
        let (verdict, end) = {
            let mut book = lock(&self.book);
            let verdict = book.locked(|book| {
                book.catch_up()?;
                book.append(key, order, verdict)
            })?;
            (verdict, book.read)
        };
        // One fsync serves every charge that was written while the one before was running.
        let mut durable = lock(&self.durable);
        if durable.1 < end {
            let end = lock(&self.book).read;
            durable.0.sync_data()?;
            durable.1 = end;
        }
        Ok(verdict)
    }
}

impl Book {
    /// Runs `work` while no other process may write.
    fn locked<T>(&mut self, work: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        self.file.lock()?;
        let done = work(self);
        self.file.unlock()?;
        done
    }

    /// Reads what was appended since the last time; cuts off a line that a kill left unfinished.
    fn catch_up(&mut self) -> io::Result<()> {
        let mut added = Vec::new();
        self.file.seek(SeekFrom::Start(self.read))?;
        self.file.read_to_end(&mut added)?;
        let complete = added.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in added[..complete].split(|byte| *byte == b'\n') {
            if let Ok(line) = serde_json::from_slice::<Line>(line) {
                self.verdicts.insert(line.key.clone(), line.into_verdict());
            }
        }
        self.read += complete as u64;
        if complete < added.len() {
            self.file.set_len(self.read)?;
        }
        Ok(())
    }

    fn append(
        &mut self,
        key: &IdempotencyKey,
        order: OrderId,
        verdict: &Verdict,
    ) -> io::Result<Verdict> {
        if let Some(known) = self.verdicts.get(key) {
            return Ok(known.clone());
        }
        let mut line = serde_json::to_vec(&Line::new(key, order, verdict))?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.read += line.len() as u64;
        self.verdicts.insert(key.clone(), verdict.clone());
        Ok(verdict.clone())
    }
}

impl Line {
    fn new(key: &IdempotencyKey, order: OrderId, verdict: &Verdict) -> Self {
        let (verdict, reason) = match verdict {
            Verdict::Authorized => ("authorized", None),
            Verdict::Declined { reason } => ("declined", Some(reason.clone())),
        };
        Line { key: key.clone(), order, verdict: verdict.to_owned(), reason }
    }

    fn into_verdict(self) -> Verdict {
        match self.verdict.as_str() {
            "authorized" => Verdict::Authorized,
            _ => Verdict::Declined { reason: self.reason.unwrap_or_default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn order(number: u128) -> (IdempotencyKey, OrderId) {
        let order = OrderId(Uuid::from_u128(number));
        (IdempotencyKey::authorize(order), order)
    }

    fn lines(path: &Path) -> usize {
        std::fs::read_to_string(path).expect("ledger").lines().count()
    }

    #[test]
    fn a_key_is_charged_once_across_processes() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("ledger");
        let (one, other) = (Ledger::open(&path).expect("open"), Ledger::open(&path).expect("open"));
        let (key, order) = order(1);
        let declined = Verdict::Declined { reason: "no".to_owned() };
        assert_eq!(one.find(&key).expect("find"), None);
        assert_eq!(one.charge(&key, order, &declined).expect("charge"), declined);
        assert_eq!(other.find(&key).expect("find"), Some(declined.clone()));
        assert_eq!(other.charge(&key, order, &Verdict::Authorized).expect("charge"), declined);
        let later = Ledger::open(&path).expect("open");
        assert_eq!(later.charge(&key, order, &Verdict::Authorized).expect("charge"), declined);
        assert_eq!(lines(&path), 1);
    }

    #[test]
    fn a_line_torn_by_a_kill_never_counts() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("ledger");
        let (first, order_1) = order(1);
        let ledger = Ledger::open(&path).expect("open");
        ledger.charge(&first, order_1, &Verdict::Authorized).expect("charge");
        let (second, order_2) = order(2);
        let torn = serde_json::to_vec(&Line::new(&second, order_2, &Verdict::Authorized));
        let torn = torn.expect("json");
        let mut file = OpenOptions::new().append(true).open(&path).expect("open");
        file.write_all(&torn[..torn.len() - 2]).expect("write");
        let ledger = Ledger::open(&path).expect("open");
        assert_eq!(ledger.find(&second).expect("find"), None);
        ledger.charge(&second, order_2, &Verdict::Authorized).expect("charge");
        let ledger = Ledger::open(&path).expect("open");
        assert_eq!(ledger.find(&first).expect("find"), Some(Verdict::Authorized));
        assert_eq!(ledger.find(&second).expect("find"), Some(Verdict::Authorized));
        assert_eq!(lines(&path), 2);
    }
}
