//! The backlog: the path of an event as a strip, the findings about it, and which service reads what.

use crate::frame::{Copyable, Frame};
use crate::words::{Age, Badge, Count, Moment, Spark, Tone};
use askama::Template;

/// One stage of an event's way.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name.
    pub title: String,
    /// How it stands.
    pub tone: Tone,
    /// What went through in the last minute; none while that is unknown.
    pub rate: Option<String>,
    /// What of.
    pub unit: &'static str,
    /// What waits there, by name.
    pub lines: Vec<(&'static str, String)>,
    /// What went through in the last hour.
    pub spark: Spark,
}

impl Stage {
    const fn state(&self) -> Badge {
        let word = match self.tone {
            Tone::Bad => "needs attention",
            Tone::Warning => "behind",
            Tone::Good | Tone::Waiting | Tone::Plain => "flowing",
        };
        Badge { tone: self.tone, word }
    }
}

/// Something that is to be said.
#[derive(Clone, Debug)]
pub struct Told {
    /// How bad it is.
    pub tone: Tone,
    /// What is to be seen.
    pub what: String,
    /// Why, most likely.
    pub cause: String,
    /// What helps.
    pub command: Option<String>,
    /// The page that shows more: what to call it, and where it is.
    pub page: Option<(&'static str, String)>,
}

/// A service's place in one topic.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The service.
    pub service: &'static str,
    /// The topic.
    pub topic: &'static str,
    /// How many partitions it has.
    pub partitions: String,
    /// Those that the process asked reads.
    pub here: String,
    /// Events still to be read.
    pub lag: Option<Count>,
    /// When the oldest of them was appended.
    pub oldest: Option<Moment>,
    /// How long that one has waited.
    pub waited: Option<Age>,
    /// Since when it has been unknown.
    pub unreachable: Option<Moment>,
}

/// How long orders stayed somewhere.
#[derive(Clone, Debug)]
pub struct Stay {
    /// Where.
    pub what: &'static str,
    /// How many orders.
    pub orders: Count,
    /// What half, 95 and 99 of 100 of them did not exceed; none if there were none.
    pub percentiles: Option<[Age; 3]>,
}

/// Orders that took about as long.
#[derive(Clone, Debug)]
pub struct Bar {
    /// How long, in words.
    pub label: String,
    /// How many.
    pub orders: Count,
    /// How high it is drawn, of 100.
    pub height: u64,
}

/// How long the orders that ended last took.
#[derive(Clone, Debug)]
pub struct Took {
    /// How many they are.
    pub orders: Count,
    /// When the first and the last of them ended.
    pub ended: Option<(Moment, Moment)>,
    /// In each state, and in all.
    pub stays: Vec<Stay>,
    /// From accepted to final.
    pub bars: Vec<Bar>,
}

/// The pipeline.
#[derive(Debug, Template)]
#[template(path = "pipeline.html")]
pub struct PipelinePage {
    /// Around the page.
    pub frame: Frame,
    /// Stages, in the order of an event's way.
    pub stages: Vec<Stage>,
    /// What is to be said, worst first.
    pub findings: Vec<Told>,
    /// How long orders took, or why that is not known.
    pub took: Result<Took, String>,
    /// Who reads what.
    pub readers: Vec<Reader>,
    /// The same elsewhere.
    pub copy: Vec<Copyable>,
}
