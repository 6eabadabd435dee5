//! Configuration: defaults → `ofs.toml` → `OFS_*` → flags, merged once, then read into one struct.
//!
//! The only place that reads the environment. Opens nothing but the file and the secrets it names.

mod keys;
mod merge;
mod value;

pub use keys::{KEYS, Key, Kind, nearest};
pub use merge::{Flag, Inputs, Setting, Settings, Source, secret};
pub use value::{AuthMode, Config, CrashAt, LogFormat, TlsMode};

use std::path::PathBuf;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}: {reason}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The file is not TOML.
    #[error("cannot parse {path}: {reason}", path = path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What the parser says, with the line.
        reason: String,
    },
    /// The file has unknown keys.
    #[error("{}", unknown(.path, .keys))]
    Unknown {
        /// Which file.
        path: PathBuf,
        /// The keys, each with the one that was probably meant.
        keys: Vec<(String, Option<&'static str>)>,
    },
    /// A variable and its `…_FILE` variant are both set.
    #[error("{0} and {0}_FILE are both set; remove one")]
    Twice(String),
    /// A variable holds bytes that are not UTF-8.
    #[error("variable {0} is not UTF-8")]
    NotUtf8(String),
    /// Values that cannot be used.
    #[error("{}", lines(.0))]
    Invalid(Vec<Invalid>),
}

/// A value that cannot be used, and who set it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason} (set by {source_name})")]
pub struct Invalid {
    /// The key.
    pub key: &'static str,
    /// What is wrong and what would be right; never holds a secret.
    pub reason: String,
    /// The source, as `ofs config show` names it.
    pub source_name: String,
}

fn unknown(path: &std::path::Path, keys: &[(String, Option<&'static str>)]) -> String {
    let line = |(key, meant): &(String, Option<&str>)| match meant {
        Some(meant) => {
            format!("unknown key `{key}` in {}; did you mean `{meant}`?", path.display())
        }
        None => {
            format!("unknown key `{key}` in {}; `ofs config show` lists all keys", path.display())
        }
    };
    keys.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn lines(invalid: &[Invalid]) -> String {
    invalid.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
