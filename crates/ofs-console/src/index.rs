//! The search index: its generations, a rebuild in progress, and how it compares with the records.

use crate::frame::{Copyable, Frame};
use crate::words::{Age, Count, Moment};
use askama::Template;

/// How far something is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What is counted.
    pub what: &'static str,
    /// Done of `of`.
    pub done: Count,
    /// The whole, as far as known.
    pub of: Count,
    /// How long it has taken.
    pub took: Age,
    /// How much longer it will take, at this rate.
    pub left: Option<Age>,
}

/// A comparison of the index with the records.
#[derive(Clone, Debug)]
pub enum Comparison {
    /// None was asked for since the process started.
    None,
    /// It goes on.
    Running(Progress),
    /// It could not be done.
    Failed(String),
    /// What was found.
    Done(Differences),
}

/// What a comparison found.
#[derive(Clone, Debug)]
pub struct Differences {
    /// When it ended.
    pub at: Moment,
    /// Records compared.
    pub checked: Count,
    /// Differences of all kinds.
    pub differences: Count,
    /// Orders with what is different, at most some hundreds.
    pub orders: Vec<(String, String)>,
}

/// A document that the index refuses.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The order.
    pub order: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Moment,
}

/// The index.
#[derive(Debug, Template)]
#[template(path = "index.html")]
pub struct IndexPage {
    /// Around the page.
    pub frame: Frame,
    /// Every generation, and what it is.
    pub generations: Vec<(String, &'static str)>,
    /// Orders in the one that search reads.
    pub documents: Count,
    /// Records not yet where they belong.
    pub owed: Count,
    /// How far a rebuild is.
    pub building: Option<Progress>,
    /// The last comparison.
    pub comparison: Comparison,
    /// Whether one is in progress, of either kind.
    pub busy: bool,
    /// Orders that the index refuses, the first of them.
    pub refused: Vec<Refused>,
    /// How many there are.
    pub refused_count: Count,
    /// The same elsewhere.
    pub copy: Vec<Copyable>,
}
