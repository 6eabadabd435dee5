//! One order: what happened to it, what it waits for, and what store, log and index say of it.

mod graph;
mod payload;

pub use graph::{Cause, Graph};
pub use payload::{Content, Member};

use crate::frame::{Copyable, Frame};
use crate::words::{Age, Badge, Moment, Tone};
use askama::Template;
use serde_json::Value;

/// What a row of the waterfall is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An event.
    Event,
    /// A service could not handle an event; still open.
    Parked,
    /// The same, and it was handled or given up since.
    Closed,
    /// What has to come next.
    Expected,
}

impl Kind {
    /// The class that shapes it.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Kind::Event => "event",
            Kind::Parked => "parked",
            Kind::Closed => "closed",
            Kind::Expected => "expected",
        }
    }
}

/// One row of the waterfall.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it is.
    pub kind: Kind,
    /// When it happened; none for what is expected.
    pub at: Option<Moment>,
    /// Who did it.
    pub service: String,
    /// What happened.
    pub title: String,
    /// More words.
    pub detail: Option<String>,
    /// Where there is more to see, from the order's page.
    pub link: Option<String>,
    /// Time since the order began.
    pub since: Option<Age>,
    /// What the time before it was spent on.
    pub waited: Option<String>,
    /// Where in the whole time the wait before it lies: start and length, in thousandths.
    pub bar: Option<(u64, u64)>,
    /// Its position in the log.
    pub position: Option<String>,
    /// The event's id.
    pub event_id: Option<String>,
    /// What was recorded.
    pub content: Option<Content>,
    /// What it changed about the order; none where that is not known.
    pub changes: Option<Vec<Change>>,
}

/// One thing about an order that an event changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is.
    pub name: String,
    /// What it was.
    pub before: Option<String>,
    /// What it became.
    pub after: Option<String>,
}

impl Change {
    /// What is different in `after`.
    #[must_use]
    pub fn between(before: &Value, after: &Value) -> Vec<Self> {
        let members = after.as_object().into_iter().flatten();
        let changed = members.filter(|(name, value)| before[name.as_str()] != **value);
        let change = |(name, value): (&String, &Value)| Self {
            name: name.clone(),
            before: text(&before[name.as_str()]),
            after: text(value),
        };
        changed.map(change).collect()
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// One thing that the three copies say.
#[derive(Clone, Debug)]
pub struct Side {
    /// What it is.
    pub name: &'static str,
    /// In the store.
    pub store: String,
    /// In the log.
    pub log: String,
    /// In the index.
    pub index: String,
    /// Whether those that say something say the same.
    pub agree: bool,
}

/// Why an order waits, for people.
#[derive(Clone, Debug)]
pub struct Why {
    /// In one sentence.
    pub summary: String,
    /// How it stands.
    pub tone: Tone,
    /// What blocks it, each with a command that helps.
    pub blockers: Vec<(String, Option<String>)>,
    /// The safe command to try.
    pub command: Option<String>,
}

/// One order.
#[derive(Debug, Template)]
#[template(path = "order.html")]
pub struct OrderPage {
    /// Around the page.
    pub frame: Frame,
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub status: Badge,
    /// Where the customer is reached.
    pub email: String,
    /// What was ordered.
    pub product: String,
    /// Where to.
    pub country: String,
    /// On every event about it.
    pub correlation: String,
    /// When it was taken.
    pub created: Moment,
    /// From its beginning to its end, or to now.
    pub took: Age,
    /// Why the payment failed, or when it is to arrive.
    pub outcome: Option<String>,
    /// Whether more is to come.
    pub open: bool,
    /// What it waits for.
    pub why: Why,
    /// What happened, oldest first.
    pub steps: Vec<Step>,
    /// What caused what.
    pub graph: Graph,
    /// What the three copies say.
    pub sides: Vec<Side>,
    /// Whether they agree, in words.
    pub agreement: (Tone, String),
    /// The same elsewhere.
    pub copy: Vec<Copyable>,
}
