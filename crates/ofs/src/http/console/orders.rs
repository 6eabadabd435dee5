//! The orders page: what is typed, views, filters, rows.

use super::listing::{Listing, View, in_flight, list, time};
use super::{Page, frame};
use crate::http::App;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};
use ofs_console::frame::{Copyable, Depth, Here};
use ofs_console::orders::{Choice, Facet, Freshness, OrdersPage, Row};
use ofs_console::url::Pairs;
use ofs_console::words::{Age, Badge, Clock, Count, Moment, status_words};
use ofs_events::{Key, OrderStatus, Timestamp};
use ofs_runtime::access::Caller;
use ofs_runtime::index::FacetCount;
use ofs_runtime::problem::Problem;
use ofs_runtime::store::{ParkedFilter, ParkedState, Wanted};
use serde_json::Value;
use std::collections::HashMap;

/// Open parked events that are told beside their orders.
const HELD: usize = 200;
const FILTERS: [(&str, &str); 6] = [
    ("q", "search"),
    ("status", "status"),
    ("country", "country"),
    ("productType", "product"),
    ("createdAfter", "created from"),
    ("createdBefore", "created before"),
];

pub(super) async fn list_page(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    page(&app, &caller, Depth::Page, query.as_deref().unwrap_or_default()).await
}

/// The page that `query` asks for, at `depth`.
pub(super) async fn page(
    app: &App,
    caller: &Caller,
    depth: Depth,
    query: &str,
) -> Result<Response, Problem> {
    let pairs = Pairs::of(query);
    let frame = frame(app, caller.scopes(), Here::Orders, depth);
    if let Some(order) = named(app, &pairs).await? {
        return Ok(Redirect::to(&format!("{}orders/{order}", frame.ui())).into_response());
    }
    let view = View::of(&pairs)?;
    let (listing, held, views) =
        tokio::join!(list(app, &pairs), held(app), views(app, &pairs, view, frame.at));
    let (mut listing, held) = (listing?, held?);
    let is_first = pairs.get("cursor").is_none();
    if view == View::Attention && is_first {
        add_held(app, &mut listing, &held).await?;
    }
    let plain = pairs.without(&["cursor"]);
    let untouched = listing.total == 0 && plain.0.is_empty();
    Ok(Page(OrdersPage {
        typed: pairs.get("q").unwrap_or_default().to_owned(),
        kept: plain.without(&["q", "view"]).0,
        views,
        facets: facets(&listing, &plain),
        filters: filters(&plain),
        rows: listing.orders.iter().map(|order| row(order, &held, frame.at)).collect(),
        total: listing.total,
        fresh: fresh(&listing),
        next: listing.next.as_deref().map(|next| plain.with("cursor", next).query()),
        first: (!is_first).then(|| plain.query()),
        export: plain.without(&["limit"]).query(),
        copy: copies(app, &plain),
        untouched,
        frame,
    })
    .into_response())
}

/// The order that was typed in full: by its id, or as the only one with this event or correlation id.
async fn named(app: &App, pairs: &Pairs) -> Result<Option<Key>, Problem> {
    let typed = pairs.get("q").map(str::trim).unwrap_or_default();
    let Ok(id) = typed.parse::<Key>() else { return Ok(None) };
    if app.desk(order_service::NAME).record(id).await?.is_some() {
        return Ok(Some(id));
    }
    let found = list(app, &Pairs::default().with("q", &id.to_string())).await?;
    Ok(match found.orders.as_slice() {
        [only] => only["id"].as_str().and_then(|id| id.parse().ok()),
        _ => None,
    })
}

/// Why orders are held up, as far as the first parked events say.
async fn held(app: &App) -> Result<HashMap<Key, String>, Problem> {
    let filter = ParkedFilter { state: Some(ParkedState::Parked), ..ParkedFilter::default() };
    let parked = app.store.parked(&filter, HELD).await?;
    let mut held = HashMap::new();
    for one in parked.events {
        let Some(order) = one.event.key else { continue };
        let reason = format!("parked at {}: {}", one.owner, one.event.reason);
        held.entry(order).or_insert(reason);
    }
    Ok(held)
}

/// Puts orders that are held up in front, whatever their age.
async fn add_held(
    app: &App,
    listing: &mut Listing,
    held: &HashMap<Key, String>,
) -> Result<(), Problem> {
    let owner = search_indexer_worker::NAME.to_owned();
    let keys: Vec<Key> = held.keys().copied().collect();
    let loaded = app.store.load(&Wanted { owner, keys, ..Wanted::default() }).await?;
    let mut records: Vec<_> = loaded.records.into_values().collect();
    records.sort_by_key(|record| record.key);
    let shown = |id: &str| listing.orders.iter().any(|order| order["id"] == id);
    let documents = records.iter().filter(|record| !shown(&record.key.to_string()));
    let documents: Vec<Value> = documents.filter_map(|record| record.read().ok()).collect();
    listing.total += documents.len() as u64;
    listing.orders.splice(0..0, documents);
    Ok(())
}

fn row(order: &Value, held: &HashMap<Key, String>, now: Timestamp) -> Row {
    let text = |member: &str| order[member].as_str().unwrap_or_default().to_owned();
    let name = text("status");
    let status = OrderStatus::ALL.into_iter().find(|status| status.name() == name);
    let open = status.is_some_and(|status| !status.is_final());
    let updated = time(order, "updatedAt").filter(|_| open);
    let last = order["timeline"].as_array().and_then(|timeline| timeline.last());
    let last = last.and_then(|event| event["eventType"].as_str()).unwrap_or_default();
    let id: Option<Key> = order["id"].as_str().and_then(|id| id.parse().ok());
    Row {
        id: text("id"),
        email: text("customerEmail"),
        product: text("productType"),
        country: text("country"),
        status: status.map(Badge::of),
        status_name: name,
        created: time(order, "createdAt").map(|created| Clock(created, now)),
        step_age: updated.map(|updated| Age(now.seconds_since(updated))),
        last_event: last.to_owned(),
        held: id.and_then(|id| held.get(&id).cloned()),
    }
}

fn fresh(listing: &Listing) -> Option<Freshness> {
    let lag = listing.lag_seconds?;
    let lag = (lag > 0.0).then_some(Age(lag));
    Some(Freshness { as_of: Moment(listing.as_of?), lag })
}

/// The built-in views, with the number of orders behind each.
async fn views(app: &App, pairs: &Pairs, view: View, now: Timestamp) -> Vec<Choice> {
    let today = format!("{}T00:00:00Z", now.date());
    let of = |query: &str| Pairs::of(query);
    let failed = of("status=PaymentFailed").with("createdAfter", &today);
    let links = [
        ("Needs attention", of("view=attention")),
        ("In flight", in_flight()),
        ("Failed today", failed),
        ("All", Pairs::default()),
    ];
    let chosen = pairs.without(&["cursor"]);
    let counted = links.map(|(label, link)| {
        let (chosen, app) = (chosen == link, app.clone());
        let is_attention = label == "Needs attention";
        async move {
            // Held orders come on top of the late ones, and are told by the navigation.
            let count = if is_attention {
                None
            } else {
                list(&app, &link.with("limit", "1")).await.ok().map(|found| Count(found.total))
            };
            Choice { label: label.to_owned(), query: link.query(), count, chosen }
        }
    });
    let mut views = futures::future::join_all(counted).await;
    if view == View::All
        && !views.iter().any(|one| one.chosen)
        && let Some(all) = views.last_mut()
    {
        all.chosen = chosen.0.is_empty();
    }
    views
}

fn facets(listing: &Listing, pairs: &Pairs) -> Vec<Facet> {
    let choices = |name: &str, counts: &[FacetCount], words: fn(&str) -> String| {
        let choice = |one: &FacetCount| {
            let pair = (name.to_owned(), one.value.clone());
            let rest = pairs.without(&["view"]);
            let chosen = rest.0.contains(&pair);
            let link = if chosen {
                Pairs(rest.0.into_iter().filter(|known| *known != pair).collect())
            } else {
                rest.with(name, &one.value)
            };
            let count = Some(Count(one.count));
            Choice { label: words(&one.value), query: link.query(), count, chosen }
        };
        counts.iter().map(choice).collect()
    };
    let sorts = [
        ("-createdAt", "Newest first"),
        ("createdAt", "Oldest first"),
        ("-updatedAt", "Changed last first"),
        ("updatedAt", "Unchanged longest first"),
    ];
    let sorted = pairs.get("sort").unwrap_or("-createdAt");
    let sort = |(value, label): (&str, &str)| Choice {
        label: label.to_owned(),
        query: match value {
            "-createdAt" => pairs.without(&["sort"]).query(),
            value => pairs.with("sort", value).query(),
        },
        count: None,
        chosen: value == sorted,
    };
    vec![
        Facet { name: "Status", choices: choices("status", &listing.status, status_words) },
        Facet { name: "Country", choices: choices("country", &listing.country, str::to_owned) },
        Facet { name: "Sort", choices: sorts.map(sort).into() },
    ]
}

fn filters(pairs: &Pairs) -> Vec<(String, String)> {
    let label = |name: &str, value: &str| match (name, value) {
        ("view", _) => Some("needs attention".to_owned()),
        ("status", value) => Some(format!("status: {}", status_words(value))),
        (name, value) => {
            let known = FILTERS.iter().find(|(known, _)| *known == name)?;
            Some(format!("{}: {value}", known.1))
        }
    };
    let without = |at: usize| {
        let mut rest = pairs.clone();
        rest.0.remove(at);
        rest.query()
    };
    let labels = pairs.0.iter().enumerate();
    labels.filter_map(|(at, (name, value))| Some((label(name, value)?, without(at)))).collect()
}

fn copies(app: &App, pairs: &Pairs) -> Vec<Copyable> {
    let pairs = pairs.without(&["view"]);
    let flags = pairs.0.iter().filter_map(|(name, value)| {
        let value = format!("'{}'", value.replace('\'', r"'\''"));
        Some(match name.as_str() {
            "q" => value,
            "status" => format!("--status {value}"),
            "country" => format!("--country {value}"),
            "productType" => format!("--product-type {value}"),
            "createdAfter" => format!("--created-after {value}"),
            "createdBefore" => format!("--created-before {value}"),
            "sort" => format!("--sort {value}"),
            "limit" => format!("--limit {value}"),
            _ => return None,
        })
    });
    let flags: Vec<String> = std::iter::once("order search".to_owned()).chain(flags).collect();
    let path = format!("/orders/search{}", pairs.query());
    vec![Copyable::ofs(flags.join(" ")), Copyable::curl(&app.about.url, &path)]
}
