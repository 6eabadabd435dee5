//! Reading one generation: searches and scans.
//!
//! No query parser: nothing a person types can be a syntax error.

use super::page::{MAX_COUNTRIES, Page, counts};
use super::schema::{Fields, SHORT_ID, SHORT_WORD, VERSION};
use crate::index::letters::fold;
use crate::index::words::{cut, typed_words};
use ofs_events::{Key, Timestamp};
use ofs_runtime::index::{Document, Found, Query};
use serde_json::Value;
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
    let matches = searcher.search(&*find, &Page::of(query))?;
    let more = matches.page.len() > query.limit;
    let keys = matches.page.get(..query.limit).unwrap_or(&matches.page);
    let orders = keys
        .iter()
        .map(|(_, at)| source(searcher, fields, *at))
        .collect::<Result<Vec<Value>, TantivyError>>()?;
    let last = keys.last().filter(|_| more).map(|(key, _)| key.cursor(query.descending));
    Ok(Found {
        orders,
        total: matches.total,
        status: counts(matches.status, usize::MAX),
        country: counts(matches.country, MAX_COUNTRIES),
        next: last,
    })
}

fn find(fields: &Fields, query: &Query) -> Box<dyn Find> {
    let mut all: Vec<Box<dyn Find>> = Vec::new();
    all.extend(one_of(fields.status, query.status.iter().map(|status| status.name())));
    all.extend(one_of(fields.country, query.country.iter().map(String::as_str)));
    let products: Vec<String> = query.product.iter().map(|product| fold(product)).collect();
    all.extend(one_of(fields.product, products.iter().map(|product| cut(product))));
    if query.created_after.is_some() || query.created_before.is_some() {
        let term = |micros| Term::from_field_i64(fields.created_at, micros);
        let from = query.created_after.map_or(i64::MIN, Timestamp::as_micros);
        let to = query
            .created_before
            .map_or(Bound::Unbounded, |time| Bound::Excluded(term(time.as_micros())));
        all.push(Box::new(RangeQuery::new(Bound::Included(term(from)), to)));
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

/// Orders that have one of `values` in `field`; no filter without values.
fn one_of<'a>(field: Field, values: impl IntoIterator<Item = &'a str>) -> Option<Box<dyn Find>> {
    let mut any: Vec<_> = values.into_iter().map(|value| exactly(field, value)).collect();
    match any.len() {
        0 | 1 => any.pop(),
        _ => Some(Box::new(BooleanQuery::union(any))),
    }
}

fn exactly(field: Field, value: &str) -> Box<dyn Find> {
    Box::new(TermQuery::new(Term::from_field_text(field, value), IndexRecordOption::Basic))
}

/// Orders with a word, or an id, that begins with `word`.
fn any_beginning(fields: &Fields, word: &str) -> Box<dyn Find> {
    let letters = word.chars().count();
    if letters <= SHORT_WORD {
        return exactly(fields.starts, word);
    }
    let words = beginning(fields.words, word);
    if !word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return words;
    }
    let ids = match letters {
        // Nothing but ids has starts of this length.
        ..=SHORT_ID => exactly(fields.starts, word),
        _ => beginning(fields.id, word),
    };
    Box::new(BooleanQuery::union(vec![words, ids]))
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
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let mut found: Vec<(Vec<u8>, DocAddress)> = Vec::new();
    for (ordinal, segment) in (0..).zip(searcher.segment_readers()) {
        let ids = segment.inverted_index(fields.id)?;
        let mut terms = ids.terms().range().gt(after.as_bytes()).into_stream()?;
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
    found.truncate(max);
    found.into_iter().map(|(id, at)| document(searcher, fields, &id, at)).collect()
}

fn document(
    searcher: &Searcher,
    fields: &Fields,
    id: &[u8],
    at: DocAddress,
) -> Result<Document, TantivyError> {
    let id = Uuid::try_parse_ascii(id).map_err(|error| rotten(&error))?;
    let columns = searcher.segment_reader(at.segment_ord).fast_fields();
    let version = columns.u64(VERSION)?.first(at.doc_id).unwrap_or_default();
    Ok(Document { id: Key(id), version, body: source(searcher, fields, at)? })
}

/// The stored body of one document.
fn source(searcher: &Searcher, fields: &Fields, at: DocAddress) -> Result<Value, TantivyError> {
    let document: TantivyDocument = searcher.doc(at)?;
    let stored = document.get_first(fields.source);
    let text = stored.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
    serde_json::from_str(text).map_err(|error| rotten(&error))
}

fn rotten(error: &dyn std::fmt::Display) -> TantivyError {
    DataCorruption::comment_only(format!("read a stored document: {error}")).into()
}
