//! What a process is: its version, engines and services, and how it was configured.

use crate::frame::{Copyable, Frame};
use askama::Template;

/// One key of the configuration.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its name.
    pub key: &'static str,
    /// Its value, secrets masked; none if it is not set.
    pub value: Option<String>,
    /// Who said so.
    pub source: String,
    /// Whether it was set.
    pub changed: bool,
    /// What it does.
    pub doc: &'static str,
}

/// A process.
#[derive(Debug, Template)]
#[template(path = "settings.html")]
pub struct SettingsPage {
    /// Around the page.
    pub frame: Frame,
    /// Its version, engines, services.
    pub facts: Vec<(&'static str, String)>,
    /// What does not work until an operator acts.
    pub troubles: Vec<(String, String)>,
    /// Every key.
    pub settings: Vec<Setting>,
    /// The same elsewhere.
    pub copy: Vec<Copyable>,
}
