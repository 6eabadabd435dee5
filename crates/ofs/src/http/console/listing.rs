//! Orders as the console lists them: one search, or one for each status of a view, in one order.
//!
//! A page's state is its query; filters are the API's own, checked by the API's own rules.

use crate::http::App;
use ofs_console::url::Pairs;
use ofs_events::{OrderId, OrderStatus, Timestamp};
use ofs_runtime::context::Context;
use ofs_runtime::extract::read_query;
use ofs_runtime::index::{Cursor, FacetCount, Query, SortBy};
use ofs_runtime::problem::{Invalid, Problem};
use search_indexer_worker::http::{SearchPage, search};
use search_indexer_worker::query::{self, SearchParams};
use serde_json::Value;
use std::cmp::Reverse;

/// After this long under way, an order needs attention.
const LATE_SECONDS: i64 = 300;

/// A built-in view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// Whatever the filters say.
    All,
    /// Not final yet.
    Flight,
    /// Not final for longer than it should take.
    Attention,
}

impl View {
    pub(super) fn of(pairs: &Pairs) -> Result<Self, Problem> {
        match pairs.get("view") {
            None => Ok(View::All),
            Some("flight") => Ok(View::Flight),
            Some("attention") => Ok(View::Attention),
            Some(_) => {
                let error = Invalid::new("view", "must be attention or flight, or left out");
                Err(Problem::invalid_query(vec![error]))
            }
        }
    }
}

/// One page of orders.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) orders: Vec<Value>,
    pub(super) total: u64,
    pub(super) status: Vec<FacetCount>,
    pub(super) country: Vec<FacetCount>,
    pub(super) next: Option<String>,
    pub(super) as_of: Option<Timestamp>,
    pub(super) lag_seconds: Option<f64>,
}

impl From<SearchPage> for Listing {
    fn from(page: SearchPage) -> Self {
        Listing {
            orders: page.orders,
            total: page.total,
            status: page.facets.status,
            country: page.facets.country,
            next: page.next_cursor,
            as_of: page.as_of,
            lag_seconds: page.lag_seconds,
        }
    }
}

/// The query that `pairs` ask for, by the rules of `GET /orders/search`.
fn parse(pairs: &Pairs) -> Result<Query, Problem> {
    let query = pairs.query();
    let params: SearchParams = read_query(query.trim_start_matches('?'))?;
    params.parse().map_err(Problem::invalid_query)
}

/// The page of orders that `pairs` ask for.
pub(super) async fn list(app: &App, pairs: &Pairs) -> Result<Listing, Problem> {
    let view = View::of(pairs)?;
    let mut pairs = pairs.without(&["view"]);
    if view == View::Attention && pairs.get("createdBefore").is_none() {
        let late = Context::new("console").now().plus_seconds(-LATE_SECONDS);
        pairs = pairs.with("createdBefore", &minute(late));
    }
    let desk = app.desk(search_indexer_worker::NAME);
    if view == View::All || pairs.get("status").is_some() {
        return Ok(search(&desk, &parse(&pairs)?).await?.into());
    }
    let whole = parse(&pairs)?;
    let each = |status: OrderStatus| {
        let one = parse(&pairs.without(&["cursor"]).with("status", status.name()));
        one.map(|one| Query { after: whole.after, ..one })
    };
    let open = OrderStatus::ALL.into_iter().filter(|status| !status.is_final());
    let queries = open.map(each).collect::<Result<Vec<Query>, Problem>>()?;
    let pages = futures::future::try_join_all(queries.iter().map(|one| search(&desk, one))).await?;
    Ok(merge(&whole, pages))
}

/// The same minute for all pages of a list that is paged through without haste.
fn minute(time: Timestamp) -> String {
    let micros = time.as_micros();
    Timestamp::from_micros(micros - micros.rem_euclid(60_000_000)).to_string()
}

/// `pages` of the same sort as one, which `query` without their filters asks for.
fn merge(query: &Query, pages: Vec<SearchPage>) -> Listing {
    let as_of = pages.iter().map(|page| page.as_of).min().flatten();
    let lag = pages.iter().map(|page| page.lag_seconds);
    let lag_seconds = lag.reduce(|one, other| Some(one?.max(other?))).flatten();
    let mut more = pages.iter().any(|page| page.next_cursor.is_some());
    let mut all = Listing {
        orders: Vec::new(),
        total: pages.iter().map(|page| page.total).sum(),
        status: Vec::new(),
        country: Vec::new(),
        next: None,
        as_of,
        lag_seconds,
    };
    for page in pages {
        all.orders.extend(page.orders);
        add(&mut all.status, page.facets.status);
        add(&mut all.country, page.facets.country);
    }
    all.orders.sort_by_key(|order| place(query, order));
    if query.descending {
        all.orders.sort_by_key(|order| Reverse(place(query, order)));
    }
    more |= all.orders.len() > query.limit;
    all.orders.truncate(query.limit);
    let last = all.orders.last().filter(|_| more);
    all.next = last.and_then(|order| {
        let (micros, id) = place(query, order);
        Some(query::encode(query, Cursor { micros, id: id? }))
    });
    all
}

fn add(counts: &mut Vec<FacetCount>, more: Vec<FacetCount>) {
    for one in more {
        match counts.iter_mut().find(|known| known.value == one.value) {
            Some(known) => known.count += one.count,
            None => counts.push(one),
        }
    }
    counts.sort_by_key(|one| Reverse(one.count));
}

/// Where `order` stands in the order of `query`.
fn place(query: &Query, order: &Value) -> (i64, Option<OrderId>) {
    let member = match query.sort_by {
        SortBy::CreatedAt => "createdAt",
        SortBy::UpdatedAt => "updatedAt",
    };
    let micros = time(order, member).map_or(0, Timestamp::as_micros);
    (micros, order["id"].as_str().and_then(|id| id.parse().ok()))
}

/// The time in `member` of `order`.
pub(super) fn time(order: &Value, member: &str) -> Option<Timestamp> {
    order[member].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use search_indexer_worker::http::Facets;
    use serde_json::json;
    use uuid::Uuid;

    fn page(orders: &[(u128, i64)], more: bool) -> SearchPage {
        let order = |&(id, second): &(u128, i64)| {
            let created = Timestamp::from_micros(second * 1_000_000).to_string();
            json!({"id": OrderId(Uuid::from_u128(id)), "createdAt": created})
        };
        let count = orders.len() as u64;
        SearchPage {
            orders: orders.iter().map(order).collect(),
            total: count,
            facets: Facets {
                status: Vec::new(),
                country: vec![FacetCount { value: "US".to_owned(), count }],
            },
            next_cursor: more.then(String::new),
            as_of: None,
            lag_seconds: None,
        }
    }

    #[test]
    fn pages_are_merged_in_their_order_and_go_on_behind_the_last_order_shown() {
        let query = parse(&Pairs::of("limit=3")).expect("valid");
        let merged =
            merge(&query, vec![page(&[(1, 9), (2, 5)], false), page(&[(3, 7), (4, 1)], false)]);
        let shown: Vec<_> = merged.orders.iter().map(|order| place(&query, order).0).collect();
        assert_eq!(shown, [9_000_000, 7_000_000, 5_000_000]);
        assert_eq!((merged.total, merged.country[0].count), (4, 4));
        let next = merged.next.expect("another page");
        let next = parse(&Pairs::of(&format!("limit=3&cursor={next}"))).expect("a cursor");
        assert_eq!(next.after.expect("a place").micros, 5_000_000);
        assert_eq!(merge(&query, vec![page(&[(1, 9)], false)]).next, None);
    }
}
