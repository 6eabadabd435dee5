//! What caused what, drawn: one column for each step of the chain, one row for each branch.

use crate::words::Age;

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
}

fn edge(from: (usize, usize), to: (usize, usize), event: &Cause) -> Edge {
    let middle = usize::midpoint(from.0, to.0);
    let (x1, y1, x2, y2) = (from.0, from.1, to.0 - 6, to.1);
    let label = match event.delay {
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
    }
}
