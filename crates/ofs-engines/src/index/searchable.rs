//! What of a document can be searched for, and why a document is refused: the same on every engine.
//!
//! Does not know how an engine stores it.

use super::letters::fold;
use super::words::{beginnings, cut};
use ofs_events::Timestamp;
use ofs_runtime::index::Document;
use serde_json::{Map, Value};

/// The number of the way in which documents are indexed, for all engines. A generation with another
/// one is built anew by itself, so count on whenever a schema, a mapping or what is written into them
/// changes.
pub(super) const LAYOUT: u32 = 4;

/// Events of one order whose ids can be searched for; bounds what a hostile document can cause.
const EVENTS: usize = 320;

/// One document, taken apart for searches.
pub(super) struct Searchable<'a> {
    /// The document itself.
    pub(super) body: &'a Map<String, Value>,
    pub(super) status: Option<&'a str>,
    pub(super) country: Option<&'a str>,
    /// Microseconds since 1970, as the next.
    pub(super) created_at: Option<i64>,
    pub(super) updated_at: Option<i64>,
    /// Folded, as the next.
    product: Option<String>,
    email: Option<String>,
}

impl<'a> Searchable<'a> {
    /// Takes `document` apart; the error says why it does not fit.
    pub(super) fn of(document: &'a Document) -> Result<Self, String> {
        let Value::Object(body) = &document.body else {
            return Err("the body is not an object".to_owned());
        };
        text(body, "id")?;
        text(body, "correlationId")?;
        Ok(Self {
            body,
            status: text(body, "status")?,
            country: text(body, "country")?,
            created_at: time(body, "createdAt")?,
            updated_at: time(body, "updatedAt")?,
            product: text(body, "productType")?.map(fold),
            email: text(body, "customerEmail")?.map(fold),
        })
    }

    /// The whole product, to be compared with one folded and cut in the same way.
    pub(super) fn product(&self) -> Option<&str> {
        self.product.as_deref().map(cut)
    }

    /// Product and e-mail from each of their words' beginnings on, the correlation id, and the ids of
    /// the events; some may come twice.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        let texts = [&self.product, &self.email].into_iter().flatten();
        texts.flat_map(|text| beginnings(text)).chain(self.ids())
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        let events = self.body.get("timeline").and_then(Value::as_array).into_iter().flatten();
        let events = events.take(EVENTS).filter_map(|event| event.get("eventId"));
        let ids = self.body.get("correlationId").into_iter().chain(events);
        ids.filter_map(Value::as_str).map(cut)
    }
}

fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{name}` is not a text")),
    }
}

fn time(body: &Map<String, Value>, name: &str) -> Result<Option<i64>, String> {
    let Some(text) = text(body, name)? else { return Ok(None) };
    let time: Timestamp = text.parse().map_err(|_| format!("`{name}` is not an RFC 3339 time"))?;
    Ok(Some(time.as_micros()))
}
