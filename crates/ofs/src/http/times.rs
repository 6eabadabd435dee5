//! `GET /pipeline/times`: how long orders stay in each state, from the events of those that ended last.
//!
//! One bounded search, kept for a few seconds, however many ask.

use super::App;
use axum::Json;
use axum::extract::State;
use ofs_events::{OrderStatus, Timestamp};
use ofs_runtime::problem::Problem;
use search_indexer_worker::document::OrderDocument;
use search_indexer_worker::http::search;
use search_indexer_worker::query::{MAX_LIMIT, SearchParams};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long what was found is told again.
const KEPT: Duration = Duration::from_secs(5);
/// Upper ends of the histogram's bars, in seconds.
const BARS: [f64; 12] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 600.0];

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

/// What is kept of the last look. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Times(Arc<Mutex<Option<Look>>>);

type Look = (Instant, Arc<TimesView>);

/// A length of time that half, 95 and 99 of 100 orders do not exceed, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Percentiles {
    /// Half of them.
    pub p50: f64,
    /// 95 of 100.
    pub p95: f64,
    /// 99 of 100.
    pub p99: f64,
}

/// How long orders stayed in one state.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateTimes {
    /// The state.
    pub status: OrderStatus,
    /// Orders that were in it and left it.
    pub orders: usize,
    /// How long they were; null if there were none.
    #[schema(required)]
    pub seconds: Option<Percentiles>,
}

/// Orders that took about as long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bar {
    /// They took at most this long, in seconds, and longer than those of the bar before; null: any time.
    #[schema(required)]
    pub up_to: Option<f64>,
    /// How many.
    pub orders: usize,
}

/// How long the orders that ended last took, by the times of their events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimesView {
    /// How many orders this is about: the last that ended and are searchable, at most 200.
    pub orders: usize,
    /// When the first of them ended; null if there are none.
    #[schema(required)]
    pub from: Option<Timestamp>,
    /// When the last of them ended; null if there are none.
    #[schema(required)]
    pub to: Option<Timestamp>,
    /// Each state that orders leave again.
    pub states: Vec<StateTimes>,
    /// From accepted to final; null if there are no orders.
    #[schema(required)]
    pub whole: Option<Percentiles>,
    /// The same, bar by bar.
    pub histogram: Vec<Bar>,
}

/// How long orders stay in each state, and from accepted to final.
///
/// Tells of the 200 orders that ended last, by the times of their events.
#[utoipa::path(get, path = "/pipeline/times", tag = "operations", operation_id = "pipelineTimes",
    security(("key" = ["operate"])),
    responses((status = 200, description = "How long they took", body = TimesView),
        (status = 503, description = "The index cannot be reached")))]
async fn show(State(app): State<App>) -> Result<Json<TimesView>, Problem> {
    Ok(Json(TimesView::clone(&*times(&app).await?)))
}

/// How long the orders that ended last took, as found now or a few seconds ago.
pub(super) async fn times(app: &App) -> Result<Arc<TimesView>, Problem> {
    let mut kept = app.times.0.lock().await;
    if let Some((_, view)) = kept.as_ref().filter(|(at, _)| at.elapsed() < KEPT) {
        return Ok(Arc::clone(view));
    }
    let ended = OrderStatus::ALL.into_iter().filter(|status| status.is_final());
    let params = SearchParams {
        status: ended.map(|status| status.name().to_owned()).collect(),
        sort: Some("-updatedAt".to_owned()),
        limit: Some(MAX_LIMIT.to_string()),
        ..SearchParams::default()
    };
    let query = params.parse().map_err(Problem::invalid_query)?;
    let page = search(&app.desk(search_indexer_worker::NAME), &query).await?;
    let orders = page.orders.into_iter().filter_map(|order| serde_json::from_value(order).ok());
    let view = Arc::new(view(&orders.collect::<Vec<_>>()));
    *kept = Some((Instant::now(), Arc::clone(&view)));
    Ok(view)
}

fn view(orders: &[OrderDocument]) -> TimesView {
    let lives: Vec<Life> = orders.iter().filter_map(Life::of).collect();
    let created =
        lives.iter().map(|life| life.paid.unwrap_or(life.ended).seconds_since(life.begun));
    let paid = lives.iter().filter_map(|life| Some(life.ended.seconds_since(life.paid?)));
    let state = |status, seconds: Vec<f64>| StateTimes {
        status,
        orders: seconds.len(),
        seconds: percentiles(seconds),
    };
    let whole: Vec<f64> = lives.iter().map(|life| life.ended.seconds_since(life.begun)).collect();
    TimesView {
        orders: lives.len(),
        from: lives.iter().map(|life| life.ended).min(),
        to: lives.iter().map(|life| life.ended).max(),
        states: vec![
            state(OrderStatus::Created, created.collect()),
            state(OrderStatus::PaymentAuthorized, paid.collect()),
        ],
        histogram: histogram(&whole),
        whole: percentiles(whole),
    }
}

/// When an order changed its state.
struct Life {
    begun: Timestamp,
    /// None if it was not paid.
    paid: Option<Timestamp>,
    ended: Timestamp,
}

impl Life {
    /// None where an event is missing.
    fn of(order: &OrderDocument) -> Option<Self> {
        let at = |name: &str| {
            let event = order.timeline.iter().find(|event| event.event_type == name);
            event.map(|event| event.occurred_at)
        };
        let (begun, paid) = (at("OrderCreatedV1")?, at("PaymentAuthorizedV1"));
        let ended = match paid {
            Some(_) => at("FulfillmentScheduledV1")?,
            None => at("PaymentFailedV1")?,
        };
        Some(Life { begun, paid, ended })
    }
}

/// By the nearest rank.
fn percentiles(mut seconds: Vec<f64>) -> Option<Percentiles> {
    seconds.sort_by(f64::total_cmp);
    let rank = |percent: usize| {
        let nth = (seconds.len() * percent).div_ceil(100).saturating_sub(1);
        // Clocks of two machines may make an effect older than its cause.
        seconds.get(nth).map(|seconds| seconds.max(0.0))
    };
    Some(Percentiles { p50: rank(50)?, p95: rank(95)?, p99: rank(99)? })
}

fn histogram(seconds: &[f64]) -> Vec<Bar> {
    let ends = BARS.iter().copied().map(Some).chain([None]);
    let mut below = 0;
    let bar = |up_to: Option<f64>| {
        let within = |seconds: &&f64| up_to.is_none_or(|end| **seconds <= end);
        let all = seconds.iter().filter(within).count();
        let orders = all - below;
        below = all;
        Bar { up_to, orders }
    };
    ends.map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_occurred() {
        let all = |until: u32| (1..=until).rev().map(f64::from).collect::<Vec<_>>();
        let told = |p50, p95, p99| Some(Percentiles { p50, p95, p99 });
        assert_eq!(percentiles(Vec::new()), None);
        assert_eq!(percentiles(all(1)), told(1.0, 1.0, 1.0));
        assert_eq!(percentiles(all(200)), told(100.0, 190.0, 198.0));
        assert_eq!(percentiles(vec![-0.5, 3.0]), told(0.0, 3.0, 3.0));
    }

    #[test]
    fn every_order_is_in_one_bar() {
        let bars = histogram(&[-0.1, 0.01, 0.011, 0.3, 601.0, 90_000.0]);
        let told: Vec<usize> = bars.iter().map(|bar| bar.orders).collect();
        assert_eq!(told, [2, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!((bars[0].up_to, bars[12].up_to), (Some(0.01), None));
    }
}
