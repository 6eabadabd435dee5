//! API keys: who may ask for what, a form for a new one, and each with a form that revokes it.

use crate::frame::{Copyable, Frame};
use crate::words::{Badge, Moment};
use askama::Template;

/// A key that was just made.
#[derive(Clone)]
pub struct Made {
    /// What people call it.
    pub name: String,
    /// The key itself.
    pub key: String,
}

/// One key, without its secret.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How it stands.
    pub state: Badge,
    /// Whether it can be revoked.
    pub open: bool,
    /// What it may do.
    pub scopes: String,
    /// When it was made.
    pub created: Moment,
    /// From when on it is refused.
    pub expires: Option<Moment>,
    /// When it was last used.
    pub used: Option<Moment>,
}

/// Keys.
#[derive(Template)]
#[template(path = "keys.html")]
pub struct KeysPage {
    /// Around the page.
    pub frame: Frame,
    /// The key that was just made; it is shown this once.
    pub made: Option<Made>,
    /// Keys, newest first.
    pub rows: Vec<Row>,
    /// Whether there are more.
    pub more: bool,
    /// Every scope, and what it allows.
    pub scopes: Vec<(&'static str, &'static str)>,
    /// The same elsewhere.
    pub copy: Vec<Copyable>,
}
