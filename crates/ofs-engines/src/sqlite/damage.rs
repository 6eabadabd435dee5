//! Damage: a file that is not what was written to it any more, or not there any more. Noticed once, it
//! stays: nothing is written on top of it.

use rusqlite::{Connection, OpenFlags};
use std::borrow::Cow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is known of one file's damage.
#[derive(Debug)]
pub(super) struct Damage {
    path: PathBuf,
    /// Device and inode of the file that was opened.
    opened: (u64, u64),
    found: OnceLock<String>,
    looking: AtomicBool,
}

impl Damage {
    /// Of the file at `path`, which has just been opened.
    pub fn new(path: &Path) -> std::io::Result<Damage> {
        Ok(Damage {
            path: path.to_owned(),
            opened: identity(path)?,
            found: OnceLock::new(),
            looking: AtomicBool::new(true),
        })
    }

    /// Notes that SQLite has met damage, in its words.
    pub fn note(&self, words: &str) {
        let name = self.name();
        let new = self.found.set(format!("{name} is damaged: {words}; restore a backup"));
        if new.is_ok() {
            tracing::error!(file = %self.path.display(), words, "the database is damaged");
        }
    }

    /// The damage, if there is any; looks whether the file is still in its place.
    pub fn known(&self) -> Option<String> {
        if self.found.get().is_none() && identity(&self.path).ok() != Some(self.opened) {
            let name = self.name();
            let new = self.found.set(format!(
                "{name} was removed or replaced while this process has it open; restart it"
            ));
            if new.is_ok() {
                tracing::error!(file = %self.path.display(), "the database was removed or replaced");
            }
        }
        self.found.get().cloned()
    }

    /// The file's name: what a client may know of where it is.
    fn name(&self) -> Cow<'_, str> {
        self.path.file_name().unwrap_or_default().to_string_lossy()
    }

    /// Whether the first look through the file may still be under way: it reads one snapshot for as
    /// long as it takes, and a writer that waited for it would stall everybody.
    pub fn is_looking(&self) -> bool {
        self.looking.load(Ordering::Relaxed)
    }

    /// Looks through the whole file; notes what is wrong.
    pub fn look(&self) {
        let looked = check(&self.path, "PRAGMA quick_check(1)");
        self.looking.store(false, Ordering::Relaxed);
        match looked {
            Ok(wrong) => {
                if let Some(words) = wrong.first() {
                    self.note(words);
                }
            }
            Err(error) if super::is_damage(&error) => self.note(&error.to_string()),
            Err(error) => {
                let error = super::open::words(&error);
                tracing::warn!(file = %self.path.display(), error, "cannot look for damage");
            }
        }
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Everything that is wrong with the database at `path`, in SQLite's words; nothing if it is sound.
pub(super) fn check(path: &Path, pragma: &str) -> rusqlite::Result<Vec<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let mut statement = connection.prepare(pragma)?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    let lines: Vec<String> = lines.collect::<rusqlite::Result<_>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}
