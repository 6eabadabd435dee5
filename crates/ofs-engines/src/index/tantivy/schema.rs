//! What of an order's document tantivy indexes, and how a text is cut into what can be found.
//!
//! The document itself is stored as JSON text; everything else serves filters, words and sorting.

use ofs_events::{OrderId, Timestamp};
use ofs_runtime::index::Document;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use tantivy::schema::{FAST, Field, STORED, STRING, Schema};
use tantivy::{TantivyDocument, Term};
use uuid::Uuid;

/// Names of the columns, which tantivy wants as text.
pub(super) const ID_HIGH: &str = "id_high";
pub(super) const ID_LOW: &str = "id_low";
pub(super) const VERSION: &str = "version";
pub(super) const STATUS: &str = "status";
pub(super) const COUNTRY: &str = "country";
pub(super) const CREATED_AT: &str = "created_at";
pub(super) const UPDATED_AT: &str = "updated_at";

/// Bytes of a word that count. More than the longest e-mail address (320 characters of 4 bytes), less
/// than tantivy's longest term, beyond which it would silently drop the word.
const WORD_BYTES: usize = 1280;
/// Places of one text where a word may begin; bounds the work a hostile text can cause.
const WORDS_PER_TEXT: usize = 200;

/// Letters up to which every beginning of a word is a term of its own. A longer one is looked up as a
/// range of words, which is short by then; the range of `user` may be a word for each order.
pub(super) const SHORT_WORD: usize = 6;
/// The same for ids: orders of the same minute share the first eight digits of theirs.
pub(super) const SHORT_ID: usize = 8;

/// The fields of the schema.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) schema: Schema,
    /// The id as lower-case hyphenated text, to find and to delete by; sorts as the id does.
    pub(super) id: Field,
    id_high: Field,
    id_low: Field,
    version: Field,
    pub(super) status: Field,
    pub(super) country: Field,
    /// The whole product, folded.
    pub(super) product: Field,
    /// E-mail and product from each of their words' beginnings on, folded: a prefix of one of these
    /// is what a searcher may type.
    pub(super) words: Field,
    /// The beginnings of `words` up to [`SHORT_WORD`] and of the id up to [`SHORT_ID`].
    pub(super) starts: Field,
    pub(super) created_at: Field,
    updated_at: Field,
    /// The body as JSON text.
    pub(super) source: Field,
}

/// A document ready for the writer.
pub(super) struct Entry {
    pub(super) id: OrderId,
    pub(super) version: u64,
    pub(super) content: TantivyDocument,
}

impl Fields {
    pub(super) fn new() -> Self {
        let mut schema = Schema::builder();
        let id = schema.add_text_field("id", STRING);
        let id_high = schema.add_u64_field(ID_HIGH, FAST);
        let id_low = schema.add_u64_field(ID_LOW, FAST);
        let version = schema.add_u64_field(VERSION, FAST);
        let status = schema.add_text_field(STATUS, STRING | FAST);
        let country = schema.add_text_field(COUNTRY, STRING | FAST);
        let product = schema.add_text_field("product", STRING);
        let words = schema.add_text_field("words", STRING);
        let starts = schema.add_text_field("starts", STRING);
        let created_at = schema.add_i64_field(CREATED_AT, FAST);
        let updated_at = schema.add_i64_field(UPDATED_AT, FAST);
        let source = schema.add_text_field("source", STORED);
        let schema = schema.build();
        Self {
            schema,
            id,
            id_high,
            id_low,
            version,
            status,
            country,
            product,
            words,
            starts,
            created_at,
            updated_at,
            source,
        }
    }

    /// The term that is in this order's document and no other.
    pub(super) fn id_term(&self, id: OrderId) -> Term {
        Term::from_field_text(self.id, &id.to_string())
    }

    /// Lays `document` out in fields; the error says why it cannot be.
    pub(super) fn entry(&self, document: &Document) -> Result<Entry, String> {
        let Value::Object(body) = &document.body else {
            return Err("the body is not an object".to_owned());
        };
        let mut content = TantivyDocument::new();
        let (high, low) = document.id.0.as_u64_pair();
        let id = document.id.to_string();
        content.add_text(self.id, &id);
        content.add_u64(self.id_high, high);
        content.add_u64(self.id_low, low);
        content.add_u64(self.version, document.version);
        if let Some(status) = text(body, "status")? {
            content.add_text(self.status, status);
        }
        if let Some(country) = text(body, "country")? {
            content.add_text(self.country, country);
        }
        let product = text(body, "productType")?.map(fold);
        let email = text(body, "customerEmail")?.map(fold);
        if let Some(product) = &product {
            content.add_text(self.product, cut(product));
        }
        let mut starts: BTreeSet<&str> = short_starts(&id, SHORT_ID).collect();
        for word in [&product, &email].into_iter().flatten().flat_map(|text| beginnings(text)) {
            content.add_text(self.words, word);
            starts.extend(short_starts(word, SHORT_WORD));
        }
        starts.iter().for_each(|start| content.add_text(self.starts, start));
        if let Some(micros) = time(body, "createdAt")? {
            content.add_i64(self.created_at, micros);
        }
        if let Some(micros) = time(body, "updatedAt")? {
            content.add_i64(self.updated_at, micros);
        }
        content.add_text(self.source, document.body.to_string());
        Ok(Entry { id: document.id, version: document.version, content })
    }
}

/// The id that the two halves of it stand for.
pub(super) fn id_of(key: u128) -> OrderId {
    OrderId(Uuid::from_u128(key))
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

/// Lower-cases letter by letter, so that a beginning folds to a beginning (`str::to_lowercase` looks
/// at a letter's neighbours).
pub(super) fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// The part of `text` that is indexed, or looked for.
pub(super) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(WORD_BYTES)).unwrap_or(text)
}

/// `text` from its start and from the start of each of its words on: `a@b.c`, `b.c`, `c`.
fn beginnings(text: &str) -> impl Iterator<Item = &str> {
    let mut in_word = false;
    text.char_indices()
        .filter(move |&(at, letter)| {
            let begins = at == 0 || (letter.is_alphanumeric() && !in_word);
            in_word = letter.is_alphanumeric();
            begins
        })
        .map(|(at, _)| cut(text.get(at..).unwrap_or_default()))
        .take(WORDS_PER_TEXT)
}

/// The beginnings of `word` of 1 to `most` letters.
fn short_starts(word: &str, most: usize) -> impl Iterator<Item = &str> {
    let ends = word.char_indices().map(|(at, letter)| at + letter.len_utf8());
    ends.take(most).filter_map(move |end| word.get(..end))
}

/// What to look for when somebody types `text`: its words, folded, without the quotes, brackets and
/// commas around them. None if there is nothing to look for though something was typed.
pub(super) fn typed_words(text: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = text
        .split_whitespace()
        .map(|word| fold(word.trim_matches(|letter: char| !letter.is_alphanumeric())))
        .filter(|word| !word.is_empty())
        .map(|word| cut(&word).to_owned())
        .collect();
    words.sort_unstable();
    words.dedup();
    (!words.is_empty() || text.trim().is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_can_be_found_from_the_beginning_of_each_word_on() {
        let found: Vec<_> = beginnings("<a.b@example.com>").collect();
        assert_eq!(
            found,
            ["<a.b@example.com>", "a.b@example.com>", "b@example.com>", "example.com>", "com>"]
        );
        assert_eq!(beginnings("").count(), 0);
        assert_eq!(beginnings(&"é.".repeat(10_000)).count(), WORDS_PER_TEXT);
    }

    #[test]
    fn what_was_typed_loses_what_surrounds_its_words() {
        assert_eq!(
            typed_words(" \"Smart  PHONE\", smart - "),
            Some(vec!["phone".to_owned(), "smart".to_owned()])
        );
        assert_eq!(typed_words("  "), Some(Vec::new()));
        assert_eq!(typed_words("*\"()"), None);
        assert_eq!(typed_words(&"ß".repeat(2000)).map(|words| words[0].len()), Some(WORD_BYTES));
    }
}
