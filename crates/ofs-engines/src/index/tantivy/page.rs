//! One pass over the matches of a search: total, facets, and the page that was asked for.

use super::schema::{ID_HIGH, ID_LOW, column, id_of};
use ofs_runtime::index::{Cursor, FacetCount, Query, Schema};
use std::collections::{BinaryHeap, HashMap};
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, StrColumn};
use tantivy::{DocAddress, DocId, Score, SegmentOrdinal, SegmentReader};

/// The largest counts first, at most `max`.
pub(super) fn counts(counts: HashMap<String, u64>, max: usize) -> Vec<FacetCount> {
    let mut counts: Vec<FacetCount> =
        counts.into_iter().map(|(value, count)| FacetCount { value, count }).collect();
    counts.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
    counts.truncate(max);
    counts
}

/// Where a document stands in the answer; the smallest comes first. When descending, both parts are
/// complemented, which turns their order round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    micros: i64,
    id: u128,
}

impl Key {
    fn new(micros: i64, id: u128, descending: bool) -> Self {
        if descending { Self { micros: !micros, id: !id } } else { Self { micros, id } }
    }

    /// The cursor of the page behind this place.
    pub(super) fn cursor(self, descending: bool) -> Cursor {
        let plain = Self::new(self.micros, self.id, descending);
        Cursor { micros: plain.micros, id: id_of(plain.id) }
    }
}

/// Collects total and facets of all matches, and the first `size` of them behind `after`.
pub(super) struct Page {
    /// The column to sort by.
    sort: String,
    /// The columns whose values are counted.
    facets: Vec<String>,
    descending: bool,
    after: Option<Key>,
    size: usize,
}

/// What [`Page`] collects.
#[derive(Default)]
pub(super) struct Matches {
    pub(super) total: u64,
    /// By value, for each facet as the schema lists them.
    pub(super) facets: Vec<HashMap<String, u64>>,
    pub(super) page: Vec<(Key, DocAddress)>,
}

impl Page {
    /// The page that `query` asks for, of documents of `schema`.
    pub(super) fn of(schema: &Schema, query: &Query) -> Self {
        let sort = column(query.sort_by);
        let facets = schema.facets().map(|(field, _)| column(field.name)).collect();
        let descending = query.descending;
        let after =
            query.after.map(|cursor| Key::new(cursor.micros, cursor.id.0.as_u128(), descending));
        // One more than asked for tells whether there is another page.
        let size = if query.limit == 0 { 0 } else { query.limit.saturating_add(1) };
        Self { sort, facets, descending, after, size }
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
        let facets = self.facets.iter().map(|name| Ok(Counter::new(columns.str(name)?)));
        Ok(SegmentPage {
            ordinal,
            sort: columns.column_opt(&self.sort)?,
            id_high: columns.u64(ID_HIGH)?,
            id_low: columns.u64(ID_LOW)?,
            facets: facets.collect::<tantivy::Result<_>>()?,
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
        let facets = vec![HashMap::new(); self.facets.len()];
        let mut all = Matches { facets, ..Matches::default() };
        for segment in segments {
            let segment = segment?;
            all.total += segment.total;
            for (all, counts) in all.facets.iter_mut().zip(segment.facets) {
                for (value, count) in counts {
                    *all.entry(value).or_default() += count;
                }
            }
            all.page.extend(segment.page);
        }
        all.page.sort_unstable();
        all.page.truncate(self.size);
        Ok(all)
    }
}

/// [`Page`] in one segment.
pub(super) struct SegmentPage {
    ordinal: SegmentOrdinal,
    /// None if no document of the segment has it.
    sort: Option<Column<i64>>,
    id_high: Column<u64>,
    id_low: Column<u64>,
    facets: Vec<Counter>,
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
        self.facets.iter_mut().for_each(|facet| facet.count(document));
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
            facets: self
                .facets
                .into_iter()
                .map(Counter::harvest)
                .collect::<tantivy::Result<_>>()?,
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
