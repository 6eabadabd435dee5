//! One generation: a directory with a tantivy index, its reader, and its writer's thread.
//!
//! Does not know which generation is active.

use super::query;
use super::schema::{Entry, Fields};
use super::writer::{self, Job, Pace};
use crate::index::searchable::LAYOUT;
use ofs_events::Key;
use ofs_runtime::index::{self, Document, Found, Put, Query, Schema};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use tantivy::directory::MmapDirectory;
use tantivy::{Index, IndexReader, ReloadPolicy, TantivyError};
use tokio::sync::oneshot;
use uuid::Uuid;

/// Tells which store a generation was made for.
const INSTANCE: &str = "instance";
/// Tells how its documents are indexed, and by which schema; the first generations did not have it.
const LAID_OUT: &str = "layout";
/// tantivy's list of segments; without it the index does not exist.
const META: &str = "meta.json";
/// Blocks of stored documents kept unpacked for a searcher.
const CACHED_BLOCKS: usize = 32;

/// Why a generation cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// A file operation.
    #[error("cannot {doing} {path}: {source}")]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    /// The file that names its store.
    #[error("cannot use {0}: it does not hold the id of a store")]
    Instance(PathBuf),
    /// It was made by another version of this program, or of a schema.
    #[error("cannot open {0}: its documents were indexed in another way")]
    Layout(PathBuf),
    /// Anything inside tantivy.
    #[error(transparent)]
    Engine(#[from] TantivyError),
}

/// Names what was done to which file when it failed.
pub(super) fn file<T>(doing: &'static str, path: &Path, done: io::Result<T>) -> Result<T, Error> {
    done.map_err(|source| Error::File { doing, path: path.to_owned(), source })
}

/// One generation of the index, open.
pub(super) struct Generation {
    path: PathBuf,
    /// The store it was made for.
    pub(super) instance: Uuid,
    fields: Fields,
    reader: IndexReader,
    /// Set once something that was read made no sense.
    rotten: AtomicBool,
    /// None once closed.
    jobs: Mutex<Option<(SyncSender<Job>, JoinHandle<()>)>>,
}

impl Generation {
    /// Makes an empty generation in the new directory `path`, durable when this returns. The caller
    /// makes the directory's own name durable.
    pub(super) fn create(path: &Path, schema: Schema, instance: Uuid) -> Result<(), Error> {
        file("make", path, fs::create_dir_all(path))?;
        Index::create_in_dir(path, Fields::new(schema).columns)?;
        for (name, text) in [(LAID_OUT, layout(&schema)), (INSTANCE, instance.to_string())] {
            let name = path.join(name);
            file("write", &name, super::write_durably(&name, text.as_bytes()))?;
        }
        Ok(())
    }

    /// Opens what is in `path`, if it is of `schema`.
    pub(super) fn open(path: &Path, schema: Schema, pace: Pace) -> Result<Self, Error> {
        let name = path.join(INSTANCE);
        let instance = file("read", &name, fs::read_to_string(&name))?;
        let instance: Uuid = instance.trim().parse().map_err(|_| Error::Instance(name))?;
        let laid_out = fs::read_to_string(path.join(LAID_OUT)).unwrap_or_default();
        if laid_out.trim() != layout(&schema) {
            return Err(Error::Layout(path.to_owned()));
        }
        let fields = Fields::new(schema);
        let (index, reader) = writer::guarded(|| {
            let directory = MmapDirectory::open(path).map_err(TantivyError::from)?;
            let index = Index::open(directory)?;
            let reader = index
                .reader_builder()
                .reload_policy(ReloadPolicy::Manual)
                .doc_store_cache_num_blocks(CACHED_BLOCKS)
                .try_into()?;
            Ok((index, reader))
        })?;
        if index.schema() != fields.columns {
            return Err(Error::Layout(path.to_owned()));
        }
        let label = path.file_name().unwrap_or_default().to_string_lossy();
        let started = writer::start(&label, index, reader.clone(), fields.clone(), pace);
        let jobs = file("start the writer of", path, started)?;
        Ok(Self {
            path: path.to_owned(),
            instance,
            fields,
            reader,
            rotten: AtomicBool::new(false),
            jobs: Mutex::new(Some(jobs)),
        })
    }

    /// Whether it can be used: its files may have rotted, or been deleted under the running program.
    pub(super) fn is_there(&self) -> bool {
        !self.rotten.load(Ordering::Relaxed) && self.path.join(META).try_exists().unwrap_or(true)
    }

    /// Takes note if `read` failed for what the files contain. They are mapped into memory, so an
    /// error that is not the system's comes from their content and will come again.
    fn noting<T>(&self, read: Result<T, TantivyError>) -> Result<T, index::Error> {
        read.map_err(|error| {
            let rotten = match &error {
                TantivyError::IoError(error) => error.raw_os_error().is_none(),
                TantivyError::DataCorruption(_) | TantivyError::DeserializeError(_) => true,
                _ => false,
            };
            if !rotten {
                return index::Error::Unavailable(error.to_string());
            }
            tracing::error!(%error, path = %self.path.display(), "a generation of the index rotted");
            self.rotten.store(true, Ordering::Relaxed);
            index::Error::Missing(format!("the generation cannot be read: {error}"))
        })
    }

    /// Documents in it.
    pub(super) fn documents(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// What the writer is to make of `document`.
    pub(super) fn entry(&self, document: &Document) -> Result<Entry, String> {
        self.fields.entry(document)
    }

    /// Hands `entries` to the writer. None if the generation is closed; the receiver fails if the
    /// writer ends before it commits.
    pub(super) fn put(
        &self,
        entries: Vec<Result<Entry, String>>,
    ) -> Option<oneshot::Receiver<Vec<Put>>> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, _) = jobs.as_ref()?;
        let (answer, answered) = oneshot::channel();
        match sender.try_send(Job { entries, answer }) {
            Ok(()) => Some(answered),
            Err(TrySendError::Full(job)) => {
                let busy = Put::Later("too many puts are waiting for the index".to_owned());
                // The receiver is in our hands, so this arrives.
                let _ = job.answer.send(vec![busy; job.entries.len()]);
                Some(answered)
            }
            Err(TrySendError::Disconnected(_)) => None,
        }
    }

    /// Searches what is committed.
    ///
    /// # Errors
    /// [`index::Error::Missing`] if it cannot be read, now and later.
    pub(super) fn search(&self, query: &Query) -> Result<Found, index::Error> {
        self.noting(query::search(&self.reader.searcher(), &self.fields, query))
    }

    /// Documents behind `after`, by ascending id.
    ///
    /// # Errors
    /// As [`Generation::search`].
    pub(super) fn scan(
        &self,
        after: Option<Key>,
        max: usize,
    ) -> Result<Vec<Document>, index::Error> {
        self.noting(query::scan(&self.reader.searcher(), &self.fields, after, max))
    }

    /// Ends the writer after what it has in hand; puts are refused from now on, searches go on.
    pub(super) fn close(&self) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((sender, thread)) = jobs {
            drop(sender);
            // It catches what panics; there is nothing to learn from its end.
            let _ = thread.join();
        }
    }
}

/// How documents of `schema` are indexed, as a generation says it.
fn layout(schema: &Schema) -> String {
    format!("{LAYOUT} {}", schema.fingerprint())
}

impl Drop for Generation {
    fn drop(&mut self) {
        // The directory may be opened again at once, which fails while the old writer holds its lock.
        self.close();
    }
}
