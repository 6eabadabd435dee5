//! The one writer of a generation: its own thread, group commit, versions checked before writing.
//!
//! An answer leaves only after the commit that holds it; a failed commit claims nothing.

use super::schema::{Entry, Fields, VERSION};
use ofs_events::Key;
use ofs_runtime::index::Put;
use ofs_runtime::{crash, task};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tantivy::columnar::Column;
use tantivy::indexer::IndexWriterOptions;
use tantivy::schema::IndexRecordOption;
use tantivy::{
    Directory, DocSet, Index, IndexReader, IndexWriter, InvertedIndexReader, Searcher, TERMINATED,
};
use tantivy::{TantivyError, Term};
use tokio::sync::oneshot;

/// Puts that may wait for the writer at once.
const QUEUE: usize = 256;
/// Documents after which a commit does not wait for its time.
const GROUP: usize = 1_000;

/// Documents to be written, and where the answer goes. A document the schema cannot take comes as
/// the reason why.
pub(super) struct Job {
    pub(super) entries: Vec<Result<Entry, String>>,
    pub(super) answer: oneshot::Sender<Vec<Put>>,
}

/// How the writer works.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Commits are at least this far apart.
    pub(super) commit_interval: Duration,
    /// Bytes of its buffer.
    pub(super) memory: usize,
}

/// Starts the writer's thread. It ends when the sender is dropped.
pub(super) fn start(
    name: &str,
    index: Index,
    reader: IndexReader,
    fields: Fields,
    pace: Pace,
) -> std::io::Result<(SyncSender<Job>, JoinHandle<()>)> {
    let (sender, jobs) = sync_channel(QUEUE);
    let writer = Writer {
        index,
        reader,
        fields,
        pace,
        open: None,
        fresh: HashMap::new(),
        committed_at: None,
    };
    let thread = std::thread::Builder::new()
        .name(format!("index {name}"))
        .spawn(move || task::guard_thread(NAME, || writer.run(&jobs)))?;
    Ok((sender, thread))
}

/// The name of the task in which a generation is written.
const NAME: &str = "index-writer";

struct Writer {
    index: Index,
    reader: IndexReader,
    fields: Fields,
    pace: Pace,
    /// None before the first put and after a failure; opened again by the next put.
    open: Option<Open>,
    /// Versions written that `open.committed` does not see yet.
    fresh: HashMap<Key, u64>,
    committed_at: Option<Instant>,
}

struct Open {
    writer: IndexWriter,
    committed: Committed,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            crash::task(NAME);
            self.round(job, jobs);
        }
    }

    /// Takes `job` and what comes until the next commit is due, commits, answers.
    fn round(&mut self, job: Job, jobs: &Receiver<Job>) {
        let due = self.committed_at.map(|at| at + self.pace.commit_interval);
        let mut waiting = Vec::new();
        let mut documents = 0;
        let mut next = Some(job);
        let mut outcome = Ok(());
        while let Some(job) = next {
            let size = job.entries.len();
            documents += size;
            let puts = guarded(|| self.accept(job.entries)).unwrap_or_else(|error| {
                outcome = Err(error);
                vec![Put::Later(String::new()); size]
            });
            waiting.push((puts, job.answer));
            if outcome.is_err() {
                break;
            }
            let left = due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now()));
            next = if documents >= GROUP {
                None
            } else if left.is_zero() {
                jobs.try_recv().ok()
            } else {
                jobs.recv_timeout(left).ok()
            };
        }
        let outcome = outcome.and_then(|()| guarded(|| self.commit()));
        if let Err(error) = &outcome {
            tracing::warn!(%error, "failed to write to the index; the writer is opened again");
            self.abandon();
        }
        for (puts, answer) in waiting {
            // The receiver is gone if the put was cancelled.
            let _ = answer.send(answers(puts, outcome.as_ref().err()));
        }
    }

    /// Hands what is newer than known to tantivy. The answers hold once the next commit succeeds.
    fn accept(&mut self, entries: Vec<Result<Entry, String>>) -> Result<Vec<Put>, TantivyError> {
        let open = match &mut self.open {
            Some(open) => open,
            closed => {
                closed.insert(Open::new(&self.index, &self.reader, &self.fields, self.pace.memory)?)
            }
        };
        let mut puts = Vec::with_capacity(entries.len());
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(reason) => {
                    puts.push(Put::Refused(reason));
                    continue;
                }
            };
            let term = self.fields.id_term(entry.id);
            let known = match self.fresh.get(&entry.id) {
                Some(version) => Some(*version),
                None => open.committed.version(&term)?,
            };
            if known.is_some_and(|known| known >= entry.version) {
                puts.push(Put::Newer);
                continue;
            }
            if known.is_some() {
                open.writer.delete_term(term);
            }
            open.writer.add_document(entry.content)?;
            self.fresh.insert(entry.id, entry.version);
            puts.push(Put::Stored);
        }
        Ok(puts)
    }

    /// Makes everything accepted durable, then visible.
    fn commit(&mut self) -> Result<(), TantivyError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if self.fresh.is_empty() {
            return Ok(());
        }
        commit(&mut open.writer, &self.index)?;
        self.reader.reload()?;
        open.committed = Committed::new(&self.reader, &self.fields)?;
        self.fresh.clear();
        self.committed_at = Some(now());
        Ok(())
    }

    /// Back to the last commit: tantivy's writer is of no use after an error.
    fn abandon(&mut self) {
        let open = self.open.take();
        self.fresh.clear();
        let closed = guarded(|| {
            drop(open);
            Ok(())
        });
        if closed.is_err() {
            tracing::warn!("failed to close the index writer");
        }
    }
}

impl Open {
    fn new(
        index: &Index,
        reader: &IndexReader,
        fields: &Fields,
        memory: usize,
    ) -> Result<Self, TantivyError> {
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(memory)
            .build();
        let mut writer = index.writer_with_options(options)?;
        // The last commit may be one whose outcome was never known: it can be read, but
        // may not have reached the disk. Commit it again before its versions are trusted.
        commit(&mut writer, index)?;
        reader.reload()?;
        let committed = Committed::new(reader, fields)?;
        Ok(Self { writer, committed })
    }
}

/// Commits durably. tantivy renames its list of segments into place last and leaves it at that; the
/// name must reach the disk, too.
fn commit(writer: &mut IndexWriter, index: &Index) -> Result<(), TantivyError> {
    writer.commit()?;
    index.directory().sync_directory()?;
    Ok(())
}

/// What the last commit holds.
struct Committed {
    searcher: Searcher,
    segments: Vec<(Arc<InvertedIndexReader>, Column<u64>)>,
}

impl Committed {
    fn new(reader: &IndexReader, fields: &Fields) -> Result<Self, TantivyError> {
        let searcher = reader.searcher();
        let segments = searcher
            .segment_readers()
            .iter()
            .map(|segment| {
                Ok((segment.inverted_index(fields.id)?, segment.fast_fields().u64(VERSION)?))
            })
            .collect::<Result<_, TantivyError>>()?;
        Ok(Self { searcher, segments })
    }

    /// The version of the document with this id term.
    fn version(&self, id: &Term) -> Result<Option<u64>, TantivyError> {
        for (segment, (ids, versions)) in self.searcher.segment_readers().iter().zip(&self.segments)
        {
            let Some(mut found) = ids.read_postings(id, IndexRecordOption::Basic)? else {
                continue;
            };
            while found.doc() != TERMINATED {
                if !segment.is_deleted(found.doc()) {
                    return Ok(versions.first(found.doc()));
                }
                found.advance();
            }
        }
        Ok(None)
    }
}

fn answers(puts: Vec<Put>, error: Option<&TantivyError>) -> Vec<Put> {
    let Some(error) = error else { return puts };
    puts.into_iter()
        .map(|put| match put {
            Put::Refused(reason) => Put::Refused(reason),
            // `Newer` may rest on a version of the same, failed commit.
            Put::Stored | Put::Newer | Put::Later(_) => Put::Later(error.to_string()),
        })
        .collect()
}

fn now() -> Instant {
    Instant::now()
}

/// Runs `work`; a panic inside tantivy becomes an error instead of the end of the
/// thread: it meets some damaged files with arithmetic that overflows.
pub(super) fn guarded<T>(
    work: impl FnOnce() -> Result<T, TantivyError>,
) -> Result<T, TantivyError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(TantivyError::InternalError("tantivy panicked".to_owned())))
}
