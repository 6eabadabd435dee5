//! What this engine's indices and aliases are called. Does not know which of them exist.

use ofs_runtime::index::{Error, Target};

/// The names of one installation.
pub(super) struct Names {
    prefix: String,
    /// What the index is called.
    index: &'static str,
}

/// The names of one generation. Made only of letters that need no escaping in a path.
pub(super) struct Generation {
    /// The concrete index.
    pub(super) index: String,
    /// An alias of this index alone, by which it is written and scanned: requests that demand an alias
    /// never make an index that is not there, whatever the server's settings are.
    pub(super) writing: String,
}

impl Names {
    /// Names of the index called `index`, that begin with `prefix`; gives it back if no name can.
    pub(super) fn new(prefix: String, index: &'static str) -> Result<Self, String> {
        if prefix.is_empty() || is_name(&prefix) { Ok(Self { prefix, index }) } else { Err(prefix) }
    }

    /// What all names begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The alias that searches read.
    pub(super) fn alias(&self) -> String {
        format!("{}{}", self.prefix, self.index)
    }

    /// A pattern for the writing aliases of all generations.
    pub(super) fn all_writing(&self) -> String {
        self.writing("*")
    }

    fn writing(&self, target: &str) -> String {
        format!("{}-write.{target}", self.alias())
    }

    /// The names of `target`.
    ///
    /// # Errors
    /// If no index can be called so.
    pub(super) fn generation(&self, target: &Target) -> Result<Generation, Error> {
        let name = &target.0;
        if !is_name(name) || name == self.index {
            return Err(Error::Unavailable(format!("`{name}` is not a valid name for a target")));
        }
        Ok(Generation { index: format!("{}{name}", self.prefix), writing: self.writing(name) })
    }

    /// The target whose concrete index is called `index`.
    pub(super) fn target(&self, index: &str) -> Option<Target> {
        index.strip_prefix(&self.prefix).map(|name| Target(name.to_owned()))
    }
}

fn is_name(name: &str) -> bool {
    let plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    name.len() <= 100
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|letter| plain(letter) || b"-_.".contains(&letter))
}
