//! The mapping of a generation, and documents as it takes them.
//!
//! What only searches need is one member `search` beside the document's own. It is indexed but not
//! kept, so that whoever looks at a document sees exactly what was put.

use super::names::{Generation, Names};
use crate::index::searchable::{LAYOUT, Searchable};
use ofs_events::Key;
use ofs_runtime::index::Document;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The member that only searches use.
const SEARCH: &str = "search";
/// Puts wait until searches see them, which is at the next refresh. Measured with four puts of 512
/// orders at once on two cores: 20 to 25 thousand orders a second without any refresh, 11 to 12
/// thousand with a refresh each 50 or 100 ms, 8 thousand at 200 ms (the puts only wait), 8 to 9
/// thousand with a refresh for each put. A single order waits 60, 110, 210 or 6 ms; but one refresh
/// for each put makes hundreds of tiny segments a second just when the server is busy.
const REFRESH: &str = "100ms";
/// Letters of a text from which on it is not indexed as a whole (it is still shown): a longer one
/// may exceed the longest term there can be, and the document would be refused.
pub(super) const LONGEST: usize = 8_191;

/// What a generation says of itself, in its mapping's `_meta.ofs`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct About {
    /// The installation's prefix: the pattern of one may match the names of another.
    pub(super) prefix: String,
    /// The store it was made for.
    pub(super) instance: Uuid,
    layout: u32,
}

impl About {
    /// Whether this program can use a generation that says so of itself.
    pub(super) fn is_current(&self) -> bool {
        self.layout == LAYOUT
    }
}

/// The request that makes `generation`. It says what must not be left to defaults, which templates of
/// the cluster could change: durable before it is answered, one shard (so that counts are exact), and
/// nothing indexed that is not listed.
pub(super) fn creation(names: &Names, generation: &Generation, instance: Uuid) -> Value {
    let keyword = || json!({"type": "keyword", "ignore_above": LONGEST});
    // For Kibana and people; searches use the numbers, which keep the microseconds.
    let date = || json!({"type": "date", "ignore_malformed": true});
    let about = About { prefix: names.prefix().to_owned(), instance, layout: LAYOUT };
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
            "properties": {
                "id": keyword(),
                "customerEmail": keyword(),
                "productType": keyword(),
                "country": keyword(),
                "status": keyword(),
                "correlationId": keyword(),
                "createdAt": date(),
                "updatedAt": date(),
                "timeline": {"type": "object", "enabled": false},
                SEARCH: {
                    "dynamic": false,
                    "properties": {
                        "id": {"type": "keyword"},
                        "product": {"type": "keyword", "doc_values": false},
                        "createdAt": {"type": "long"},
                        "updatedAt": {"type": "long"},
                        // Whole values; every beginning of up to eight letters is a term of its own,
                        // because a short one may begin a word of each order there is.
                        "words": {
                            "type": "text",
                            "analyzer": "keyword",
                            "index_options": "docs",
                            "norms": false,
                            "index_prefixes": {"min_chars": 1, "max_chars": 8},
                        },
                    },
                },
            },
        },
    })
}

/// `document` as two lines of a bulk request; the error says why it is refused.
pub(super) fn lines(document: &Document) -> Result<Vec<u8>, String> {
    let searchable = Searchable::of(document)?;
    if searchable.body.contains_key(SEARCH) {
        return Err(format!("`{SEARCH}` is a member of the index's own"));
    }
    if i64::try_from(document.version).is_err() {
        return Err(format!("the version {} is too large", document.version));
    }
    let id = document.id.to_string();
    let action =
        json!({"index": {"_id": id, "version": document.version, "version_type": "external"}});
    let search = Search {
        id: document.id,
        words: std::iter::once(id.as_str()).chain(searchable.words()).collect(),
        product: searchable.product(),
        created_at: searchable.created_at,
        updated_at: searchable.updated_at,
    };
    let mut lines = action.to_string().into_bytes();
    lines.push(b'\n');
    serde_json::to_writer(&mut lines, &Source { body: searchable.body, search })
        .map_err(|error| error.to_string())?;
    lines.push(b'\n');
    Ok(lines)
}

/// The document's own members and ours.
struct Source<'a> {
    body: &'a Map<String, Value>,
    search: Search<'a>,
}

/// What searches need.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Search<'a> {
    /// Sorts as the id does.
    id: Key,
    /// The id, and what else may be typed.
    words: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<&'a str>,
    /// Microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<i64>,
}

impl Serialize for Source<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(self.body.len() + 1))?;
        for (name, value) in self.body {
            members.serialize_entry(name, value)?;
        }
        members.serialize_entry(SEARCH, &self.search)?;
        members.end()
    }
}
