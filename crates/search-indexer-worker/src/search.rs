//! A search for orders, and what it means to the index.

use crate::schema::{COUNTRY, CREATED_AT, PRODUCT, STATUS, UPDATED_AT};
use ofs_events::{OrderStatus, Timestamp};
use ofs_runtime::index::{By, Cursor, Filter, Query};
use serde::Serialize;

/// What to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SortBy {
    /// When the order was created.
    CreatedAt,
    /// When its document last changed.
    UpdatedAt,
}

/// A search. Filters are joined by "and", the values of one by "or"; one without values filters nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Words, each of which must be found (whole, or as a beginning) in id, e-mail or product.
    pub text: Option<String>,
    /// Exactly one of these statuses.
    pub status: Vec<OrderStatus>,
    /// Exactly one of these countries, upper-case.
    pub country: Vec<String>,
    /// Exactly one of these products, in any case.
    pub product: Vec<String>,
    /// Created at or after.
    pub created_after: Option<Timestamp>,
    /// Created before.
    pub created_before: Option<Timestamp>,
    /// What to sort by.
    pub sort_by: SortBy,
    /// Newest first.
    pub descending: bool,
    /// How many orders.
    pub limit: usize,
    /// Where the page begins.
    pub after: Option<Cursor>,
}

impl Search {
    /// The same in terms of the index's schema.
    #[must_use]
    pub fn query(&self) -> Query {
        let status = self.status.iter().map(|status| status.name().to_owned()).collect();
        let created = By::Times(self.created_after, self.created_before);
        let filters = [
            (STATUS, By::Values(status)),
            (COUNTRY, By::Values(self.country.clone())),
            (PRODUCT, By::Values(self.product.clone())),
            (CREATED_AT, created),
        ];
        Query {
            text: self.text.clone(),
            filters: filters.map(|(field, by)| Filter { field, by }).into(),
            sort_by: match self.sort_by {
                SortBy::CreatedAt => CREATED_AT,
                SortBy::UpdatedAt => UPDATED_AT,
            },
            descending: self.descending,
            limit: self.limit,
            after: self.after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::SCHEMA;
    use ofs_events::Key;
    use uuid::Uuid;

    #[test]
    fn a_search_is_a_query_that_the_schema_can_answer() {
        let time = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let after = Some(Cursor { micros: 7, id: Key(Uuid::from_u128(7)) });
        let search = Search {
            text: Some("phone".to_owned()),
            status: vec![OrderStatus::Created, OrderStatus::PaymentFailed],
            country: vec!["US".to_owned()],
            product: vec!["Big Phone".to_owned()],
            created_after: Some(time(1)),
            created_before: None,
            sort_by: SortBy::UpdatedAt,
            descending: false,
            limit: 3,
            after,
        };
        let query = search.query();
        assert_eq!(query.check(&SCHEMA), Ok(()));
        let values =
            |values: &[&str]| By::Values(values.iter().map(|value| (*value).to_owned()).collect());
        let filters = [
            ("status", values(&["Created", "PaymentFailed"])),
            ("country", values(&["US"])),
            ("product", values(&["Big Phone"])),
            ("createdAt", By::Times(Some(time(1)), None)),
        ];
        assert_eq!(query.filters, filters.map(|(field, by)| Filter { field, by }));
        assert_eq!(
            (query.text.as_deref(), query.sort_by, query.descending, query.limit, query.after),
            (Some("phone"), "updatedAt", false, 3, after)
        );
        let newest = Search { sort_by: SortBy::CreatedAt, ..search }.query();
        assert_eq!((newest.sort_by, newest.check(&SCHEMA)), ("createdAt", Ok(())));
    }
}
