//! What could not be handled: grouped by cause, each event with its bytes, and what became of it.

use crate::frame::{Copyable, Frame};
use crate::index::Progress;
use crate::order::{Change, Content};
use crate::orders::Choice;
use crate::words::{Badge, Clock, Count, Moment, Tone};
use askama::Template;

/// Open events that could not be handled for the same reason.
#[derive(Clone, Debug)]
pub struct CauseGroup {
    /// The service.
    pub service: String,
    /// The events' type.
    pub event_type: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub count: Count,
    /// When the first was parked.
    pub first: Moment,
    /// When the last was.
    pub last: Moment,
    /// The query that lists them alone.
    pub query: String,
}

/// One parked event in a list.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its number.
    pub id: u64,
    /// How it stands.
    pub state: Badge,
    /// The service.
    pub service: String,
    /// The event's type.
    pub event_type: String,
    /// The order, if it is known.
    pub order: Option<String>,
    /// Why.
    pub reason: String,
    /// How often it was tried since.
    pub attempts: u32,
    /// When it was parked.
    pub parked: Clock,
    /// When it is retried automatically.
    pub next: Option<Clock>,
    /// The one that has to go first.
    pub behind: Option<u64>,
}

/// What was done, in words.
#[derive(Clone, Debug)]
pub struct Notice {
    /// How it went.
    pub tone: Tone,
    /// What came of it.
    pub text: String,
}

/// A job over many events.
#[derive(Clone, Debug)]
pub struct Job {
    /// How it goes.
    pub tone: Tone,
    /// What it does, and where it is.
    pub title: String,
    /// Who began it.
    pub by: String,
    /// Why.
    pub because: String,
    /// When it began.
    pub started: Moment,
    /// What came of it so far.
    pub outcome: String,
    /// Whether it goes on.
    pub running: bool,
    /// How far it is.
    pub progress: Progress,
    /// Events that were not dealt with, and why; the first of them.
    pub open: Vec<(u64, String)>,
}

/// The list.
#[derive(Debug, Template)]
#[template(path = "parked.html")]
pub struct ParkedPage {
    /// Around the page.
    pub frame: Frame,
    /// The job that goes on, or the last one.
    pub job: Option<Job>,
    /// Which states to show.
    pub states: Vec<Choice>,
    /// Filters in force, each with the query without it.
    pub filters: Vec<(String, String)>,
    /// The filters as fields of a form.
    pub fields: Vec<(String, String)>,
    /// Open events by cause.
    pub groups: Vec<CauseGroup>,
    /// Whether there are more than were looked at for the groups.
    pub more_groups: bool,
    /// The page.
    pub rows: Vec<Row>,
    /// Whether any is open.
    pub any_open: bool,
    /// The query of the next page.
    pub next: Option<String>,
    /// The same elsewhere.
    pub copy: Vec<Copyable>,
}

/// What a retry would do.
#[derive(Clone, Debug)]
pub struct DryRun {
    /// How good that is.
    pub tone: Tone,
    /// In a sentence.
    pub text: String,
    /// What would change in the service's record.
    pub changes: Vec<Change>,
    /// The events that would be told: their types, and what they would hold.
    pub events: Vec<(String, String)>,
}

/// A member of an event: what an event that can be read says there, and what this one says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What an event that can be read says.
    pub example: String,
    /// What this one says.
    pub found: Option<String>,
    /// What is wrong with it.
    pub fault: Option<String>,
}

/// One parked event.
#[derive(Debug, Template)]
#[template(path = "parked_event.html")]
pub struct ParkedEventPage {
    /// Around the page.
    pub frame: Frame,
    /// What was just done.
    pub notice: Option<Notice>,
    /// The event.
    pub row: Row,
    /// Whether it is still open.
    pub open: bool,
    /// When it left.
    pub closed: Option<Moment>,
    /// Its position in the log.
    pub position: String,
    /// Its record key.
    pub key: String,
    /// Its record value.
    pub content: Content,
    /// How many bytes it has, and how they are written here.
    pub size: String,
    /// Where the error points to: the text before it, at it and after it.
    pub marked: Option<(String, String, String)>,
    /// What it says beside one that can be read; empty if it can be read, too, or is no JSON.
    pub members: Vec<Member>,
    /// What a retry would do, if that was asked.
    pub dry_run: Option<DryRun>,
    /// Events of the same order that wait behind it.
    pub waiting: Vec<Row>,
    /// The same elsewhere.
    pub copy: Vec<Copyable>,
}
