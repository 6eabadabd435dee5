//! What of an order's document tantivy indexes.
//!
//! The document itself is stored as JSON text; everything else serves filters, words and sorting.

use crate::index::searchable::Searchable;
use ofs_events::Key;
use ofs_runtime::index::Document;
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
    /// E-mail and product from each of their words' beginnings on, folded.
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
    pub(super) id: Key,
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
    pub(super) fn id_term(&self, id: Key) -> Term {
        Term::from_field_text(self.id, &id.to_string())
    }

    /// Lays `document` out in fields; the error says why it cannot be.
    pub(super) fn entry(&self, document: &Document) -> Result<Entry, String> {
        let searchable = Searchable::of(document)?;
        let mut content = TantivyDocument::new();
        let (high, low) = document.id.0.as_u64_pair();
        let id = document.id.to_string();
        content.add_text(self.id, &id);
        content.add_u64(self.id_high, high);
        content.add_u64(self.id_low, low);
        content.add_u64(self.version, document.version);
        let texts = [
            (self.status, searchable.status),
            (self.country, searchable.country),
            (self.product, searchable.product()),
        ];
        for (field, text) in texts {
            text.into_iter().for_each(|text| content.add_text(field, text));
        }
        let mut starts: BTreeSet<&str> = short_starts(&id, SHORT_ID).collect();
        for word in searchable.words() {
            content.add_text(self.words, word);
            starts.extend(short_starts(word, SHORT_WORD));
        }
        starts.iter().for_each(|start| content.add_text(self.starts, start));
        let times =
            [(self.created_at, searchable.created_at), (self.updated_at, searchable.updated_at)];
        for (field, time) in times {
            time.into_iter().for_each(|micros| content.add_i64(field, micros));
        }
        content.add_text(self.source, document.body.to_string());
        Ok(Entry { id: document.id, version: document.version, content })
    }
}

/// The id that the two halves of it stand for.
pub(super) fn id_of(key: u128) -> Key {
    Key(Uuid::from_u128(key))
}

/// The beginnings of `word` of 1 to `most` letters.
fn short_starts(word: &str, most: usize) -> impl Iterator<Item = &str> {
    let ends = word.char_indices().map(|(at, letter)| at + letter.len_utf8());
    ends.take(most).filter_map(move |end| word.get(..end))
}
