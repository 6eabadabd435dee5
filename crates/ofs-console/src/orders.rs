//! The list of orders: one search box, views, filters and facets as links, pages by cursor.

use crate::frame::{Copyable, Frame};
use crate::words::{Age, Badge, Clock, Count, Moment, count, counted};
use askama::Template;

/// A link that is one of several to choose from.
#[derive(Clone, Debug)]
pub struct Choice {
    /// What is shown.
    pub label: String,
    /// The query string it leads to.
    pub query: String,
    /// How many orders there are behind it, if that is known.
    pub count: Option<Count>,
    /// Whether it is the one chosen; then it leads away from it.
    pub chosen: bool,
}

/// Filters of one kind.
#[derive(Clone, Debug)]
pub struct Facet {
    /// What they are about.
    pub name: &'static str,
    /// Each value.
    pub choices: Vec<Choice>,
}

/// An order in the list.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Where the customer is reached.
    pub email: String,
    /// What was ordered.
    pub product: String,
    /// Where to.
    pub country: String,
    /// Where it stands; none if this build does not know the status.
    pub status: Option<Badge>,
    /// The status as it was found.
    pub status_name: String,
    /// When it was taken.
    pub created: Option<Clock>,
    /// How long ago the last event was, while something is still to come.
    pub step_age: Option<Age>,
    /// The type of the last event.
    pub last_event: String,
    /// Why it is held up, if it is.
    pub held: Option<String>,
}

impl Row {
    /// Whether the step takes longer than it should.
    fn late(&self) -> bool {
        self.step_age.is_some_and(|age| age.0 > LATE_SECONDS)
    }
}

/// A step that takes longer needs attention.
pub const LATE_SECONDS: f64 = 300.0;

/// How fresh the list is.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// Everything that happened before is in it.
    pub as_of: Moment,
    /// How long ago that was; none if everything is in it.
    pub lag: Option<Age>,
}

/// The list of orders.
#[derive(Debug, Template)]
#[template(path = "orders.html")]
pub struct OrdersPage {
    /// Around the page.
    pub frame: Frame,
    /// What was typed.
    pub typed: String,
    /// The other filters, to be sent along with what is typed.
    pub kept: Vec<(String, String)>,
    /// Built-in views.
    pub views: Vec<Choice>,
    /// Filters by value, with counts.
    pub facets: Vec<Facet>,
    /// Filters in force, each with the query without it.
    pub filters: Vec<(String, String)>,
    /// The page.
    pub rows: Vec<Row>,
    /// How many match, on all pages.
    pub total: u64,
    /// None while that is unknown.
    pub fresh: Option<Freshness>,
    /// The query of the next page.
    pub next: Option<String>,
    /// The query of the first page, if this is another.
    pub first: Option<String>,
    /// The query of an export.
    pub export: String,
    /// The same elsewhere.
    pub copy: Vec<Copyable>,
    /// Whether there are no orders at all.
    pub untouched: bool,
}

impl OrdersPage {
    fn summary(&self) -> String {
        let all = counted(self.total, "order", "orders");
        match self.rows.len() as u64 {
            shown if shown == self.total => all,
            shown => format!("{} of {all}", count(shown)),
        }
    }
}
