//! Where a server is and how to log in there, as configured; a login kept in a file may change while we
//! run. Connects to nothing.

use std::fmt;
use std::path::PathBuf;

/// The URL of a server.
#[derive(Clone)]
pub struct ServerUrl {
    text: String,
    file: Option<PathBuf>,
}

impl ServerUrl {
    /// `text`, which was read from `file` if there is one.
    #[must_use]
    pub fn new(text: String, file: Option<PathBuf>) -> Self {
        Self { text, file }
    }

    /// What it was at the start.
    pub(crate) fn at_start(&self) -> &str {
        &self.text
    }

    /// What its file holds now; what it was at the start if it has none, or that cannot be read.
    pub(crate) fn now(&self) -> String {
        let read = self.file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        read.map_or_else(|| self.text.clone(), |text| text.trim().to_owned())
    }
}

impl From<&str> for ServerUrl {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned(), None)
    }
}

impl From<&String> for ServerUrl {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<&ServerUrl> for ServerUrl {
    fn from(url: &ServerUrl) -> Self {
        url.clone()
    }
}

/// It may hold a password.
impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerUrl").field("file", &self.file).finish_non_exhaustive()
    }
}
