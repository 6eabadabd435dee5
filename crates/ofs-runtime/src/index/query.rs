//! What an index can be asked, in terms of its schema, and what it answers.

use super::{Error, Kind, Schema};
use ofs_events::{Key, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The place after which a page begins: the sort value and id of the last document of the page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Sort value, microseconds since 1970.
    pub micros: i64,
    /// Breaks ties, in the direction of the sort.
    pub id: Key,
}

/// A search. Fields are called by their names in the [`Schema`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Words, each of which must be found (whole, or as a beginning) in the id or in a field that free
    /// text finds.
    pub text: Option<String>,
    /// All of these hold.
    pub filters: Vec<Filter>,
    /// What to sort by: a time. Documents without it count as of 1970.
    pub sort_by: &'static str,
    /// Largest first.
    pub descending: bool,
    /// How many documents.
    pub limit: usize,
    /// Where the page begins.
    pub after: Option<Cursor>,
}

/// What holds of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The field.
    pub field: &'static str,
    /// What of it is wanted.
    pub by: By,
}

/// What is wanted of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// One of these values, of a keyword or a name; without values this filters nothing.
    Values(Vec<String>),
    /// A time at or after the first and before the second, where they are given.
    Times(Option<Timestamp>, Option<Timestamp>),
}

/// The number of matching orders with one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FacetCount {
    /// The value.
    pub value: String,
    /// How many matching orders have it.
    pub count: u64,
}

/// The answer to a search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The documents of this page, as they were put.
    pub documents: Vec<Value>,
    /// How many match, on all pages.
    pub total: u64,
    /// Counts of all matches by value, largest first, for each facet of the schema.
    pub facets: BTreeMap<&'static str, Vec<FacetCount>>,
    /// The next page; none on the last.
    pub next: Option<Cursor>,
}

impl Query {
    /// Whether an index of `schema` can answer this.
    ///
    /// # Errors
    /// [`Error::Rejected`] names the field that is not there, or is nothing to be asked for so.
    pub fn check(&self, schema: &Schema) -> Result<(), Error> {
        let kind = |name| schema.field(name).map(|field| field.kind);
        for Filter { field, by } in &self.filters {
            let fits = match by {
                By::Values(_) => matches!(kind(field), Some(Kind::Keyword { .. } | Kind::Name)),
                By::Times(..) => matches!(kind(field), Some(Kind::Time { .. })),
            };
            if !fits {
                return Err(Error::Rejected(format!(
                    "it does not support this filter by `{field}`"
                )));
            }
        }
        match kind(self.sort_by) {
            Some(Kind::Time { sortable: true }) => Ok(()),
            _ => Err(Error::Rejected(format!("it does not sort by `{}`", self.sort_by))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Field;
    use super::*;

    const SCHEMA: Schema = Schema::new(
        "things",
        "id",
        &[
            Field { name: "at", member: "at", kind: Kind::Time { sortable: true } },
            Field { name: "due", member: "due", kind: Kind::Time { sortable: false } },
            Field { name: "shop", member: "shop", kind: Kind::Keyword { facet: None } },
            Field { name: "size", member: "size", kind: Kind::Name },
            Field { name: "note", member: "note", kind: Kind::Text },
        ],
    );

    fn query(filters: Vec<Filter>, sort_by: &'static str) -> Query {
        Query { text: None, filters, sort_by, descending: true, limit: 1, after: None }
    }

    #[test]
    fn only_what_the_schema_has_can_be_asked_for() {
        let values = |field| vec![Filter { field, by: By::Values(vec!["x".to_owned()]) }];
        let times = |field| vec![Filter { field, by: By::Times(None, None) }];
        for fits in [Vec::new(), values("shop"), values("size"), times("at"), times("due")] {
            assert_eq!(query(fits.clone(), "at").check(&SCHEMA), Ok(()), "{fits:?}");
        }
        for (wrong, named) in [
            (query(values("note"), "at"), "note"),
            (query(values("at"), "at"), "at"),
            (query(times("shop"), "at"), "shop"),
            (query(values("shops"), "at"), "shops"),
            (query(Vec::new(), "due"), "due"),
            (query(Vec::new(), "shop"), "shop"),
            (query(Vec::new(), ""), "``"),
        ] {
            let Err(Error::Rejected(text)) = wrong.check(&SCHEMA) else { panic!("{wrong:?}") };
            assert!(text.contains(named), "{text}");
        }
    }
}
