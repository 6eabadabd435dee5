//! Reading one generation: searches and scans.
//!
//! No query parser: nothing a person types can be a syntax error.

use super::page::{Page, counts};
use super::schema::{Fields, SHORT_ID, SHORT_WORD, VERSION, uuids_beginning};
use crate::index::searchable::wanted;
use crate::index::words::typed_words;
use ofs_events::{Key, Timestamp};
use ofs_runtime::budget::Budget;
use ofs_runtime::index::{By, Document, Filter, Found, Query};
use serde_json::Value;
use std::borrow::Cow;
use std::ops::Bound;
use tantivy::error::DataCorruption;
use tantivy::query::{AllQuery, BooleanQuery, EmptyQuery, Query as Find, RangeQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Value as _};
use tantivy::{DocAddress, DocSet, Searcher, TERMINATED, TantivyDocument, TantivyError, Term};
use uuid::Uuid;

/// Answers `query` from what `searcher` sees.
pub(super) fn search(
    searcher: &Searcher,
    fields: &Fields,
    query: &Query,
) -> Result<Found, TantivyError> {
    let find = find(fields, query);
    let matches = searcher.search(&*find, &Page::of(&fields.schema, query))?;
    let (mut documents, mut budget) = (Vec::new(), Budget::of(query.limit));
    for (_, at) in &matches.page {
        if budget.items() == 0 {
            break;
        }
        let (document, size) = source(searcher, fields, *at)?;
        budget.spend(size);
        documents.push(document);
    }
    let more = matches.page.len() > documents.len();
    let last = documents.len().checked_sub(1).and_then(|last| matches.page.get(last));
    let last = last.filter(|_| more).map(|(key, _)| key.cursor(query.descending));
    let facets = fields.schema.facets().zip(matches.facets);
    let facets = facets.map(|((field, most), found)| (field.name, counts(found, most)));
    Ok(Found { documents, total: matches.total, facets: facets.collect(), next: last })
}

fn find(fields: &Fields, query: &Query) -> Box<dyn Find> {
    let mut all: Vec<Box<dyn Find>> = Vec::new();
    for Filter { field, by } in &query.filters {
        // No document has a field that the schema has not.
        let Some((kind, field)) = fields.declared(field) else { return Box::new(EmptyQuery) };
        match by {
            By::Values(values) => {
                let values = values.iter().map(|value| wanted(kind, value));
                all.extend(one_of(field, values));
            }
            By::Times(None, None) => {}
            By::Times(from, until) => all.push(between(field, *from, *until)),
        }
    }
    match typed_words(query.text.as_deref().unwrap_or_default()) {
        Some(words) => all.extend(words.iter().map(|word| any_beginning(fields, word))),
        None => return Box::new(EmptyQuery),
    }
    match all.len() {
        0 => Box::new(AllQuery),
        _ => Box::new(BooleanQuery::intersection(all)),
    }
}

/// Documents that have one of `values` in `field`; no filter without values.
fn one_of<'a>(field: Field, values: impl Iterator<Item = Cow<'a, str>>) -> Option<Box<dyn Find>> {
    let mut any: Vec<_> = values.map(|value| exactly(field, &value)).collect();
    match any.len() {
        0 | 1 => any.pop(),
        _ => Some(Box::new(BooleanQuery::union(any))),
    }
}

/// Documents with a time in `field` that is not before `from`, and before `until`.
fn between(field: Field, from: Option<Timestamp>, until: Option<Timestamp>) -> Box<dyn Find> {
    let term = |time: Timestamp| Term::from_field_i64(field, time.as_micros());
    let from = from.map_or_else(|| Term::from_field_i64(field, i64::MIN), term);
    let until = until.map_or(Bound::Unbounded, |until| Bound::Excluded(term(until)));
    Box::new(RangeQuery::new(Bound::Included(from), until))
}

fn exactly(field: Field, value: &str) -> Box<dyn Find> {
    Box::new(TermQuery::new(Term::from_field_text(field, value), IndexRecordOption::Basic))
}

/// Documents with a word, or an id, that begins with `word`.
fn any_beginning(fields: &Fields, word: &str) -> Box<dyn Find> {
    let letters = word.chars().count();
    if letters <= SHORT_WORD {
        return exactly(fields.starts, word);
    }
    let words = beginning(fields.words, word);
    let Some(range) = uuids_beginning(word) else { return words };
    let id = match letters {
        // Nothing but ids has starts of this length.
        ..=SHORT_ID => exactly(fields.starts, word),
        _ => within(fields.id, range),
    };
    Box::new(BooleanQuery::union(vec![words, id, within(fields.ids, range)]))
}

fn within(field: Field, (low, high): (Uuid, Uuid)) -> Box<dyn Find> {
    let term = |id: Uuid| Bound::Included(Term::from_field_bytes(field, id.as_bytes()));
    Box::new(RangeQuery::new(term(low), term(high)))
}

/// Values that begin with `word`: from it up to the first text no longer beginning with it. UTF-8
/// has no byte 0xFF, so the term with that byte appended lies behind them all.
fn beginning(field: Field, word: &str) -> Box<dyn Find> {
    let first = Term::from_field_text(field, word);
    let mut behind = first.clone();
    behind.append_bytes(&[0xFF]);
    Box::new(RangeQuery::new(Bound::Included(first), Bound::Excluded(behind)))
}

/// Documents behind `after`, by ascending id, with their versions and stored bodies.
pub(super) fn scan(
    searcher: &Searcher,
    fields: &Fields,
    after: Option<Key>,
    max: usize,
) -> Result<Vec<Document>, TantivyError> {
    let after = after.map(|id| id.0.as_bytes().to_vec()).unwrap_or_default();
    let mut found: Vec<(Vec<u8>, DocAddress)> = Vec::new();
    for (ordinal, segment) in (0..).zip(searcher.segment_readers()) {
        let ids = segment.inverted_index(fields.id)?;
        let mut terms = ids.terms().range().gt(&after).into_stream()?;
        let mut taken = 0;
        while taken < max && terms.advance() {
            let mut documents =
                ids.read_postings_from_terminfo(terms.value(), IndexRecordOption::Basic)?;
            while documents.doc() != TERMINATED {
                if !segment.is_deleted(documents.doc()) {
                    found.push((terms.key().to_vec(), DocAddress::new(ordinal, documents.doc())));
                    taken += 1;
                }
                documents.advance();
            }
        }
    }
    found.sort_unstable();
    let (mut documents, mut budget) = (Vec::new(), Budget::of(max));
    for (id, at) in found {
        if budget.items() == 0 {
            break;
        }
        let (document, size) = document(searcher, fields, &id, at)?;
        budget.spend(size);
        documents.push(document);
    }
    Ok(documents)
}

fn document(
    searcher: &Searcher,
    fields: &Fields,
    id: &[u8],
    at: DocAddress,
) -> Result<(Document, usize), TantivyError> {
    let id = Uuid::from_slice(id).map_err(|error| rotten(&error))?;
    let columns = searcher.segment_reader(at.segment_ord).fast_fields();
    let version = columns.u64(VERSION)?.first(at.doc_id).unwrap_or_default();
    let (body, size) = source(searcher, fields, at)?;
    Ok((Document { id: Key(id), version, body }, size))
}

/// The stored body of one document, and the bytes of its text.
fn source(
    searcher: &Searcher,
    fields: &Fields,
    at: DocAddress,
) -> Result<(Value, usize), TantivyError> {
    let document: TantivyDocument = searcher.doc(at)?;
    let stored = document.get_first(fields.source);
    let text = stored.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
    let body = serde_json::from_str(text).map_err(|error| rotten(&error))?;
    Ok((body, text.len()))
}

fn rotten(error: &dyn std::fmt::Display) -> TantivyError {
    DataCorruption::comment_only(format!("read a stored document: {error}")).into()
}
