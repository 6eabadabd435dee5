//! Searching one generation: the query, and one pass over the matches for total, facets and page.
//!
//! No query parser: nothing a person types can be a syntax error.

use super::schema::{
    COUNTRY, CREATED_AT, Fields, ID_HIGH, ID_LOW, STATUS, UPDATED_AT, cut, fold, id_of, typed_words,
};
use ofs_runtime::index::{Cursor, FacetCount, Found, Query, SortBy};
use serde_json::Value;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Bound;
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, StrColumn};
use tantivy::query::{AllQuery, BooleanQuery, EmptyQuery, Query as Find, RangeQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Value as _};
use tantivy::{
    DocAddress, DocId, Score, Searcher, SegmentOrdinal, SegmentReader, TantivyDocument,
    TantivyError, Term,
};

/// Words of a search text beyond which nothing is found: no order has so many.
const MAX_WORDS: usize = 64;
/// Countries counted in an answer.
const MAX_COUNTRIES: usize = 50;

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

/// The stored body of one document.
pub(super) fn source(
    searcher: &Searcher,
    fields: &Fields,
    at: DocAddress,
) -> Result<Value, TantivyError> {
    let document: TantivyDocument = searcher.doc(at)?;
    let stored = document.get_first(fields.source);
    let text = stored.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
    serde_json::from_str(text)
        .map_err(|error| TantivyError::InternalError(format!("read a stored document: {error}")))
}

fn find(fields: &Fields, query: &Query) -> Box<dyn Find> {
    let mut all: Vec<Box<dyn Find>> = Vec::new();
    if let Some(status) = query.status {
        all.push(exactly(fields.status, status.name()));
    }
    if let Some(country) = &query.country {
        all.push(exactly(fields.country, country));
    }
    if let Some(product) = &query.product {
        all.push(exactly(fields.product, cut(&fold(product))));
    }
    if query.created_after.is_some() || query.created_before.is_some() {
        let term = |micros| Term::from_field_i64(fields.created_at, micros);
        let from = query.created_after.map_or(i64::MIN, ofs_events::Timestamp::as_micros);
        let to = query
            .created_before
            .map_or(Bound::Unbounded, |time| Bound::Excluded(term(time.as_micros())));
        all.push(Box::new(RangeQuery::new(Bound::Included(term(from)), to)));
    }
    match typed_words(query.text.as_deref().unwrap_or_default()) {
        Some(words) if words.len() <= MAX_WORDS => {
            all.extend(words.iter().map(|word| any_beginning(fields, word)));
        }
        _ => return Box::new(EmptyQuery),
    }
    match all.len() {
        0 => Box::new(AllQuery),
        _ => Box::new(BooleanQuery::intersection(all)),
    }
}

fn exactly(field: Field, value: &str) -> Box<dyn Find> {
    Box::new(TermQuery::new(Term::from_field_text(field, value), IndexRecordOption::Basic))
}

fn any_beginning(fields: &Fields, word: &str) -> Box<dyn Find> {
    let mut any = vec![beginning(fields.words, word)];
    if word.len() <= 36 && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        any.push(beginning(fields.id, word));
    }
    Box::new(BooleanQuery::union(any))
}

/// Values that begin with `word`: from it up to the first text no longer beginning with it. UTF-8
/// has no byte 0xFF, so the term with that byte appended lies behind them all.
fn beginning(field: Field, word: &str) -> Box<dyn Find> {
    let first = Term::from_field_text(field, word);
    let mut behind = first.clone();
    behind.append_bytes(&[0xFF]);
    Box::new(RangeQuery::new(Bound::Included(first), Bound::Excluded(behind)))
}

fn counts(counts: HashMap<String, u64>, max: usize) -> Vec<FacetCount> {
    let mut counts: Vec<FacetCount> =
        counts.into_iter().map(|(value, count)| FacetCount { value, count }).collect();
    counts.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    counts.truncate(max);
    counts
}

/// Where an order stands in the answer; the smallest comes first. When descending, both parts are
/// complemented, which turns their order round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    micros: i64,
    id: u128,
}

impl Key {
    fn new(micros: i64, id: u128, descending: bool) -> Self {
        if descending { Self { micros: !micros, id: !id } } else { Self { micros, id } }
    }

    fn cursor(self, descending: bool) -> Cursor {
        let plain = Self::new(self.micros, self.id, descending);
        Cursor { micros: plain.micros, id: id_of(plain.id) }
    }
}

/// Collects total and facets of all matches, and the first `size` of them behind `after`.
struct Page {
    sort: &'static str,
    descending: bool,
    after: Option<Key>,
    size: usize,
}

#[derive(Default)]
struct Matches {
    total: u64,
    status: HashMap<String, u64>,
    country: HashMap<String, u64>,
    page: Vec<(Key, DocAddress)>,
}

impl Page {
    fn of(query: &Query) -> Self {
        let sort = match query.sort_by {
            SortBy::CreatedAt => CREATED_AT,
            SortBy::UpdatedAt => UPDATED_AT,
        };
        let descending = query.descending;
        let after =
            query.after.map(|cursor| Key::new(cursor.micros, cursor.id.0.as_u128(), descending));
        // One more than asked for tells whether there is another page.
        let size = if query.limit == 0 { 0 } else { query.limit.saturating_add(1) };
        Self { sort, descending, after, size }
    }
}

impl Collector for Page {
    type Fruit = Matches;
    type Child = SegmentPage;

    fn for_segment(
        &self,
        ordinal: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentPage> {
        let columns = segment.fast_fields();
        Ok(SegmentPage {
            ordinal,
            sort: columns.column_opt(self.sort)?,
            id_high: columns.u64(ID_HIGH)?,
            id_low: columns.u64(ID_LOW)?,
            status: Counter::new(columns.str(STATUS)?),
            country: Counter::new(columns.str(COUNTRY)?),
            descending: self.descending,
            after: self.after,
            size: self.size,
            total: 0,
            page: BinaryHeap::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, segments: Vec<tantivy::Result<Matches>>) -> tantivy::Result<Matches> {
        let mut all = Matches::default();
        for segment in segments {
            let segment = segment?;
            all.total += segment.total;
            for (value, count) in segment.status {
                *all.status.entry(value).or_default() += count;
            }
            for (value, count) in segment.country {
                *all.country.entry(value).or_default() += count;
            }
            all.page.extend(segment.page);
        }
        all.page.sort_unstable();
        all.page.truncate(self.size);
        Ok(all)
    }
}

/// [`Page`] in one segment.
struct SegmentPage {
    ordinal: SegmentOrdinal,
    /// None if no document of the segment has it.
    sort: Option<Column<i64>>,
    id_high: Column<u64>,
    id_low: Column<u64>,
    status: Counter,
    country: Counter,
    descending: bool,
    after: Option<Key>,
    size: usize,
    total: u64,
    /// The best so far; the worst of them on top.
    page: BinaryHeap<(Key, DocId)>,
}

impl SegmentPage {
    /// The document's place if it belongs on the page as far as is known. Ids, the dearer part, are
    /// read only if the time alone does not decide.
    fn place(&self, document: DocId) -> Option<Key> {
        let micros = self.sort.as_ref().and_then(|column| column.first(document)).unwrap_or(0);
        let time = Key::new(micros, 0, self.descending).micros;
        let worst = self.page.peek().filter(|_| self.page.len() >= self.size).map(|(key, _)| *key);
        if self.after.is_some_and(|after| time < after.micros)
            || worst.is_some_and(|worst| time > worst.micros)
        {
            return None;
        }
        let high = self.id_high.first(document).unwrap_or_default();
        let low = self.id_low.first(document).unwrap_or_default();
        let id = (u128::from(high) << 64) | u128::from(low);
        let key = Key::new(micros, id, self.descending);
        let wanted =
            self.after.is_none_or(|after| key > after) && worst.is_none_or(|worst| key < worst);
        wanted.then_some(key)
    }
}

impl SegmentCollector for SegmentPage {
    type Fruit = tantivy::Result<Matches>;

    fn collect(&mut self, document: DocId, _: Score) {
        self.total += 1;
        self.status.count(document);
        self.country.count(document);
        if self.size == 0 {
            return;
        }
        if let Some(key) = self.place(document) {
            if self.page.len() >= self.size {
                self.page.pop();
            }
            self.page.push((key, document));
        }
    }

    fn harvest(self) -> tantivy::Result<Matches> {
        let ordinal = self.ordinal;
        Ok(Matches {
            total: self.total,
            status: self.status.harvest()?,
            country: self.country.harvest()?,
            page: self
                .page
                .into_iter()
                .map(|(key, document)| (key, DocAddress::new(ordinal, document)))
                .collect(),
        })
    }
}

/// Counts the values of one column, by their number in the segment's dictionary.
struct Counter {
    column: Option<StrColumn>,
    counts: Vec<u64>,
}

impl Counter {
    fn new(column: Option<StrColumn>) -> Self {
        let size = column.as_ref().map_or(0, |column| column.num_terms());
        Self { column, counts: vec![0; size] }
    }

    fn count(&mut self, document: DocId) {
        let Some(column) = &self.column else { return };
        let value = column.ords().first(document).and_then(|value| usize::try_from(value).ok());
        if let Some(count) = value.and_then(|value| self.counts.get_mut(value)) {
            *count += 1;
        }
    }

    fn harvest(self) -> tantivy::Result<HashMap<String, u64>> {
        let mut found = HashMap::new();
        let Some(column) = self.column else { return Ok(found) };
        for (ordinal, count) in (0..).zip(self.counts) {
            let mut value = String::new();
            if count > 0 && column.ord_to_str(ordinal, &mut value)? {
                found.insert(value, count);
            }
        }
        Ok(found)
    }
}
