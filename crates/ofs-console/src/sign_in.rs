//! The page where a user signs in with a key.

use crate::frame::Frame;
use askama::Template;

/// Asks for a key.
#[derive(Debug, Template)]
#[template(path = "sign_in.html")]
pub struct SignInPage {
    /// Around the page.
    pub frame: Frame,
    /// Whether no key is needed.
    pub open: bool,
    /// The page to go to then.
    pub next: String,
    /// Why the last key was not taken.
    pub refused: Option<String>,
}
