//! What was refused at the gate, on its way to the audit trail: counted by who, whence and why, so that a
//! flood of requests becomes a few entries.

use ofs_runtime::access::{Access, Entry};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often what was refused is written.
const WRITTEN: Duration = Duration::from_secs(2);
/// How long after an entry the same is only counted.
const QUIET: Duration = Duration::from_mins(10);
/// Refusals that are told apart; all others count as one.
const MOST: usize = 256;

/// Who was refused, from where, and why.
type Cause = (String, String, String);

#[derive(Default)]
struct Count {
    /// How many are not written yet.
    times: u64,
    /// What was asked first among them.
    asked: String,
    written: Option<Instant>,
}

/// Refusals of one process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Refusals(Arc<Mutex<HashMap<Cause, Count>>>);

impl Refusals {
    /// `who`, `from` there, `asked` for this and was refused because of `why`.
    pub(super) fn count(&self, who: &str, from: Option<IpAddr>, asked: &str, why: &str) {
        let from = from.map_or_else(|| "unknown".to_owned(), |from| from.to_string());
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cause = (who.to_owned(), from, why.to_owned());
        if counts.len() >= MOST && !counts.contains_key(&cause) {
            let many = || "many".to_owned();
            cause = (many(), many(), "too many were refused to tell them apart".to_owned());
        }
        let count = counts.entry(cause).or_default();
        if count.times == 0 {
            asked.clone_into(&mut count.asked);
        }
        count.times += 1;
    }

    /// Writes what was refused to the audit trail, every few seconds, until `stop` and then once more.
    pub async fn run(self, access: Arc<dyn Access>, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(WRITTEN)).await.is_some() {
            self.write(&*access, false).await;
        }
        self.write(&*access, true).await;
    }

    async fn write(&self, access: &dyn Access, last: bool) {
        for (cause, asked, times) in self.due(last) {
            let (who, from, why) = &cause;
            let reason = match times {
                1 => why.clone(),
                times => format!("{why} ({times} times)"),
            };
            let entry = Entry::new("refused", who, from).with(&asked).because(&reason);
            if let Err(error) = access.note(&entry.text()).await {
                tracing::warn!(%error, "cannot note what was refused, will try again");
                let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let count = counts.entry(cause).or_default();
                count.times += times;
                count.asked = asked;
                count.written = None;
            }
        }
    }

    /// What is to be written now; with the `last`, all that is not written yet.
    fn due(&self, last: bool) -> Vec<(Cause, String, u64)> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = |count: &Count| count.written.is_some_and(|since| since.elapsed() < QUIET);
        counts.retain(|_, count| count.times > 0 || quiet(count));
        let mut due = Vec::new();
        for (cause, count) in counts.iter_mut().filter(|(_, count)| count.times > 0) {
            if last || !quiet(count) {
                due.push((cause.clone(), count.asked.clone(), std::mem::take(&mut count.times)));
                count.written = Some(Instant::now());
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_entries() {
        let refusals = Refusals::default();
        let from = |n: u8| Some(IpAddr::from([10, 0, 0, n]));
        for _ in 0..1_000 {
            refusals.count("anyone", from(1), "GET /orders", "no key");
        }
        refusals.count("anyone", from(2), "GET /keys", "no key");
        let mut due = refusals.due(false);
        due.sort_by_key(|(_, _, times)| *times);
        assert_eq!(due.len(), 2);
        assert_eq!((due[0].1.as_str(), due[0].2), ("GET /keys", 1));
        assert_eq!((due[1].1.as_str(), due[1].2), ("GET /orders", 1_000));
        refusals.count("anyone", from(1), "GET /events", "no key");
        assert!(refusals.due(false).is_empty(), "told a moment ago");
        assert_eq!(refusals.due(true)[0].2, 1, "but not lost at the end");
        for n in 0..2_000 {
            refusals.count(&format!("key {n}"), from(1), "GET /orders", "no key");
        }
        let due = refusals.due(false);
        assert!(due.len() <= MOST, "{}", due.len());
        assert_eq!(due.iter().map(|(_, _, times)| times).sum::<u64>(), 2_000);
    }
}
