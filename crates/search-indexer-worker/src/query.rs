//! Search parameters: from a query string to a search, and the cursor between pages.
//!
//! Everything that is wrong is named; nothing is clamped or ignored.

use crate::search::{Search, SortBy};
use ofs_events::{Key, OrderStatus, Timestamp};
use ofs_runtime::index::Cursor;
use ofs_runtime::problem::Invalid;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use utoipa::IntoParams;
use uuid::Uuid;

/// Orders on a page, by default.
pub const DEFAULT_LIMIT: usize = 50;
/// The most orders on a page.
pub const MAX_LIMIT: usize = 200;
/// The longest `q`, in characters.
pub const MAX_TEXT: usize = 256;

/// The parameters of `GET /orders/search`, as they were sent. Filters are joined by "and", the values of
/// one that is given more than once by "or".
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct SearchParams {
    /// Words to be found (whole, or as a beginning) in id, e-mail or product, in any case, or in the
    /// order's correlation id or the id of one of its events; at most 256 characters. Where words are
    /// not written apart, as in `携帯電話`, a part of one is found, too.
    #[param(pattern = "^[\\t-\\r ]*([^\\s\\u0000\\uFFFD]\
        ([^\\u0000\\uFFFD]{0,254}[^\\s\\u0000\\uFFFD])?)?[\\t-\\r ]*$")]
    pub q: Option<String>,
    /// Exactly this status; given more than once, any of them.
    #[serde(default)]
    #[param(value_type = Vec<OrderStatus>)]
    pub status: Vec<String>,
    /// Exactly this country, two ASCII letters; given more than once, any of them.
    #[serde(default)]
    #[param(pattern = "^[\\t-\\r ]*[A-Za-z]{2}[\\t-\\r ]*$")]
    pub country: Vec<String>,
    /// Exactly this product, in any case; given more than once, any of them.
    #[serde(default)]
    #[param(pattern = "^[^\\u0000\\uFFFD]*[^\\s\\u0000\\uFFFD][^\\u0000\\uFFFD]*$")]
    pub product_type: Vec<String>,
    /// Created at or after this RFC 3339 time.
    #[param(value_type = Option<Timestamp>)]
    pub created_after: Option<String>,
    /// Created before this RFC 3339 time.
    #[param(value_type = Option<Timestamp>)]
    pub created_before: Option<String>,
    /// `createdAt` or `updatedAt`; `-` in front for newest first. Default `-createdAt`.
    #[param(example = "-createdAt", pattern = "^-?(createdAt|updatedAt)$")]
    pub sort: Option<String>,
    /// 1 to 200 orders; default 50.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    pub limit: Option<String>,
    /// `nextCursor` of the page before, with the same filters and sort.
    #[param(pattern = "^[0-9A-Fa-f]{64}$")]
    pub cursor: Option<String>,
}

/// Collects what is wrong, so that all of it can be reported at once.
#[derive(Default)]
struct Wrong(Vec<Invalid>);

impl Wrong {
    /// The value of parameter `name`, read by `parse`; otherwise it `must` be something else.
    fn read<T>(
        &mut self,
        name: &str,
        value: Option<String>,
        must: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = parse(value?.trim());
        if parsed.is_none() {
            self.0.push(Invalid::new(name, must));
        }
        parsed
    }

    /// All values of parameter `name`, which stand for a set.
    fn read_all<T: Ord>(
        &mut self,
        name: &str,
        values: Vec<String>,
        must: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let all: Option<BTreeSet<T>> = values.iter().map(|value| parse(value.trim())).collect();
        if all.is_none() {
            self.0.push(Invalid::new(name, must));
        }
        all.into_iter().flatten().collect()
    }
}

impl SearchParams {
    /// The search these parameters ask for.
    ///
    /// # Errors
    /// Everything that is wrong, by parameter.
    pub fn parse(self) -> Result<Search, Vec<Invalid>> {
        let mut wrong = Wrong::default();
        let text = wrong.read("q", self.q, "must have at most 256 characters", |text| {
            (text.chars().count() <= MAX_TEXT).then(|| text.to_owned())
        });
        let (sort_by, descending) =
            wrong.read("sort", self.sort, SORT_RULE, sort).unwrap_or((SortBy::CreatedAt, true));
        let mut search = Search {
            text: text.filter(|text| !text.is_empty()),
            status: wrong.read_all("status", self.status, &status_rule(), status),
            country: wrong.read_all("country", self.country, "must be two ASCII letters", country),
            product: wrong.read_all(
                "productType",
                self.product_type,
                "must not be blank",
                |text| (!text.is_empty()).then(|| text.to_owned()),
            ),
            created_after: wrong.read("createdAfter", self.created_after, TIME_RULE, time),
            created_before: wrong.read("createdBefore", self.created_before, TIME_RULE, time),
            sort_by,
            descending,
            limit: wrong
                .read("limit", self.limit, "must be a whole number from 1 to 200", limit)
                .unwrap_or(DEFAULT_LIMIT),
            after: None,
        };
        // If other parameters are wrong, a cursor that does not fit them is not worth reporting.
        if wrong.0.is_empty() {
            let fingerprint = fingerprint(&search);
            let parse = |text: &str| decode(text, fingerprint);
            search.after = wrong.read("cursor", self.cursor, CURSOR_RULE, parse);
        }
        if wrong.0.is_empty() { Ok(search) } else { Err(wrong.0) }
    }
}

const SORT_RULE: &str = "must be createdAt, -createdAt, updatedAt or -updatedAt";
const TIME_RULE: &str =
    "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z (in a URL, write + as %2B)";
const CURSOR_RULE: &str = "must be the nextCursor of a search with the same filters and sort; \
                           leave it out to begin at the first page";

fn status_rule() -> String {
    format!("must be one of {}", OrderStatus::ALL.map(OrderStatus::name).join(", "))
}

fn status(text: &str) -> Option<OrderStatus> {
    OrderStatus::ALL.into_iter().find(|status| status.name() == text)
}

fn country(text: &str) -> Option<String> {
    let valid = text.len() == 2 && text.bytes().all(|letter| letter.is_ascii_alphabetic());
    valid.then(|| text.to_ascii_uppercase())
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

fn limit(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|limit| digits && (1..=MAX_LIMIT).contains(limit))
}

/// A `+` in front arrives as a space, which is trimmed away.
fn sort(text: &str) -> Option<(SortBy, bool)> {
    let (field, descending) = match text.strip_prefix('-') {
        Some(field) => (field, true),
        None => (text.strip_prefix('+').unwrap_or(text), false),
    };
    match field {
        "createdAt" => Some((SortBy::CreatedAt, descending)),
        "updatedAt" => Some((SortBy::UpdatedAt, descending)),
        _ => None,
    }
}

/// Namespace of query fingerprints; clients hold cursors, so it must not change.
const FINGERPRINT: Uuid = Uuid::from_u128(0x6f66_732d_6375_4273_8000_6f72_6465_7201);

/// Stands for everything that decides which orders come in which order: all but limit and cursor.
fn fingerprint(search: &Search) -> u64 {
    fn set<T: Serialize>(values: &[T]) -> Value {
        match values {
            [] => Value::Null,
            // As cursors were made when there could be but one.
            [one] => json!(one),
            all => json!(all),
        }
    }
    let meaning = json!([
        search.text,
        set(&search.status),
        set(&search.country),
        set(&search.product),
        search.created_after,
        search.created_before,
        search.sort_by,
        search.descending
    ]);
    let (high, _) = Uuid::new_v5(&FINGERPRINT, meaning.to_string().as_bytes()).as_u64_pair();
    high
}

/// The opaque text for the page of `search` that begins after `cursor`: 64 hex digits.
#[must_use]
pub fn encode(search: &Search, cursor: Cursor) -> String {
    let Cursor { micros, id } = cursor;
    format!("{:016x}{micros:016x}{}", fingerprint(search), id.0.simple())
}

fn decode(text: &str, expected: u64) -> Option<Cursor> {
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let (fingerprint, rest) = text.split_at(16);
    let (micros, id) = rest.split_at(16);
    let number = |hex| u64::from_str_radix(hex, 16).ok();
    if number(fingerprint)? != expected {
        return None;
    }
    let id = Key(Uuid::try_parse(id).ok()?);
    Some(Cursor { micros: number(micros)?.cast_signed(), id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ofs_runtime::extract::read_query;

    fn parse(query: &str) -> Result<Search, Vec<String>> {
        let params: SearchParams = read_query(query).map_err(|problem| {
            problem.errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>()
        })?;
        let names = |errors: Vec<Invalid>| errors.into_iter().map(|error| error.pointer).collect();
        params.parse().map_err(names)
    }

    #[test]
    fn without_parameters_the_newest_fifty_orders_are_meant() {
        let query = parse("").expect("valid");
        assert_eq!((query.sort_by, query.descending), (SortBy::CreatedAt, true));
        assert_eq!((query.limit, query.after, query.text), (50, None, None));
    }

    #[test]
    fn every_parameter_is_read() {
        let query = parse(
            "q=%20phone%20&status=PaymentFailed&country=de&productType=Big%20Phone&limit=200\
             &createdAfter=2026-01-31T12:00:00Z&createdBefore=2026-01-31T14:00:00%2B01:00\
             &sort=+updatedAt",
        )
        .expect("valid");
        assert_eq!(query.text.as_deref(), Some("phone"));
        assert_eq!(query.status, [OrderStatus::PaymentFailed]);
        assert_eq!(query.country, ["DE"]);
        assert_eq!(query.product, ["Big Phone"]);
        let (after, before) = (query.created_after, query.created_before);
        assert_eq!(before.expect("time"), after.expect("time").plus_seconds(3600));
        assert_eq!((query.sort_by, query.descending), (SortBy::UpdatedAt, false));
        assert_eq!(query.limit, 200);
    }

    #[test]
    fn a_filter_given_more_than_once_is_a_set() {
        let query = parse("country=us&status=PaymentFailed&country=DE&status=Created&country=US");
        let query = query.expect("valid");
        assert_eq!(query.country, ["DE", "US"]);
        assert_eq!(query.status, [OrderStatus::Created, OrderStatus::PaymentFailed]);
        let cursor = encode(&query, Cursor { micros: 1, id: Key(Uuid::nil()) });
        let same = "status=Created&status=PaymentFailed&country=US&country=DE";
        assert!(parse(&format!("{same}&cursor={cursor}")).is_ok());
        for other in ["status=Created&country=US&country=DE", "status=Created&status=PaymentFailed"]
        {
            let refused = parse(&format!("{other}&cursor={cursor}"));
            assert_eq!(refused, Err(vec!["cursor".to_owned()]), "{other}");
        }
    }

    #[test]
    fn a_cursor_from_before_filters_could_be_given_more_than_once_is_still_one() {
        let filters = "country=US&status=Created&productType=Phone&sort=updatedAt";
        let cursor = "2ed81f8c1b325cf900000000000000010000000000000000000000000000000f";
        let query = parse(&format!("{filters}&cursor={cursor}")).expect("valid");
        let after = Cursor { micros: 1, id: Key(Uuid::from_u128(15)) };
        assert_eq!(query.after, Some(after));
    }

    #[test]
    fn whatever_is_wrong_is_named() {
        for (query, name) in [
            ("status=created", "status"),
            ("status=", "status"),
            ("status=Created&status=", "status"),
            ("country=USA", "country"),
            ("country=US&country=USA", "country"),
            ("country=%C3%9F", "country"),
            ("productType=%20", "productType"),
            ("createdAfter=yesterday", "createdAfter"),
            ("createdBefore=2026-01-31", "createdBefore"),
            ("sort=id", "sort"),
            ("sort=--createdAt", "sort"),
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=-1", "limit"),
            ("limit=%2B5", "limit"),
            ("limit=ten", "limit"),
            ("cursor=", "cursor"),
            ("cursor=abc", "cursor"),
            ("page=2", "page"),
            ("limit=5&limit=6", "limit"),
        ] {
            assert_eq!(parse(query), Err(vec![name.to_owned()]), "{query}");
        }
        let long = format!("q={}", "a".repeat(257));
        assert_eq!(parse(&long), Err(vec!["q".to_owned()]));
        let all = parse("status=x&country=x&limit=x&sort=x&cursor=x").expect_err("refused");
        assert_eq!(all, ["sort", "status", "country", "limit"]);
    }

    #[test]
    fn a_cursor_belongs_to_its_filters_and_sort() {
        let query = parse("country=US&sort=updatedAt").expect("valid");
        for micros in [i64::MIN, -1, 0, 1_769_860_800_123_456, i64::MAX] {
            let cursor = Cursor { micros, id: Key(Uuid::from_u128(u128::MAX - 5)) };
            let text = encode(&query, cursor);
            assert_eq!(text.len(), 64);
            let next = parse(&format!("country=us&sort=updatedAt&limit=7&cursor={text}"));
            assert_eq!(next.expect("valid").after, Some(cursor));
            for other in ["country=GB&sort=updatedAt", "country=US", "country=US&sort=-updatedAt"] {
                let refused = parse(&format!("{other}&cursor={text}"));
                assert_eq!(refused, Err(vec!["cursor".to_owned()]), "{other}");
            }
        }
    }
}
