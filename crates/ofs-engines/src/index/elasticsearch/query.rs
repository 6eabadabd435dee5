//! Reading: searches through the alias, and scans of one generation.
//!
//! Queries are built from values, never from text: nothing a person types can be a syntax error.

use super::client::Client;
use super::mapping::LONGEST;
use crate::index::searchable::wanted;
use crate::index::words::typed_words;
use ofs_events::{Key, Timestamp};
use ofs_runtime::budget::{BATCH_BYTES, BATCHES};
use ofs_runtime::index::{By, Cursor, Document, Error, FacetCount, Filter, Found};
use ofs_runtime::index::{Field, Kind, Query, Schema};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;

/// How long a person waits for a search.
const PATIENCE: Duration = Duration::from_secs(5);
/// After this the server gives up, so that searches without a waiting client do not pile up.
const SERVER_PATIENCE: &str = "4s";
/// How long a page of a scan may take.
const SCAN: Duration = Duration::from_secs(30);
/// Searches that fail because a rebuild just removed what they were reading are asked again.
const ATTEMPTS: usize = 3;
/// The most documents the server gives at once.
const WINDOW: usize = 10_000;
/// Documents of one request of a scan.
const PAGE: usize = 1_000;
/// Documents of others that one scan looks at.
const STRAYS: usize = 1_000;
/// Bytes of an answer beyond which half as many documents are asked for.
const ANSWER: usize = BATCHES * BATCH_BYTES;

#[derive(Deserialize)]
struct Answer {
    timed_out: bool,
    hits: Hits,
    /// By the names of their fields.
    #[serde(default)]
    aggregations: HashMap<String, Facet>,
}

#[derive(Deserialize)]
struct Hits {
    total: Option<Total>,
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Total {
    value: u64,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_version", default)]
    version: u64,
    #[serde(rename = "_source", default)]
    body: Value,
    #[serde(default)]
    sort: Vec<Value>,
}

#[derive(Default, Deserialize)]
struct Facet {
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    key: String,
    doc_count: u64,
}

/// Answers `query` from what the alias `alias` points to.
pub(super) async fn search(
    client: &Client,
    alias: &str,
    schema: &Schema,
    query: &Query,
) -> Result<Found, Error> {
    let path = format!("{alias}/_search?allow_partial_search_results=false");
    let (mut query, mut attempt) = (query.clone(), 1);
    let answer: Answer = loop {
        match client.search(&path, &request(schema, &query), PATIENCE, most(query.limit)).await {
            Ok(answer) => break answer,
            Err(failure) if failure.is_too_large() && query.limit > 1 => query.limit /= 2,
            Err(failure) if failure.is_passing() && attempt < ATTEMPTS => attempt += 1,
            Err(failure) if failure.is_foreign_mapping() => {
                let text = format!("`{alias}` is not an index of this program: {}", failure.text());
                return Err(Error::Missing(text));
            }
            Err(failure) => {
                if failure.is_missing() {
                    client.knows_its_indices().await?;
                }
                return Err(failure.into());
            }
        }
    };
    if answer.timed_out {
        return Err(Error::Unavailable("the search took too long".to_owned()));
    }
    Ok(found(answer, schema, &query))
}

/// Bytes of an answer with so many documents; if they are fewer than two, they are taken as they are.
const fn most(documents: usize) -> usize {
    if documents > 1 { ANSWER } else { usize::MAX }
}

fn request(schema: &Schema, query: &Query) -> Value {
    let sort = member(query.sort_by);
    let direction = if query.descending { "desc" } else { "asc" };
    let facet = |(field, most): (&Field, usize)| {
        (field.name.to_owned(), json!({"terms": {"field": field.member, "size": most}}))
    };
    let facets: Map<String, Value> = schema.facets().map(facet).collect();
    // One more than asked for tells whether there is another page.
    let size = if query.limit == 0 { 0 } else { query.limit.saturating_add(1).min(WINDOW) };
    let mut request = json!({
        "query": {"bool": {"filter": filters(schema, query)}},
        "sort": [
            {sort: {"order": direction, "missing": 0}},
            // Another program's document has no id of ours, and must not break the pages.
            {"search.id": {"order": direction, "missing": Uuid::nil()}},
        ],
        "size": size,
        "track_total_hits": true,
        "timeout": SERVER_PATIENCE,
        "aggs": facets,
    });
    if let Some(Cursor { micros, id }) = query.after {
        request["search_after"] = json!([micros, id]);
    }
    request
}

/// The member that only searches use for the field `name`.
fn member(name: &str) -> String {
    format!("search.{name}")
}

fn filters(schema: &Schema, query: &Query) -> Vec<Value> {
    let mut all = Vec::new();
    for Filter { field, by } in &query.filters {
        // No document has a field that the schema has not.
        let Some(field) = schema.field(field) else { return vec![nothing()] };
        match by {
            By::Values(values) if values.is_empty() => {}
            By::Values(values) => all.push(one_of(field, values)),
            By::Times(None, None) => {}
            By::Times(from, until) => all.push(between(field, *from, *until)),
        }
    }
    match typed_words(query.text.as_deref().unwrap_or_default()) {
        Some(words) => {
            all.extend(words.iter().map(|word| json!({"prefix": {"search.words": word}})));
        }
        None => all.push(nothing()),
    }
    all
}

fn one_of(field: &Field, values: &[String]) -> Value {
    let values = values.iter().map(|value| wanted(field.kind, value));
    // A longer one is in no term, and to ask for it would be an error.
    let values = values.filter(|value| value.chars().count() <= LONGEST);
    let values: Vec<Cow<'_, str>> = values.collect();
    match field.kind {
        Kind::Name => json!({"terms": {member(field.name): values}}),
        _ => json!({"terms": {field.member: values}}),
    }
}

fn between(field: &Field, from: Option<Timestamp>, until: Option<Timestamp>) -> Value {
    let mut range = Map::new();
    for (bound, time) in [("gte", from), ("lt", until)] {
        range.extend(time.map(|time| (bound.to_owned(), json!(time.as_micros()))));
    }
    json!({"range": {member(field.name): range}})
}

fn nothing() -> Value {
    json!({"match_none": {}})
}

fn found(answer: Answer, schema: &Schema, query: &Query) -> Found {
    let Answer { hits: Hits { total, mut hits }, mut aggregations, .. } = answer;
    let limit = query.limit.min(WINDOW - 1);
    let more = hits.len() > limit;
    hits.truncate(limit);
    let next = hits.last().filter(|_| more).map(|hit| Cursor {
        micros: hit.sort.first().and_then(Value::as_i64).unwrap_or_default(),
        id: hit.sorted_id().unwrap_or(Key(Uuid::nil())),
    });
    let facets = schema.facets().map(|(field, _)| {
        let found = aggregations.remove(field.name).unwrap_or_default();
        (field.name, found.counts())
    });
    Found {
        documents: hits.into_iter().map(|hit| hit.body).collect(),
        total: total.map_or(0, |total| total.value),
        facets: facets.collect(),
        next,
    }
}

impl Facet {
    fn counts(self) -> Vec<FacetCount> {
        let count = |bucket: Bucket| FacetCount { value: bucket.key, count: bucket.doc_count };
        self.buckets.into_iter().map(count).collect()
    }
}

impl Hit {
    /// The id that it is sorted by, which is the last value of the sort. Another program's document may
    /// have none.
    fn sorted_id(&self) -> Option<Key> {
        self.sort.last()?.as_str()?.parse().ok()
    }

    /// The document, if its id is one of a record.
    fn document(self) -> Option<Document> {
        let id = self.sorted_id().or_else(|| self.id.parse().ok())?;
        Some(Document { id, version: self.version, body: self.body })
    }
}

/// Documents behind `after`, by ascending id. All puts that were answered are seen, because they wait
/// for that; so are documents that another program wrote, if they have the id of a record.
pub(super) async fn scan(
    client: &Client,
    writing: &str,
    after: Option<Key>,
    max: usize,
) -> Result<Vec<Document>, Error> {
    let mut found: Vec<Document> = Vec::new();
    let mut at = after.map(|after| json!(after));
    let mut is_last = false;
    while !is_last && found.len() < max {
        let size = (max - found.len()).min(PAGE);
        let mut body = json!({
            "query": {"exists": {"field": "search.id"}},
            "sort": [{"search.id": "asc"}],
            "version": true,
            "track_total_hits": false,
        });
        if let Some(at) = at {
            body["search_after"] = json!([at]);
        }
        let (hits, asked) = read(client, writing, body, size).await?;
        is_last = hits.len() < asked;
        at = hits.last().and_then(|hit| hit.sort.last()).cloned();
        found.extend(hits.into_iter().filter_map(Hit::document));
        if asked < size {
            break;
        }
    }
    let end = found.last().map(|document| document.id).filter(|_| !is_last);
    found.extend(strays(client, writing, after.is_none()).await?);
    found.retain(|document| after.is_none_or(|after| document.id > after));
    // Behind the end there may be documents between the strays.
    found.retain(|document| end.is_none_or(|end| document.id <= end));
    found.sort_by_key(|document| document.id);
    found.truncate(max);
    Ok(found)
}

/// Documents that this program did not write: they lack what it adds. Tells of those that have no id
/// of a record if `telling`.
async fn strays(client: &Client, writing: &str, telling: bool) -> Result<Vec<Document>, Error> {
    let body = json!({
        "query": {"bool": {"must_not": {"exists": {"field": "search.id"}}}},
        "version": true,
        "track_total_hits": false,
    });
    let (hits, _) = read(client, writing, body, STRAYS).await?;
    let all = hits.len();
    let found: Vec<Document> = hits.into_iter().filter_map(Hit::document).collect();
    if telling && found.len() < all {
        let documents = all - found.len();
        tracing::warn!(
            documents,
            index = writing,
            "another program put documents whose ids belong to no record"
        );
    }
    Ok(found)
}

/// At most `size` documents, fewer if they are large; and how many were asked for in the end.
async fn read(
    client: &Client,
    writing: &str,
    mut body: Value,
    mut size: usize,
) -> Result<(Vec<Hit>, usize), Error> {
    let path = format!("{writing}/_search?allow_partial_search_results=false");
    loop {
        body["size"] = json!(size);
        match client.search::<Answer>(&path, &body, SCAN, most(size)).await {
            Ok(answer) => return Ok((answer.hits.hits, size)),
            Err(failure) if failure.is_too_large() && size > 1 => size /= 2,
            Err(failure) => return Err(failure.into()),
        }
    }
}
