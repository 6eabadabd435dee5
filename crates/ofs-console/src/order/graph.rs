//! What caused what, drawn: one column for each step of the chain, one row for each branch.

use crate::words::Age;
use askama::filters::{Html, HtmlSafe, escape};
use std::fmt;

/// One event as a node.
#[derive(Clone, Debug)]
pub struct Cause {
    /// The event's id.
    pub id: String,
    /// The event that caused it.
    pub cause: Option<String>,
    /// What happened.
    pub title: String,
    /// Who said so.
    pub service: String,
    /// Time from its cause to it; none if it is still to come, or began the chain.
    pub delay: Option<Age>,
    /// Whether it is still to come.
    pub expected: bool,
}

/// A node where it is drawn.
#[derive(Clone, Debug)]
pub struct Node {
    /// The event.
    pub event: Cause,
    /// How many causes it has above it.
    pub depth: usize,
    /// Left edge.
    pub x: usize,
    /// Upper edge.
    pub y: usize,
}

/// A line from cause to effect.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The line.
    pub path: String,
    /// Where the delay is written.
    pub at: (usize, usize),
    /// The delay.
    pub label: String,
    /// Whether the effect is still to come.
    pub expected: bool,
}

/// The whole graph.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Every event, causes first.
    pub nodes: Vec<Node>,
    /// Every effect's line from its cause.
    pub edges: Vec<Edge>,
    /// How wide it is.
    pub width: usize,
    /// How high.
    pub height: usize,
}

const WIDTH: usize = 208;
const HEIGHT: usize = 56;
const GAP: usize = 92;
const ROW: usize = 84;
const MARGIN: usize = 8;

impl Graph {
    /// Lays `events` out, which stand in the order of causes before effects.
    #[must_use]
    pub fn of(events: Vec<Cause>) -> Self {
        let mut graph = Graph::default();
        let mut rows_used = 0;
        for event in events {
            let cause = event.cause.as_ref();
            let cause = cause.and_then(|id| graph.nodes.iter().find(|node| node.event.id == *id));
            let (depth, y, from) = match cause {
                None => {
                    rows_used += 1;
                    (0, (rows_used - 1) * ROW + MARGIN, None)
                }
                Some(cause) => {
                    let siblings = |node: &&Node| node.event.cause == event.cause;
                    let y = if graph.nodes.iter().any(|node| siblings(&node)) {
                        rows_used += 1;
                        (rows_used - 1) * ROW + MARGIN
                    } else {
                        cause.y
                    };
                    (cause.depth + 1, y, Some((cause.x + WIDTH, cause.y + HEIGHT / 2)))
                }
            };
            let x = depth * (WIDTH + GAP) + MARGIN;
            if let Some((from_x, from_y)) = from {
                graph.edges.push(edge((from_x, from_y), (x, y + HEIGHT / 2), &event));
            }
            graph.width = graph.width.max(x + WIDTH + MARGIN);
            graph.height = graph.height.max(y + HEIGHT + MARGIN);
            graph.nodes.push(Node { event, depth, x, y });
        }
        graph
    }

    /// The same as lists within lists.
    #[must_use]
    pub fn list(&self) -> Causes<'_> {
        Causes(self)
    }
}

/// A graph as HTML lists: what an event caused stands below it.
#[derive(Clone, Copy, Debug)]
pub struct Causes<'a>(&'a Graph);

impl HtmlSafe for Causes<'_> {}

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begins = |node: &&Node| node.depth == 0;
        self.level(f, &self.0.nodes.iter().filter(begins).collect::<Vec<_>>())
    }
}

impl Causes<'_> {
    fn level(&self, f: &mut fmt::Formatter<'_>, nodes: &[&Node]) -> fmt::Result {
        if nodes.is_empty() {
            return Ok(());
        }
        f.write_str(r#"<ul class="causes">"#)?;
        for node in nodes {
            let event = &node.event;
            let title = escape(&event.title, Html).map_err(|_| fmt::Error)?;
            let service = escape(&event.service, Html).map_err(|_| fmt::Error)?;
            write!(f, r#"<li>{title} <span class="muted">by {service}"#)?;
            match event.delay {
                Some(delay) if event.expected => write!(f, ", {delay} so far")?,
                Some(delay) => write!(f, ", {delay} after its cause")?,
                None => {}
            }
            f.write_str("</span>")?;
            // An effect stands below its cause, so this comes to an end.
            let below = |one: &&Node| {
                one.depth == node.depth + 1 && one.event.cause.as_ref() == Some(&event.id)
            };
            self.level(f, &self.0.nodes.iter().filter(below).collect::<Vec<_>>())?;
            f.write_str("</li>")?;
        }
        f.write_str("</ul>")
    }
}

fn edge(from: (usize, usize), to: (usize, usize), event: &Cause) -> Edge {
    let middle = usize::midpoint(from.0, to.0);
    let (x1, y1, x2, y2) = (from.0, from.1, to.0 - 6, to.1);
    let label = match event.delay {
        Some(delay) if event.expected => format!("{delay} so far"),
        Some(delay) => format!("+{delay}"),
        None => "to come".to_owned(),
    };
    Edge {
        path: format!("M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"),
        at: (middle, usize::midpoint(y1, y2) - 8),
        label,
        expected: event.expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, cause: Option<&str>) -> Cause {
        Cause {
            id: id.to_owned(),
            cause: cause.map(str::to_owned),
            title: id.to_owned(),
            service: "a".to_owned(),
            delay: Some(Age(1.0)),
            expected: false,
        }
    }

    #[test]
    fn a_chain_is_one_row_and_a_second_effect_gets_a_row_of_its_own() {
        let graph = Graph::of(vec![
            event("a", None),
            event("b", Some("a")),
            event("c", Some("b")),
            event("d", Some("a")),
            event("lost", Some("unknown")),
        ]);
        let places: Vec<_> = graph.nodes.iter().map(|node| (node.depth, node.y)).collect();
        assert_eq!(places, [(0, 8), (1, 8), (2, 8), (1, 92), (0, 176)]);
        assert_eq!(graph.edges.len(), 3);
        let list = graph.list().to_string();
        let list = list.replace(" <span class=\"muted\">by a, 1.0 s after its cause</span>", "");
        let list = list.replace(" class=\"causes\"", "");
        let below = "<ul><li>b<ul><li>c</li></ul></li><li>d</li></ul>";
        assert_eq!(list, format!("<ul><li>a{below}</li><li>lost</li></ul>"));
    }
}
