//! Watching one order until it is final. Reads timeline and status; changes nothing.

use super::client::Client;
use super::order::items;
use super::output::{self, Format, text};
use crate::failure::{Exit, Failure};
use ofs_events::OrderStatus;
use serde_json::Value;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How often the server is asked while nothing changes: first and last pause.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// How long the timeline, a read model, may take to show the end of an order that is final.
const GRACE: Duration = Duration::from_secs(3);

/// Shows the events of order `id` as they come, until its status is final.
///
/// # Errors
/// [`Failure`] with [`Exit::OrderFailed`] if payment failed, [`Exit::Timeout`] after `timeout`.
pub(super) async fn watch(
    format: Format,
    client: &Client,
    id: &str,
    timeout: Duration,
) -> anyhow::Result<()> {
    let mut watched = Watched { format, id, shown: HashSet::new() };
    match tokio::time::timeout(timeout, watched.follow(client)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let waited = humantime::format_duration(timeout);
            let detail = format!(
                "order {id} is not final after {waited}; `ofs pipeline` shows the backlog, \
                 `ofs parked list --order {id}` whether it is held up"
            );
            Err(Failure::new(Exit::Timeout, detail).into())
        }
    }
}

struct Watched<'a> {
    format: Format,
    id: &'a str,
    /// Event ids.
    shown: HashSet<String>,
}

impl Watched<'_> {
    async fn follow(&mut self, client: &Client) -> anyhow::Result<()> {
        let mut pause = PAUSE.0;
        let mut reached = false;
        let mut final_since: Option<Instant> = None;
        loop {
            match self.look(client).await {
                Ok((status, news)) => {
                    reached = true;
                    if OrderStatus::named(&status).is_some_and(OrderStatus::is_final) {
                        let since = *final_since.get_or_insert_with(Instant::now);
                        if self.saw_the_end(&status) || since.elapsed() > GRACE {
                            return self.ended(&status);
                        }
                    }
                    pause = if news { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
                }
                // The order is safe while its server restarts; go on watching.
                Err(failure) if reached && failure.exit == Exit::Unreachable => pause = PAUSE.1,
                Err(failure) => return Err(failure.into()),
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// The order's status, and whether there were any events not shown before.
    async fn look(&mut self, client: &Client) -> Result<(String, bool), Failure> {
        let order = client.get(&["orders", self.id], &[]).await?;
        let timeline = match client.get(&["orders", self.id, "timeline"], &[]).await {
            Ok(timeline) => timeline,
            // No event has reached the read model yet.
            Err(failure) if failure.exit == Exit::NotFound => Value::Null,
            Err(failure) => return Err(failure),
        };
        let mut news = false;
        for event in items(&timeline, "events") {
            let name = format!("{} {}", text(event, "/eventType"), text(event, "/eventId"));
            if self.shown.insert(name) {
                news = true;
                self.show(event).map_err(|error| Failure::of(error.into()))?;
            }
        }
        Ok((text(&order, "/status"), news))
    }

    fn saw_the_end(&self, status: &str) -> bool {
        self.shown.iter().any(|shown| shown.starts_with(status))
    }

    fn show(&self, event: &Value) -> std::io::Result<()> {
        match self.format {
            Format::Json => output::json_line(event),
            Format::Text => {
                let (at, kind) = (text(event, "/occurredAt"), text(event, "/eventType"));
                output::line(&format!("{at}  {kind}"))
            }
        }
    }

    fn ended(&self, status: &str) -> anyhow::Result<()> {
        if !OrderStatus::named(status).is_some_and(OrderStatus::is_good_end) {
            let detail = format!("order {} ended in {status}", self.id);
            return Err(Failure::new(Exit::OrderFailed, detail).into());
        }
        Ok(())
    }
}
