//! Reading: searches through the alias, and scans of one generation.
//!
//! Queries are built from values, never from text: nothing a person types can be a syntax error.

use super::client::Client;
use super::mapping::LONGEST;
use crate::index::letters::fold;
use crate::index::words::{cut, typed_words};
use ofs_events::Key;
use ofs_runtime::index::{Cursor, Document, Error, FacetCount, Found, Query, SortBy};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// How long a person waits for a search.
const PATIENCE: Duration = Duration::from_secs(5);
/// After this the server gives up by itself, so that searches nobody waits for do not pile up.
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
/// More than there are statuses.
const STATUSES: usize = 1_000;
const COUNTRIES: usize = 50;

#[derive(Deserialize)]
struct Answer {
    timed_out: bool,
    hits: Hits,
    aggregations: Option<Facets>,
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
struct Facets {
    status: Facet,
    country: Facet,
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
pub(super) async fn search(client: &Client, alias: &str, query: &Query) -> Result<Found, Error> {
    let path = format!("{alias}/_search?allow_partial_search_results=false");
    let body = request(query);
    let mut attempt = 1;
    let answer: Answer = loop {
        match client.search(&path, &body, PATIENCE).await {
            Ok(answer) => break answer,
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
    Ok(found(answer, query))
}

fn request(query: &Query) -> Value {
    let sort = match query.sort_by {
        SortBy::CreatedAt => "search.createdAt",
        SortBy::UpdatedAt => "search.updatedAt",
    };
    let order = if query.descending { "desc" } else { "asc" };
    // One more than asked for tells whether there is another page.
    let size = if query.limit == 0 { 0 } else { query.limit.saturating_add(1).min(WINDOW) };
    let mut request = json!({
        "query": {"bool": {"filter": filters(query)}},
        "sort": [
            {sort: {"order": order, "missing": 0}},
            // Somebody else's document has no id of ours, and must not break the pages.
            {"search.id": {"order": order, "missing": Uuid::nil()}},
        ],
        "size": size,
        "track_total_hits": true,
        "timeout": SERVER_PATIENCE,
        "aggs": {
            "status": {"terms": {"field": "status", "size": STATUSES}},
            "country": {"terms": {"field": "country", "size": COUNTRIES}},
        },
    });
    if let Some(Cursor { micros, id }) = query.after {
        request["search_after"] = json!([micros, id]);
    }
    request
}

fn filters(query: &Query) -> Vec<Value> {
    let mut all = Vec::new();
    if !query.status.is_empty() {
        let names: Vec<&str> = query.status.iter().map(|status| status.name()).collect();
        all.push(json!({"terms": {"status": names}}));
    }
    if !query.country.is_empty() {
        // A longer one is in no term, and to ask for it would be an error.
        let is_indexed = |country: &&String| country.chars().count() <= LONGEST;
        let countries: Vec<&String> = query.country.iter().filter(is_indexed).collect();
        all.push(json!({"terms": {"country": countries}}));
    }
    if !query.product.is_empty() {
        let product = |product: &String| cut(&fold(product)).to_owned();
        let products: Vec<String> = query.product.iter().map(product).collect();
        all.push(json!({"terms": {"search.product": products}}));
    }
    if let Some(after) = query.created_after {
        all.push(json!({"range": {"search.createdAt": {"gte": after.as_micros()}}}));
    }
    if let Some(before) = query.created_before {
        all.push(json!({"range": {"search.createdAt": {"lt": before.as_micros()}}}));
    }
    match typed_words(query.text.as_deref().unwrap_or_default()) {
        Some(words) => {
            all.extend(words.iter().map(|word| json!({"prefix": {"search.words": word}})));
        }
        None => all.push(nothing()),
    }
    all
}

fn nothing() -> Value {
    json!({"match_none": {}})
}

fn found(answer: Answer, query: &Query) -> Found {
    let Hits { total, mut hits } = answer.hits;
    let limit = query.limit.min(WINDOW - 1);
    let more = hits.len() > limit;
    hits.truncate(limit);
    let next = hits.last().filter(|_| more).map(|hit| Cursor {
        micros: hit.sort.first().and_then(Value::as_i64).unwrap_or_default(),
        id: hit.sorted_id().unwrap_or(Key(Uuid::nil())),
    });
    let facets = answer.aggregations.unwrap_or_default();
    Found {
        orders: hits.into_iter().map(|hit| hit.body).collect(),
        total: total.map_or(0, |total| total.value),
        status: facets.status.counts(),
        country: facets.country.counts(),
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
    /// The id that it is sorted by, which is the last value of the sort. Somebody else's document may
    /// have none.
    fn sorted_id(&self) -> Option<Key> {
        self.sort.last()?.as_str()?.parse().ok()
    }

    /// The document, if it is one of an order.
    fn document(self) -> Option<Document> {
        let id = self.sorted_id().or_else(|| self.id.parse().ok())?;
        Some(Document { id, version: self.version, body: self.body })
    }
}

/// Documents behind `after`, by ascending id. All puts that were answered are seen, because they wait
/// for that; so are documents that somebody else wrote, if they have the id of an order.
pub(super) async fn scan(
    client: &Client,
    writing: &str,
    after: Option<Key>,
    max: usize,
) -> Result<Vec<Document>, Error> {
    let mut found = Vec::new();
    let mut at = after.map(|after| json!(after));
    while found.len() < max {
        let size = (max - found.len()).min(PAGE);
        let mut body = json!({
            "query": {"exists": {"field": "search.id"}},
            "sort": [{"search.id": "asc"}],
            "size": size,
            "version": true,
            "track_total_hits": false,
        });
        if let Some(at) = at {
            body["search_after"] = json!([at]);
        }
        let hits = read(client, writing, &body).await?;
        let is_last = hits.len() < size;
        at = hits.last().and_then(|hit| hit.sort.last()).cloned();
        found.extend(hits.into_iter().filter_map(Hit::document));
        if is_last {
            break;
        }
    }
    found.extend(strays(client, writing, after.is_none()).await?);
    found.retain(|document| after.is_none_or(|after| document.id > after));
    found.sort_by_key(|document| document.id);
    found.truncate(max);
    Ok(found)
}

/// Documents that this program did not write: they lack what it adds. Tells of those that are no
/// orders if `telling`.
async fn strays(client: &Client, writing: &str, telling: bool) -> Result<Vec<Document>, Error> {
    let body = json!({
        "query": {"bool": {"must_not": {"exists": {"field": "search.id"}}}},
        "size": STRAYS,
        "version": true,
        "track_total_hits": false,
    });
    let hits = read(client, writing, &body).await?;
    let all = hits.len();
    let found: Vec<Document> = hits.into_iter().filter_map(Hit::document).collect();
    if telling && found.len() < all {
        let documents = all - found.len();
        tracing::warn!(documents, index = writing, "somebody put documents that are no orders");
    }
    Ok(found)
}

async fn read(client: &Client, writing: &str, body: &Value) -> Result<Vec<Hit>, Error> {
    let path = format!("{writing}/_search?allow_partial_search_results=false");
    let answer: Answer = client.search(&path, body, SCAN).await?;
    Ok(answer.hits.hits)
}
