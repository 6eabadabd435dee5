//! The mapping of a generation, and documents as it takes them.
//!
//! What only searches need is one member `search` beside the document's own. It is indexed but not
//! kept, so that whoever looks at a document sees exactly what was put.

use super::names::{Generation, Names};
use crate::index::searchable::{LAYOUT, Searchable};
use ofs_runtime::index::{Document, Kind, Schema};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};
use uuid::{Uuid, uuid};

/// The member that only searches use.
const SEARCH: &str = "search";
/// Puts wait until searches see them, which is at the next refresh. Measured with four puts of 512
/// documents at once on two cores: 20 to 25 thousand a second without any refresh, 11 to 12
/// thousand with a refresh each 50 or 100 ms, 8 thousand at 200 ms (the puts only wait), 8 to 9
/// thousand with a refresh for each put. A single one waits 60, 110, 210 or 6 ms; but one refresh
/// for each put makes hundreds of tiny segments a second just when the server is busy.
const REFRESH: &str = "100ms";
/// A string of more letters than this is not indexed as a whole (it is still shown): it may exceed
/// the longest possible term, and the document would be refused.
pub(super) const LONGEST: usize = 8_191;

/// The schema of generations that do not name theirs: this was the only one.
const UNSAID: Uuid = uuid!("f97c5143-8887-534e-bb49-30edeff2bef3");

/// What a generation says of itself, in its mapping's `_meta.ofs`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct About {
    /// The installation's prefix: the pattern of one may match the names of another.
    pub(super) prefix: String,
    /// The store it was made for.
    pub(super) instance: Uuid,
    layout: u32,
    /// The fingerprint of its schema.
    #[serde(default = "unsaid")]
    schema: Uuid,
}

const fn unsaid() -> Uuid {
    UNSAID
}

impl About {
    /// Whether a generation that says so of itself can be used for documents of `schema`.
    pub(super) fn is_current(&self, schema: &Schema) -> bool {
        self.layout == LAYOUT && self.schema == schema.fingerprint()
    }
}

/// The request that makes `generation`. It says what must not be left to defaults, which templates of
/// the cluster could change: durable before it is answered, one shard (so that counts are exact), and
/// nothing indexed that is not listed.
pub(super) fn creation(
    names: &Names,
    generation: &Generation,
    schema: &Schema,
    instance: Uuid,
) -> Value {
    let prefix = names.prefix().to_owned();
    let about = About { prefix, instance, layout: LAYOUT, schema: schema.fingerprint() };
    json!({
        "settings": {
            "number_of_shards": 1,
            "auto_expand_replicas": "0-1",
            "refresh_interval": REFRESH,
            "translog.durability": "request",
        },
        "aliases": {&generation.writing: {}},
        "mappings": {
            "_meta": {"ofs": about},
            "dynamic": false,
            "_source": {"excludes": [SEARCH]},
            "properties": properties(schema),
        },
    })
}

/// The members of documents of `schema`, and the one that only searches use.
fn properties(schema: &Schema) -> Map<String, Value> {
    let keyword = || json!({"type": "keyword", "ignore_above": LONGEST});
    let mut members = Map::new();
    let mut search = Map::new();
    members.insert(schema.key().to_owned(), keyword());
    search.insert("id".to_owned(), json!({"type": "keyword"}));
    for field in schema.fields() {
        let member = match field.kind {
            Kind::Id | Kind::Text | Kind::Keyword { .. } => keyword(),
            Kind::Ids(_) => json!({"type": "object", "enabled": false}),
            Kind::Name => {
                let whole = json!({"type": "keyword", "doc_values": false});
                search.insert(field.name.to_owned(), whole);
                keyword()
            }
            Kind::Time { .. } => {
                search.insert(field.name.to_owned(), json!({"type": "long"}));
                // For Kibana and people; searches use the numbers, which keep the microseconds.
                json!({"type": "date", "ignore_malformed": true})
            }
        };
        members.insert(field.member.to_owned(), member);
    }
    // Whole values; every beginning of up to eight letters is a term of its own, because a short one may
    // begin a word of each document there is.
    let words = json!({
        "type": "text",
        "analyzer": "keyword",
        "index_options": "docs",
        "norms": false,
        "index_prefixes": {"min_chars": 1, "max_chars": 8},
    });
    search.insert("words".to_owned(), words);
    members.insert(SEARCH.to_owned(), json!({"dynamic": false, "properties": search}));
    members
}

/// `document` as two lines of a bulk request; the error says why it is refused.
pub(super) fn lines(schema: &Schema, document: &Document) -> Result<Vec<u8>, String> {
    let searchable = Searchable::of(schema, document)?;
    if searchable.body.contains_key(SEARCH) {
        return Err(format!("`{SEARCH}` is a member of the index's own"));
    }
    if i64::try_from(document.version).is_err() {
        return Err(format!("the version {} is too large", document.version));
    }
    let id = document.id.to_string();
    let action =
        json!({"index": {"_id": id, "version": document.version, "version_type": "external"}});
    let mut lines = action.to_string().into_bytes();
    lines.push(b'\n');
    serde_json::to_writer(&mut lines, &Source { id: &id, searchable })
        .map_err(|error| error.to_string())?;
    lines.push(b'\n');
    Ok(lines)
}

/// The document's own members and ours.
struct Source<'a> {
    id: &'a str,
    searchable: Searchable<'a>,
}

/// What searches need.
struct Search<'a>(&'a Source<'a>);

impl Serialize for Source<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body = self.searchable.body;
        let mut members = serializer.serialize_map(Some(body.len() + 1))?;
        for (name, value) in body {
            members.serialize_entry(name, value)?;
        }
        members.serialize_entry(SEARCH, &Search(self))?;
        members.end()
    }
}

impl Serialize for Search<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Source { id, searchable } = self.0;
        let mut members = serializer.serialize_map(None)?;
        // Sorts as the id does.
        members.serialize_entry("id", id)?;
        let words: Vec<&str> =
            std::iter::once(*id).chain(searchable.words()).chain(searchable.ids()).collect();
        members.serialize_entry("words", &words)?;
        for (name, whole) in searchable.names() {
            members.serialize_entry(name, whole)?;
        }
        for (name, micros) in searchable.times() {
            members.serialize_entry(name, &micros)?;
        }
        members.end()
    }
}
