//! The columns that a schema becomes in tantivy, and documents as it takes them.
//!
//! The document itself is stored as JSON text; everything else serves filters, words and sorting.

use crate::index::searchable::Searchable;
use ofs_events::Key;
use ofs_runtime::index::{Document, Kind, Schema};
use std::collections::BTreeSet;
use tantivy::schema::{FAST, Field, INDEXED, STORED, STRING, Schema as Columns};
use tantivy::{TantivyDocument, Term};
use uuid::Uuid;

/// Names of the columns, which tantivy wants as text.
pub(super) const ID_HIGH: &str = "id_high";
pub(super) const ID_LOW: &str = "id_low";
pub(super) const VERSION: &str = "version";

/// The name of the column of the schema's field `name`, unlike any that every index has.
pub(super) fn column(name: &str) -> String {
    format!("field_{name}")
}

/// Letters up to which every beginning of a word is a term of its own. A longer one is looked up as a
/// range of words, which is short by then; the range of `user` may be a word for each document.
pub(super) const SHORT_WORD: usize = 6;
/// The same for ids: those of the same minute share their first eight digits.
pub(super) const SHORT_ID: usize = 8;

/// The columns of an index.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    /// What they are made of.
    pub(super) schema: Schema,
    pub(super) columns: Columns,
    /// The id, to find and to delete by.
    pub(super) id: Field,
    /// Other ids that a document has. As bytes they are half as long as their texts, and most of what
    /// the index costs is building and merging terms that no two documents share.
    pub(super) ids: Field,
    id_high: Field,
    id_low: Field,
    version: Field,
    /// What free text finds, folded, from each word's beginning on.
    pub(super) words: Field,
    /// The beginnings of `words` up to [`SHORT_WORD`] and of the id up to [`SHORT_ID`].
    pub(super) starts: Field,
    /// The body as JSON text.
    pub(super) source: Field,
    /// Keywords, names and times, by the names of the schema's fields.
    declared: Vec<(&'static str, Kind, Field)>,
}

/// A document ready for the writer.
pub(super) struct Entry {
    pub(super) id: Key,
    pub(super) version: u64,
    pub(super) content: TantivyDocument,
}

impl Fields {
    pub(super) fn new(schema: Schema) -> Self {
        let mut columns = Columns::builder();
        let id = columns.add_bytes_field("id", INDEXED);
        let ids = columns.add_bytes_field("ids", INDEXED);
        let id_high = columns.add_u64_field(ID_HIGH, FAST);
        let id_low = columns.add_u64_field(ID_LOW, FAST);
        let version = columns.add_u64_field(VERSION, FAST);
        let words = columns.add_text_field("words", STRING);
        let starts = columns.add_text_field("starts", STRING);
        let source = columns.add_text_field("source", STORED);
        let mut declared = Vec::new();
        for field in schema.fields() {
            let name = column(field.name);
            let column = match field.kind {
                Kind::Id | Kind::Ids(_) | Kind::Text => continue,
                Kind::Name | Kind::Keyword { facet: None } => columns.add_text_field(&name, STRING),
                Kind::Keyword { facet: Some(_) } => columns.add_text_field(&name, STRING | FAST),
                Kind::Time { .. } => columns.add_i64_field(&name, FAST),
            };
            declared.push((field.name, field.kind, column));
        }
        let columns = columns.build();
        Self { schema, columns, id, ids, id_high, id_low, version, words, starts, source, declared }
    }

    /// The column of the schema's field `name`, and what it holds.
    pub(super) fn declared(&self, name: &str) -> Option<(Kind, Field)> {
        let found = self.declared.iter().find(|(known, ..)| *known == name);
        found.map(|&(_, kind, field)| (kind, field))
    }

    /// The term that is in the document with this id and no other.
    pub(super) fn id_term(&self, id: Key) -> Term {
        Term::from_field_bytes(self.id, id.0.as_bytes())
    }

    /// Lays `document` out in columns; the error says why it cannot be.
    pub(super) fn entry(&self, document: &Document) -> Result<Entry, String> {
        let searchable = Searchable::of(&self.schema, document)?;
        let mut content = TantivyDocument::new();
        let (high, low) = document.id.0.as_u64_pair();
        let id = document.id.to_string();
        content.add_bytes(self.id, document.id.0.as_bytes());
        content.add_u64(self.id_high, high);
        content.add_u64(self.id_low, low);
        content.add_u64(self.version, document.version);
        for (name, text) in searchable.keywords().chain(searchable.names()) {
            self.declared(name).into_iter().for_each(|(_, field)| content.add_text(field, text));
        }
        for (name, micros) in searchable.times() {
            self.declared(name).into_iter().for_each(|(_, field)| content.add_i64(field, micros));
        }
        let mut starts: BTreeSet<&str> = short_starts(&id, SHORT_ID).collect();
        for word in searchable.words() {
            content.add_text(self.words, word);
            starts.extend(short_starts(word, SHORT_WORD));
        }
        for id in searchable.ids() {
            match canonical(id) {
                Some(id) => content.add_bytes(self.ids, id.as_bytes()),
                None => content.add_text(self.words, id),
            }
            starts.extend(short_starts(id, SHORT_WORD));
        }
        starts.iter().for_each(|start| content.add_text(self.starts, start));
        content.add_text(self.source, document.body.to_string());
        Ok(Entry { id: document.id, version: document.version, content })
    }
}

/// The id that the two halves of it stand for.
pub(super) fn id_of(key: u128) -> Key {
    Key(Uuid::from_u128(key))
}

/// `id` as a UUID, if that has the same text again.
fn canonical(id: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(id).ok()?;
    (uuid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()) == id).then_some(uuid)
}

/// The lowest and the highest UUID whose text begins with `word`; none if none does.
pub(super) fn uuids_beginning(word: &str) -> Option<(Uuid, Uuid)> {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    let (mut low, mut digits) = (0, 0);
    for (at, letter) in word.char_indices() {
        if HYPHENS.contains(&at) {
            (letter == '-').then_some(())?;
        } else {
            let digit = letter.to_digit(16).filter(|_| !letter.is_ascii_uppercase())?;
            low = low << 4 | u128::from(digit);
            digits += 1;
        }
    }
    let open = 4 * 32_u32.checked_sub(digits)?;
    let rest = 1_u128.checked_shl(open).map_or(u128::MAX, |end| end - 1);
    let low = low.checked_shl(open).unwrap_or(0);
    Some((Uuid::from_u128(low), Uuid::from_u128(low | rest)))
}

/// The beginnings of `word` of 1 to `most` letters.
fn short_starts(word: &str, most: usize) -> impl Iterator<Item = &str> {
    let ends = word.char_indices().map(|(at, letter)| at + letter.len_utf8());
    ends.take(most).filter_map(move |end| word.get(..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_id_stands_for_a_range_of_ids() {
        let id = Uuid::from_u128(0x0198_c0de_1234_7abc_8def_0123_4567_89ab);
        let text = id.to_string();
        for end in 0..=text.len() {
            let (low, high) = uuids_beginning(&text[..end]).expect("a range");
            assert!(low <= id && id <= high, "{}", &text[..end]);
            for edge in [low, high] {
                assert!(edge.to_string().starts_with(&text[..end]), "{edge} {}", &text[..end]);
            }
        }
        for other in ["0198C0DE", "0198c0de1", "0198-", "user", &format!("{text}0"), "０198"] {
            assert_eq!(uuids_beginning(other), None, "{other}");
        }
        assert_eq!(canonical(&text), Some(id));
        assert_eq!(canonical(&text.to_uppercase()), None);
        assert_eq!(canonical(&id.simple().to_string()), None);
    }
}
