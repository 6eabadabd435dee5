//! The page that says why the requested one cannot be shown.

use crate::frame::Frame;
use askama::Template;

/// What went wrong, and what to do.
#[derive(Debug, Template)]
#[template(path = "failure.html")]
pub struct FailurePage {
    /// Around the page.
    pub frame: Frame,
    /// HTTP status.
    pub status: u16,
    /// The kind of problem.
    pub title: String,
    /// This one, and what to do.
    pub detail: String,
    /// Which log lines belong to it.
    pub request_id: Option<String>,
}
