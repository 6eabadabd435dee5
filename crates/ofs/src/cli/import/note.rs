//! How far the import of a file is, in a file beside it, and the rows that were refused, in another.

use super::super::output;
use super::Settled;
use super::rows::Row;
use crate::failure::{Exit, Failure};
use anyhow::Context as _;
use ofs_events::Timestamp;
use ofs_runtime::context::Context;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// For how many seconds the server knows an idempotency key.
const KEYS_ARE_KNOWN: f64 = 72.0 * 3600.0;

/// What is noted after each request. What is not noted yet is sent again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Note {
    /// Begins the idempotency keys of all rows that bring none.
    import: Uuid,
    /// Of the file's content.
    sha256: String,
    /// Of the server and the key: the idempotency keys are good for these alone.
    target: String,
    /// When it was written.
    at: Timestamp,
    /// Rows that are accepted or refused.
    pub rows: u64,
    pub accepted: u64,
    pub refused: u64,
    /// Bytes of the refused rows' file that belong to these rows.
    refused_bytes: u64,
    done: bool,
    #[serde(skip)]
    file: PathBuf,
}

impl Note {
    /// The note beside `file`, whose content has the digest `sha256`, about its import to `target`; a new
    /// one if there is none.
    ///
    /// # Errors
    /// [`Failure`] if it is of another content or target, or says that all is done.
    pub fn open(file: &Path, sha256: &str, target: &str) -> anyhow::Result<Self> {
        let path = beside(file, "import");
        let name = path.display();
        let note = match fs::read(&path) {
            Ok(text) => {
                let note: Self =
                    serde_json::from_slice(&text).with_context(|| format!("read {name}"))?;
                Self { file: file.to_owned(), ..note }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let context = Context::new("import");
                let mut note = Self {
                    import: context.new_id(),
                    sha256: sha256.to_owned(),
                    target: target.to_owned(),
                    at: context.now(),
                    rows: 0,
                    accepted: 0,
                    refused: 0,
                    refused_bytes: 0,
                    done: false,
                    file: file.to_owned(),
                };
                note.write()?;
                note
            }
            Err(error) => return Err(error).with_context(|| format!("read {name}")),
        };
        let refuse = |what: &str| {
            let detail = format!("{} {what}; remove {name} to import all of it", file.display());
            Err(Failure::new(Exit::Conflict, detail).into())
        };
        if note.sha256 != sha256 {
            return refuse("has changed since its import began");
        }
        if note.target != target {
            return refuse("was begun on another server, or with another key");
        }
        if note.done {
            return refuse("was imported before");
        }
        if Context::new("import").now().seconds_since(note.at) > KEYS_ARE_KNOWN {
            output::note(
                "warning: the import was stopped more than 72 hours ago; orders that were sent last \
                 and not noted may be placed twice",
            );
        }
        Ok(note)
    }

    /// Where the rows that were refused are.
    pub fn refusals(&self) -> PathBuf {
        beside(&self.file, "refused.ndjson")
    }

    /// The line that is sent for `row`; none if there is no order in it.
    pub fn line(&self, row: &Row) -> Option<String> {
        let mut order = row.order.as_ref().ok()?.clone();
        let key = order.get("idempotencyKey");
        if key.is_none_or(serde_json::Value::is_null) {
            order["idempotencyKey"] = format!("{}-{}", self.import, row.number).into();
        }
        Some(format!("{order}\n"))
    }

    /// Notes what became of the rows that follow those before.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, rows: &[Settled]) -> anyhow::Result<()> {
        let mut text = String::new();
        for Settled { row, refused } in rows {
            self.rows = self.rows.max(row.number);
            match refused {
                None => self.accepted += 1,
                Some(problem) => {
                    self.refused += 1;
                    let line = json!({"line": row.line, "problem": problem, "text": row.text});
                    text = format!("{text}{line}\n");
                }
            }
        }
        if !text.is_empty() {
            self.keep(&text)?;
        }
        self.write()
    }

    /// Notes that all is done.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(&mut self) -> anyhow::Result<()> {
        self.done = true;
        self.write()
    }

    /// Appends to the refused rows, behind those that were noted.
    fn keep(&mut self, text: &str) -> anyhow::Result<()> {
        let path = self.refusals();
        let write = || -> std::io::Result<()> {
            let mut file =
                OpenOptions::new().create(true).write(true).truncate(false).open(&path)?;
            file.set_len(self.refused_bytes)?;
            file.seek(SeekFrom::End(0))?;
            file.write_all(text.as_bytes())?;
            file.sync_data()
        };
        write().with_context(|| format!("write {}", path.display()))?;
        self.refused_bytes += text.len() as u64;
        Ok(())
    }

    /// Whole or not at all.
    fn write(&mut self) -> anyhow::Result<()> {
        self.at = Context::new("import").now();
        let (path, draft) = (beside(&self.file, "import"), beside(&self.file, "import.new"));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&draft)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_data()?;
            fs::rename(&draft, &path)?;
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().with_context(|| format!("write {}", path.display()))
    }
}

/// The file beside `file` whose name has this end, too.
fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}
