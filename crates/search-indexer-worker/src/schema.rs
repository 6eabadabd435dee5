//! What the search index is made of: its name, which others rely on, and what of a document can be found.
//!
//! An index made with another schema is rebuilt automatically.

use ofs_runtime::index::{Field, Kind, Schema};

/// Where an order stands.
pub const STATUS: &str = "status";
/// Where its customer is.
pub const COUNTRY: &str = "country";
/// What was ordered.
pub const PRODUCT: &str = "product";
/// When the order was taken.
pub const CREATED_AT: &str = "createdAt";
/// When its document last changed.
pub const UPDATED_AT: &str = "updatedAt";

/// Of [`OrderDocument`](crate::document::OrderDocument).
pub const SCHEMA: Schema = Schema::new(
    "orders-v1",
    "id",
    &[
        // More than there are statuses.
        Field { name: STATUS, member: "status", kind: Kind::Keyword { facet: Some(1_000) } },
        Field { name: COUNTRY, member: "country", kind: Kind::Keyword { facet: Some(50) } },
        Field { name: PRODUCT, member: "productType", kind: Kind::Name },
        Field { name: "email", member: "customerEmail", kind: Kind::Text },
        Field { name: "correlation", member: "correlationId", kind: Kind::Id },
        Field { name: "events", member: "timeline", kind: Kind::Ids("eventId") },
        Field { name: CREATED_AT, member: "createdAt", kind: Kind::Time { sortable: true } },
        Field { name: UPDATED_AT, member: "updatedAt", kind: Kind::Time { sortable: true } },
    ],
);

#[cfg(test)]
mod tests {
    use super::SCHEMA;

    /// Another one makes every installation rebuild its index, so a change must be intended.
    #[test]
    fn indices_of_earlier_builds_have_this_schema() {
        let known = "f97c5143-8887-534e-bb49-30edeff2bef3";
        assert_eq!(SCHEMA.fingerprint().to_string(), known);
    }
}
