//! The content of a record, member by member and raw.

use crate::words::Moment;
use serde_json::Value;

/// One member of a JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// How deep it lies, from 0, at most 5.
    pub depth: usize,
    /// Its name, or its place in a list.
    pub name: String,
    /// Its value; empty where members of its own follow.
    pub value: String,
}

/// Members of one record that are shown.
const MEMBERS: usize = 200;

/// What a record holds.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Its members, as a tree.
    pub members: Vec<Member>,
    /// The text as it was written, from its beginning on.
    pub raw: String,
    /// Whether that is not all of it.
    pub cut: bool,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// When it was appended to the log.
    pub appended: Option<Moment>,
}

impl Content {
    /// Of the JSON text `raw`, of which `most` bytes are shown; any other text has no members.
    #[must_use]
    pub fn of(raw: &str, most: usize) -> Self {
        let value = serde_json::from_str::<Value>(raw).unwrap_or_default();
        let mut members = Vec::new();
        flatten(&value, 0, &mut members);
        members.truncate(MEMBERS);
        for member in &mut members {
            member.value = first(&member.value, most).to_owned();
        }
        let shown = first(raw, most);
        let cut = shown.len() < raw.len();
        Self { members, raw: shown.to_owned(), cut, headers: Vec::new(), appended: None }
    }
}

/// The first `most` bytes of `text`, or a little less.
fn first(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// Numbers stay as they were written as far as a JSON reader keeps them; `raw` has every digit.
fn flatten(value: &Value, depth: usize, members: &mut Vec<Member>) {
    let mut add = |name: String, value: &Value| {
        let inner = match value {
            Value::Object(inner) => !inner.is_empty(),
            Value::Array(inner) => !inner.is_empty(),
            _ => false,
        };
        let text = match value {
            _ if inner => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        members.push(Member { depth: depth.min(5), name, value: text });
        if inner {
            flatten(value, depth + 1, members);
        }
    };
    match value {
        Value::Object(all) => all.iter().for_each(|(name, value)| add(name.clone(), value)),
        Value::Array(all) => {
            all.iter().enumerate().for_each(|(at, value)| add(at.to_string(), value));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_below_what_holds_them() {
        let raw = r#"{"a":{"b":[1,"x"]},"c":null}"#;
        let members = Content::of(raw, 100).members;
        let flat: Vec<_> =
            members.iter().map(|one| (one.depth, one.name.as_str(), one.value.as_str())).collect();
        assert_eq!(
            flat,
            [(0, "a", ""), (1, "b", ""), (2, "0", "1"), (2, "1", "x"), (0, "c", "null")]
        );
        let long = Content::of("not json", 3);
        assert!(long.members.is_empty() && long.cut);
        assert_eq!(long.raw, "not");
    }
}
