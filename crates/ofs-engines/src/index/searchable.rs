//! What of a document can be searched for, and why a document is refused: the same on every engine.
//!
//! Does not know how an engine stores it, nor what the documents are about.

use super::letters::fold;
use super::words::{beginnings, cut};
use ofs_events::Timestamp;
use ofs_runtime::index::{Document, Kind, Schema};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The number of the way in which documents of a schema are indexed, for all engines. A generation with
/// another one is rebuilt automatically, so increment this when what is made of a schema changes.
pub(super) const LAYOUT: u32 = 4;

/// Ids of one list that can be searched for; bounds what a hostile document can cause.
const IDS: usize = 320;

/// One document, taken apart for searches.
pub(super) struct Searchable<'a> {
    /// The document itself.
    pub(super) body: &'a Map<String, Value>,
    parts: Vec<(&'static str, Part<'a>)>,
}

/// What a document has in one field.
enum Part<'a> {
    Ids(Vec<&'a str>),
    /// Folded, as the next.
    Text(String),
    Name(String),
    Keyword(&'a str),
    /// Microseconds since 1970.
    Time(i64),
}

impl<'a> Searchable<'a> {
    /// Takes `document` apart as `schema` has it; the error says why it does not fit.
    pub(super) fn of(schema: &Schema, document: &'a Document) -> Result<Self, String> {
        let Value::Object(body) = &document.body else {
            return Err("the body is not an object".to_owned());
        };
        text(body, schema.key())?;
        let mut parts = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let part = part(body, field.member, field.kind)?;
            parts.extend(part.map(|part| (field.name, part)));
        }
        Ok(Self { body, parts })
    }

    /// Keywords, by the names of their fields.
    pub(super) fn keywords(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.parts.iter().filter_map(|(name, part)| match part {
            Part::Keyword(value) => Some((*name, *value)),
            Part::Ids(_) | Part::Text(_) | Part::Name(_) | Part::Time(_) => None,
        })
    }

    /// Whole names, each to be compared with what [`wanted`] makes of a value.
    pub(super) fn names(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.parts.iter().filter_map(|(name, part)| match part {
            Part::Name(value) => Some((*name, cut(value))),
            Part::Ids(_) | Part::Text(_) | Part::Keyword(_) | Part::Time(_) => None,
        })
    }

    /// Times, in microseconds since 1970.
    pub(super) fn times(&self) -> impl Iterator<Item = (&'static str, i64)> {
        self.parts.iter().filter_map(|(name, part)| match part {
            Part::Time(micros) => Some((*name, *micros)),
            Part::Ids(_) | Part::Text(_) | Part::Name(_) | Part::Keyword(_) => None,
        })
    }

    /// What free text finds by a beginning of it: texts and names from each of their words on; some may
    /// come twice.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        let texts = self.parts.iter().filter_map(|(_, part)| match part {
            Part::Text(text) | Part::Name(text) => Some(text.as_str()),
            Part::Ids(_) | Part::Keyword(_) | Part::Time(_) => None,
        });
        texts.flat_map(beginnings)
    }

    /// Ids, which free text finds by a beginning of them, too.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        let ids = self.parts.iter().filter_map(|(_, part)| match part {
            Part::Ids(ids) => Some(ids.iter().map(|id| cut(id))),
            Part::Text(_) | Part::Name(_) | Part::Keyword(_) | Part::Time(_) => None,
        });
        ids.flatten()
    }
}

/// What a document has to hold for a filter of a field of `kind` to find `value`.
pub(super) fn wanted(kind: Kind, value: &str) -> Cow<'_, str> {
    match kind {
        Kind::Name => Cow::Owned(cut(&fold(value)).to_owned()),
        Kind::Id | Kind::Ids(_) | Kind::Text | Kind::Keyword { .. } | Kind::Time { .. } => {
            Cow::Borrowed(value)
        }
    }
}

fn part<'a>(
    body: &'a Map<String, Value>,
    member: &str,
    kind: Kind,
) -> Result<Option<Part<'a>>, String> {
    Ok(match kind {
        Kind::Id => text(body, member)?.map(|id| Part::Ids(vec![id])),
        Kind::Ids(of) => {
            let items = body.get(member).and_then(Value::as_array).into_iter().flatten().take(IDS);
            Some(Part::Ids(items.filter_map(|item| item.get(of)?.as_str()).collect()))
        }
        Kind::Text => text(body, member)?.map(|text| Part::Text(fold(text))),
        Kind::Name => text(body, member)?.map(|text| Part::Name(fold(text))),
        Kind::Keyword { .. } => text(body, member)?.map(Part::Keyword),
        Kind::Time { .. } => time(body, member)?.map(Part::Time),
    })
}

fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{name}` is not a string")),
    }
}

fn time(body: &Map<String, Value>, name: &str) -> Result<Option<i64>, String> {
    let Some(text) = text(body, name)? else { return Ok(None) };
    let time: Timestamp = text.parse().map_err(|_| format!("`{name}` is not an RFC 3339 time"))?;
    Ok(Some(time.as_micros()))
}
