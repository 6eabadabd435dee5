//! The log, newest first: what was appended where, whole records, live.

use crate::frame::{Copyable, Frame};
use crate::order::Content;
use crate::orders::Choice;
use crate::words::{Clock, Count};
use askama::Template;

/// One record.
#[derive(Clone, Debug)]
pub struct Record {
    /// Where it stands.
    pub position: String,
    /// When it was appended to the log.
    pub at: Clock,
    /// The event's type, or that it is not an event.
    pub event_type: String,
    /// The order, where its key names one.
    pub order: Option<String>,
    /// The chain it belongs to.
    pub correlation: Option<String>,
    /// The event that caused it.
    pub cause: Option<String>,
    /// Why it is not an event.
    pub error: Option<String>,
    /// What it holds.
    pub content: Content,
    /// The same elsewhere.
    pub copy: Vec<Copyable>,
}

/// The log.
#[derive(Debug, Template)]
#[template(path = "events.html")]
pub struct EventsPage {
    /// Around the page.
    pub frame: Frame,
    /// Topics to choose from.
    pub topics: Vec<Choice>,
    /// Types to choose from.
    pub types: Vec<Choice>,
    /// The order that is searched for.
    pub order: String,
    /// The position from which on is read.
    pub from: String,
    /// The other filters, to be sent along.
    pub kept: Vec<(String, String)>,
    /// The page, newest first.
    pub records: Vec<Record>,
    /// Partitions that cannot be read, because no broker leads them; empty if all can.
    pub leaderless: String,
    /// How many records were searched, if there are older ones that were not.
    pub looked: Option<Count>,
    /// The stream of what comes, from the API; none if this is a place in the past.
    pub tail: Option<String>,
    /// The same elsewhere.
    pub copy: Vec<Copyable>,
}
