//! What became of every order, read from the log afterwards, so that looking costs the run nothing.

use super::super::client::Client;
use super::load::{self, Order, Placed};
use super::times::{Clock, Micros};
use crate::failure::{Exit, Failure};
use futures::{StreamExt as _, TryStreamExt as _};
use ofs_events::{Event, EventId, Facts, Key, OrderStatus, Timestamp};
use ofs_runtime::log::Position;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// How long the log may say nothing of our orders while they are not at their end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to look for what should not come any more.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// A place in the log: the id of a server-sent event.
pub(super) struct Start(String);

/// Where the log ends now. Places one order of `product`, to see that orders pass.
///
/// # Errors
/// [`Failure`] if the server cannot be reached, takes no order, or publishes nothing.
pub(super) async fn start(client: &Client, product: &str) -> Result<Start, Failure> {
    let query = [("from", Some("latest".to_owned()))];
    let lines = client.lines(&["events"], &query, &[("accept", "text/event-stream")]).await?;
    load::place(client, &format!("{product}, the first")).await?;
    let mut lines = std::pin::pin!(lines);
    let first = async {
        while let Some(line) = lines.next().await {
            let line = String::from_utf8_lossy(&line?).into_owned();
            if let Some(id) = line.strip_prefix("id:") {
                return Ok(Start(id.trim().to_owned()));
            }
        }
        Err(Failure::new(Exit::Failed, "the server ended the stream of events"))
    };
    tokio::time::timeout(PATIENCE, first).await.unwrap_or_else(|_| {
        let detail = "no event came within a minute of an order; `ofs pipeline` shows what waits";
        Err(Failure::new(Exit::Timeout, detail))
    })
}

/// The events of one order, each with when the log took it.
#[derive(Clone, Debug, Default)]
struct Trail(Vec<(Event, Micros)>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    position: Position,
    appended_at: Timestamp,
    key: Option<String>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
}

impl Line<'_> {
    /// The event in a line of `GET /events`, with when the log took it; none if the line holds none.
    fn event(line: &[u8]) -> Option<(Event, Timestamp)> {
        let line: Line<'_> = serde_json::from_slice(line).ok()?;
        let key = line.key.as_deref().map(str::as_bytes);
        let event = Event::decode(line.position.topic, key, line.event?.get().as_bytes()).ok()?;
        Some((event, line.appended_at))
    }
}

/// What became of the orders of a run.
pub(super) struct Check {
    trails: HashMap<Key, Trail>,
    /// By how much the server's clock is ahead of ours: at least, and at most.
    ahead: (Micros, Micros),
    pub lost: u64,
    pub doubled: u64,
    pub out_of_order: u64,
}

impl Check {
    /// Reads the log from `start` until all orders are at their end.
    ///
    /// # Errors
    /// [`Failure`] if the log cannot be read.
    pub async fn of(
        client: &Client,
        start: &Start,
        placed: &Placed,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let mut trails: HashMap<Key, Trail> =
            placed.orders.iter().map(|order| (order.id.into(), Trail::default())).collect();
        let mut open = trails.len();
        let query = [("follow", Some("true".to_owned()))];
        let headers = [("accept", "application/x-ndjson"), ("last-event-id", start.0.as_str())];
        let mut lines = std::pin::pin!(client.lines(&["events"], &query, &headers).await?);
        let mut end = Instant::now() + PATIENCE;
        while let Ok(line) = tokio::time::timeout_at(end, lines.try_next()).await {
            let Some(line) = line? else { break };
            let Some((event, appended)) = Line::event(&line) else { continue };
            let Some(trail) = trails.get_mut(&event.key()) else { continue };
            let was_open = !trail.is_whole();
            trail.take(event, clock.of(appended));
            open -= usize::from(was_open && trail.is_whole());
            end = Instant::now() + if open > 0 { PATIENCE } else { AFTERWARDS };
        }
        Ok(Self::judge(&placed.orders, trails, clock))
    }

    fn judge(orders: &[Order], trails: HashMap<Key, Trail>, clock: Clock) -> Self {
        let count =
            |is: fn(&Trail) -> bool| trails.values().filter(|trail| is(trail)).count() as u64;
        let (lost, doubled) = (count(|trail| !trail.is_whole()), count(Trail::is_doubled));
        let out_of_order = count(Trail::is_out_of_order);
        // An order is made between the moments at which it was sent and answered.
        let mut ahead = (Micros::MIN, Micros::MAX);
        for order in orders {
            if let Some(made) = trails.get(&order.id.into()).and_then(Trail::made) {
                let made = clock.of(made);
                ahead.0 = ahead.0.max(made - order.answered);
                ahead.1 = ahead.1.min(made - order.sent);
            }
        }
        Self { trails, ahead, lost, doubled, out_of_order }
    }

    /// When the log took the last event of the order, on the server's clock; none if it is lost.
    pub fn scheduled(&self, order: &Order) -> Option<Micros> {
        self.trails.get(&order.id.into()).filter(|trail| trail.is_whole())?.last()
    }

    /// When the log took the last event of all, on the server's clock.
    pub fn end(&self) -> Micros {
        self.trails.values().filter_map(Trail::last).max().unwrap_or(0)
    }

    /// What to take off a time of the server's clock: nothing where the clocks may be one.
    pub fn ahead(&self) -> Micros {
        let (least, most) = self.ahead;
        if least <= 0 && most >= 0 { 0 } else { least.midpoint(most) }
    }
}

impl Trail {
    fn take(&mut self, event: Event, appended: Micros) {
        // The log may hold an event twice; services know it by its id.
        if self.find(event.id).is_none() {
            self.0.push((event, appended));
        }
    }

    fn events(&self) -> impl Iterator<Item = &Event> {
        self.0.iter().map(|(event, _)| event)
    }

    fn find(&self, id: EventId) -> Option<&Event> {
        self.events().find(|event| event.id == id)
    }

    fn last(&self) -> Option<Micros> {
        self.0.iter().map(|(_, appended)| *appended).max()
    }

    /// When the order was made.
    fn made(&self) -> Option<Timestamp> {
        self.events().find(|event| event.causation_id.is_none()).map(|event| event.occurred_at)
    }

    /// Whether the order is at its end, and the cause of each of its events is here.
    fn is_whole(&self) -> bool {
        let mut facts = self.events().filter_map(|event| event.payload.fact());
        let facts = facts.try_fold(Facts::default(), Facts::with);
        let ended = facts.is_ok_and(|facts| OrderStatus::from_facts(facts).is_final());
        let mut causes = self.events().filter_map(|event| event.causation_id);
        ended && self.made().is_some() && causes.all(|cause| self.find(cause).is_some())
    }

    fn is_doubled(&self) -> bool {
        let kinds: HashSet<_> = self.events().map(|event| event.payload.event_type()).collect();
        kinds.len() < self.0.len()
    }

    /// Whether an event happened before the one that caused it.
    fn is_out_of_order(&self) -> bool {
        self.events().any(|event| {
            let cause = event.causation_id.and_then(|cause| self.find(cause));
            cause.is_some_and(|cause| event.occurred_at < cause.occurred_at)
        })
    }
}

/// How many orders of `product` the search finds at their end.
///
/// # Errors
/// [`Failure`] if it cannot be asked.
pub(super) async fn searched(client: &Client, product: &str) -> Result<u64, Failure> {
    let mut query =
        vec![("productType", Some(product.to_owned())), ("limit", Some("1".to_owned()))];
    let ends = OrderStatus::ALL.into_iter().filter(|status| status.is_final());
    query.extend(ends.map(|status| ("status", Some(status.name().to_owned()))));
    let found = client.get(&["orders", "search"], &query).await?;
    Ok(found.get("total").and_then(Value::as_u64).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ofs_events::{
        CorrelationId, FulfillmentScheduledV1, OrderId, PaymentAuthorizedV1, PaymentFailedV1,
    };
    use ofs_runtime::context::Context;
    use uuid::Uuid;

    const ORDER: OrderId = OrderId(Uuid::from_u128(7));

    /// Paid and scheduled, with the causes in between.
    fn told() -> [Event; 2] {
        let context = Context::new("test");
        let paid = PaymentAuthorizedV1 { order_id: ORDER };
        let paid = context.first(CorrelationId(Uuid::from_u128(1)), paid.into());
        let scheduled = FulfillmentScheduledV1 { order_id: ORDER, eta_utc: context.now() };
        let [scheduled] = context.follow(&paid, [scheduled.into()]).try_into().expect("one");
        [paid, scheduled]
    }

    fn trail<'a>(events: impl IntoIterator<Item = &'a Event>) -> Trail {
        let mut trail = Trail::default();
        events.into_iter().for_each(|event| trail.take(event.clone(), 0));
        trail
    }

    #[test]
    fn an_order_is_whole_when_it_ended_and_every_cause_is_there() {
        let [paid, scheduled] = told();
        assert!(trail([&paid, &scheduled]).is_whole());
        assert!(trail([&scheduled, &paid]).is_whole());
        assert!(!trail([&paid]).is_whole());
        assert!(!trail([&scheduled]).is_whole());
    }

    #[test]
    fn an_event_that_the_log_holds_twice_is_one_and_two_of_a_type_are_double() {
        let [paid, scheduled] = told();
        assert!(!trail([&paid, &paid, &scheduled]).is_doubled());
        let again = Event { id: EventId(Uuid::from_u128(9)), ..scheduled.clone() };
        assert!(trail([&paid, &scheduled, &again]).is_doubled());
    }

    #[test]
    fn an_event_before_its_cause_and_an_end_that_contradicts_are_seen() {
        let [paid, scheduled] = told();
        let late = Event { occurred_at: Timestamp::from_micros(i64::MAX / 2), ..paid.clone() };
        assert!(!trail([&paid, &scheduled]).is_out_of_order());
        assert!(trail([&late, &scheduled]).is_out_of_order());
        let context = Context::new("test");
        let declined = PaymentFailedV1 { order_id: ORDER, reason: "no".to_owned() };
        let [declined] = context.follow(&paid, [declined.into()]).try_into().expect("one");
        assert!(!trail([&paid, &scheduled, &declined]).is_whole());
    }
}
