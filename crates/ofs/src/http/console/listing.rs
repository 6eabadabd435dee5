//! Orders as the console lists them.
//!
//! A page's state is its query; filters are the API's own, checked by the API's own rules.

use crate::http::App;
use ofs_console::url::Pairs;
use ofs_events::{OrderStatus, Timestamp};
use ofs_runtime::context::Context;
use ofs_runtime::extract::read_query;
use ofs_runtime::index::FacetCount;
use ofs_runtime::problem::{Invalid, Problem};
use search_indexer_worker::http::{SearchPage, search};
use search_indexer_worker::query::SearchParams;
use search_indexer_worker::search::Search;
use serde_json::Value;

/// An order that has been open for this long needs attention.
const LATE_SECONDS: i64 = 300;

/// A built-in view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// Whatever the filters say.
    All,
    /// Not final for longer than it should take.
    Attention,
}

impl View {
    pub(super) fn of(pairs: &Pairs) -> Result<Self, Problem> {
        match pairs.get("view") {
            None => Ok(View::All),
            Some("attention") => Ok(View::Attention),
            Some(_) => {
                let error = Invalid::new("view", "must be attention, or left out");
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

/// The search that `pairs` ask for, by the rules of `GET /orders/search`.
fn parse(pairs: &Pairs) -> Result<Search, Problem> {
    let query = pairs.query();
    let params: SearchParams = read_query(query.trim_start_matches('?'))?;
    params.parse().map_err(Problem::invalid_query)
}

/// The page of orders that `pairs` ask for.
pub(super) async fn list(app: &App, pairs: &Pairs) -> Result<Listing, Problem> {
    let mut asked = pairs.without(&["view"]);
    if View::of(pairs)? == View::Attention {
        if asked.get("status").is_none() {
            asked.0.extend(in_flight().0);
        }
        if asked.get("createdBefore").is_none() {
            let late = Context::new("console").now().plus_seconds(-LATE_SECONDS);
            asked = asked.with("createdBefore", &minute(late));
        }
    }
    let desk = app.desk(search_indexer_worker::NAME);
    Ok(search(&desk, &parse(&asked)?).await?.into())
}

/// The filters of orders that are not final.
pub(super) fn in_flight() -> Pairs {
    let open = OrderStatus::ALL.into_iter().filter(|status| !status.is_final());
    Pairs(open.map(|status| ("status".to_owned(), status.name().to_owned())).collect())
}

/// The same minute for all pages of a list that is paged through without haste; its cursors belong to
/// its filters.
fn minute(time: Timestamp) -> String {
    let micros = time.as_micros();
    Timestamp::from_micros(micros - micros.rem_euclid(60_000_000)).to_string()
}

/// The time in `member` of `order`.
pub(super) fn time(order: &Value, member: &str) -> Option<Timestamp> {
    order[member].as_str()?.parse().ok()
}
