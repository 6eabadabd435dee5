//! The embedded search index: one tantivy index per generation under one directory.
//!
//! `<dir>/targets/<target>/` each generation; `<dir>/active` names the one that search reads.
//! Belongs to one process at a time; the store's lock file sees to that.

mod bare;
mod generation;
mod page;
mod query;
mod schema;
mod writer;

pub use bare::bare;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use generation::{Error as Broken, Generation, file};
use ofs_events::Key;
use ofs_runtime::index::{Document, Error, Found, Index, Put, Query, Schema, Status, Target};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;
use writer::Pace;

/// The least memory tantivy's writer works with.
const LEAST_MEMORY: usize = 15_000_000;

/// How the index works.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Commits are at least this far apart; puts in between wait for the next one and share it.
    pub commit_interval: Duration,
    /// Bytes of a writer's buffer; at least 15 MB are used.
    pub memory: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { commit_interval: Duration::from_millis(200), memory: LEAST_MEMORY }
    }
}

/// The embedded search index.
pub struct TantivyIndex {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    schema: Schema,
    pace: Pace,
    /// What searches and puts see.
    targets: ArcSwap<Targets>,
    /// Held while generations come and go.
    changing: Mutex<()>,
}

#[derive(Clone, Default)]
struct Targets {
    active: Option<Active>,
    all: BTreeMap<String, Arc<Generation>>,
}

/// The content of the file `active`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Active {
    target: String,
    instance: Uuid,
}

impl TantivyIndex {
    /// Opens the index of `schema` in `dir`, making the directory if needed. Generations that cannot be
    /// read, or are of another schema, are left out, so that they are rebuilt. Blocks on the disk.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if `dir` cannot be made or listed.
    pub fn open(dir: impl Into<PathBuf>, schema: Schema, options: Options) -> Result<Self, Error> {
        let dir = dir.into();
        let pace = Pace {
            commit_interval: options.commit_interval,
            memory: options.memory.max(LEAST_MEMORY),
        };
        let targets = Targets { active: read_active(&dir), all: open_all(&dir, schema, pace)? };
        let targets = ArcSwap::from_pointee(targets);
        let shared = Shared { dir, schema, pace, targets, changing: Mutex::new(()) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Runs `work`, which blocks, where it may.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || work(&shared))
            .await
            .map_err(|error| Error::Unavailable(format!("the index panicked: {error}")))?
    }
}

#[async_trait]
impl Index for TantivyIndex {
    fn schema(&self) -> &Schema {
        &self.shared.schema
    }

    async fn put(&self, target: &Target, documents: &[Document]) -> Result<Vec<Put>, Error> {
        let generation = self.shared.generation(target)?;
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let entries = documents.iter().map(|document| generation.entry(document)).collect();
        let answered = generation.put(entries).ok_or_else(|| missing(target))?;
        answered.await.map_err(|_| Error::Unavailable("the index's writer ended".to_owned()))
    }

    async fn search(&self, query: &Query) -> Result<Found, Error> {
        query.check(&self.shared.schema)?;
        let query = query.clone();
        self.blocking(move |shared| shared.active()?.search(&query)).await
    }

    async fn scan(
        &self,
        target: &Target,
        after: Option<Key>,
        max: usize,
    ) -> Result<Vec<Document>, Error> {
        let target = target.clone();
        self.blocking(move |shared| shared.generation(&target)?.scan(after, max)).await
    }

    async fn engine(&self) -> Option<String> {
        // "tantivy v0.27.0, index_format v7"
        let version = tantivy::version_string().split(',').next()?;
        Some(version.replace(" v", " "))
    }

    async fn status(&self) -> Result<Status, Error> {
        self.blocking(|shared| Ok(shared.targets.load().status())).await
    }

    async fn begin(&self, target: &Target, instance: Uuid) -> Result<(), Error> {
        let target = target.clone();
        self.blocking(move |shared| shared.begin(&target, instance)).await
    }

    async fn finish(&self, target: &Target) -> Result<(), Error> {
        let target = target.clone();
        self.blocking(move |shared| shared.finish(&target)).await
    }
}

impl Targets {
    fn active(&self) -> Option<Arc<Generation>> {
        let active = self.active.as_ref()?;
        self.all.get(&active.target).filter(|generation| generation.is_there()).cloned()
    }

    fn status(&self) -> Status {
        let there: Vec<_> =
            self.all.iter().filter(|(_, generation)| generation.is_there()).collect();
        let active = self.active();
        let first = there.first().map(|(_, generation)| generation.instance);
        Status {
            instance: self.active.as_ref().map(|active| active.instance).or(first),
            active: self
                .active
                .as_ref()
                .filter(|_| active.is_some())
                .map(|active| Target(active.target.clone())),
            targets: there.iter().map(|(name, _)| Target((*name).clone())).collect(),
            documents: active.map_or(0, |generation| generation.documents()),
        }
    }
}

impl Shared {
    fn generation(&self, target: &Target) -> Result<Arc<Generation>, Error> {
        let targets = self.targets.load();
        let found = targets.all.get(&target.0).filter(|generation| generation.is_there());
        found.cloned().ok_or_else(|| missing(target))
    }

    /// The generation that search reads. One that was swapped away is removed at once, so if it is
    /// gone the list is looked at again.
    fn active(&self) -> Result<Arc<Generation>, Error> {
        loop {
            let targets = self.targets.load_full();
            if let Some(active) = targets.active() {
                return Ok(active);
            }
            if Arc::ptr_eq(&targets, &self.targets.load()) {
                return Err(Error::Missing("no generation is active".to_owned()));
            }
        }
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl Fn(&mut Targets)) {
        self.targets.rcu(|targets| {
            let mut targets = Targets::clone(targets);
            change(&mut targets);
            targets
        });
    }

    fn begin(&self, target: &Target, instance: Uuid) -> Result<(), Error> {
        let _changing = self.changing();
        check_name(&target.0)?;
        if self.generation(target).is_ok_and(|found| found.instance == instance) {
            return Ok(());
        }
        // What stands there under this name is unreadable or belongs to another store.
        let active = self.targets.load().active.clone();
        if active.is_some_and(|active| active.target == target.0) {
            self.change(|targets| targets.active = None);
            let path = self.dir.join("active");
            let removed = fs::remove_file(&path).or_else(gone_is_fine);
            file("remove", &path, removed).map_err(unavailable)?;
        }
        self.remove(&target.0)?;
        self.make(&target.0, instance).map_err(unavailable)
    }

    /// Makes the generation under another name first, so that it is whole or not there.
    fn make(&self, name: &str, instance: Uuid) -> Result<(), Broken> {
        let all = self.dir.join("targets");
        let (path, new) = (all.join(name), all.join(format!(".new-{name}")));
        file("clear", &new, fs::remove_dir_all(&new).or_else(gone_is_fine))?;
        Generation::create(&new, self.schema, instance)?;
        file("name", &path, fs::rename(&new, &path))?;
        file("sync", &all, sync(&all))?;
        let made = Arc::new(Generation::open(&path, self.schema, self.pace)?);
        self.change(|targets| {
            targets.all.insert(name.to_owned(), Arc::clone(&made));
        });
        Ok(())
    }

    fn finish(&self, target: &Target) -> Result<(), Error> {
        let _changing = self.changing();
        let instance = self.generation(target)?.instance;
        let active = Active { target: target.0.clone(), instance };
        let path = self.dir.join("active");
        let content = serde_json::to_vec(&active).unwrap_or_default();
        file("write", &path, write_durably(&path, &content)).map_err(unavailable)?;
        self.change(|targets| targets.active = Some(active.clone()));
        let others: Vec<String> =
            self.targets.load().all.keys().filter(|name| **name != target.0).cloned().collect();
        others.iter().try_for_each(|name| self.remove(name))?;
        // Unreadable generations are in no list, but on the disk.
        for name in names(&self.dir).map_err(unavailable)? {
            if name != target.0 {
                self.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Removes a generation. Searches that still run on it keep its files open.
    fn remove(&self, name: &str) -> Result<(), Error> {
        let old = self.targets.load().all.get(name).cloned();
        self.change(|targets| {
            targets.all.remove(name);
        });
        if let Some(old) = old {
            old.close();
        }
        let all = self.dir.join("targets");
        let (path, old) = (all.join(name), all.join(format!(".old-{name}")));
        let removed = fs::remove_dir_all(&old)
            .or_else(gone_is_fine)
            // Half a directory must not be taken for a generation.
            .and_then(|()| fs::rename(&path, &old))
            .and_then(|()| fs::remove_dir_all(&old))
            .or_else(gone_is_fine);
        file("remove", &path, removed).map_err(unavailable)
    }
}

/// Reads which generation is active; a file that says nothing readable says none.
fn read_active(dir: &Path) -> Option<Active> {
    let text = fs::read(dir.join("active")).ok()?;
    serde_json::from_slice(&text)
        .inspect_err(
            |error| tracing::warn!(%error, "the index does not know its active generation"),
        )
        .ok()
}

fn open_all(
    dir: &Path,
    schema: Schema,
    pace: Pace,
) -> Result<BTreeMap<String, Arc<Generation>>, Error> {
    let all = dir.join("targets");
    let made = fs::create_dir_all(&all).and_then(|()| sync(dir));
    file("make", &all, made).map_err(unavailable)?;
    let mut open = BTreeMap::new();
    for name in names(dir).map_err(unavailable)? {
        let path = all.join(&name);
        if name.starts_with('.') {
            // Half made or half removed when the process died.
            file("clear", &path, fs::remove_dir_all(&path)).map_err(unavailable)?;
            continue;
        }
        match Generation::open(&path, schema, pace) {
            Ok(generation) => {
                open.insert(name, Arc::new(generation));
            }
            Err(error) => tracing::warn!(%error, "a generation of the index needs a rebuild"),
        }
    }
    Ok(open)
}

/// The names of all directories of generations.
fn names(dir: &Path) -> Result<Vec<String>, Broken> {
    let all = dir.join("targets");
    let list = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&all)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.extend(entry.file_name().into_string().ok());
            }
        }
        Ok(names)
    };
    file("list", &all, list())
}

/// A target's name becomes the name of a directory.
fn check_name(name: &str) -> Result<(), Error> {
    let fits = !name.is_empty()
        && name.len() <= 100
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if fits {
        Ok(())
    } else {
        Err(Error::Unavailable(format!("`{name}` is not a valid name for a target")))
    }
}

/// Replaces the file `path` by one with `content`: the old or the new one, whenever the power fails.
fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut written = File::create(&new)?;
    written.write_all(content)?;
    written.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), sync)
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn gone_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn missing(target: &Target) -> Error {
    Error::Missing(format!("there is no generation `{}`", target.0))
}

fn unavailable(error: impl std::fmt::Display) -> Error {
    Error::Unavailable(error.to_string())
}
