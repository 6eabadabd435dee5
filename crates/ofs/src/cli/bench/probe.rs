//! Asks the search, all the time, up to when events can be found.

use super::super::client::Client;
use super::times::{Clock, Micros};
use crate::failure::{Exit, Failure};
use ofs_events::Timestamp;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::watch;

/// How often to ask. The promise itself is renewed every 200 ms.
const ASK: Duration = Duration::from_millis(50);
/// Of this product there is no order, so that asking costs the server as little as can be.
const NOTHING: &str = "Bench, of which there is nothing";
/// How long to wait for what is in the log to be found.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the search promised when: `(asked, as of)`, both growing.
pub(super) type Promises = Vec<(Micros, Micros)>;

pub(super) struct Probe {
    /// The event, on the server's clock, that has to be found before the probe ends.
    until: watch::Sender<Option<Micros>>,
    task: tokio::task::JoinHandle<Result<Promises, Failure>>,
}

impl Probe {
    pub fn start(client: Client, clock: Clock) -> Self {
        let (until, mut last) = watch::channel(None);
        let task = tokio::spawn(async move {
            let mut promises = Promises::new();
            let mut ticks = tokio::time::interval(ASK);
            let mut patience = None;
            loop {
                ticks.tick().await;
                if let Some(as_of) = ask(&client).await?.map(|time| clock.of(time)) {
                    promises.push((clock.now(), as_of));
                }
                let Some(last) = *last.borrow_and_update() else { continue };
                let found = promises.last().is_some_and(|(_, as_of)| *as_of > last);
                let since = *patience.get_or_insert_with(tokio::time::Instant::now);
                if found || since.elapsed() > PATIENCE {
                    return Ok(promises);
                }
            }
        });
        Self { until, task }
    }

    /// Ends when everything up to `last` can be found, or does not become so in time.
    pub async fn until(self, last: Micros) -> Result<Promises, Failure> {
        self.until.send_replace(Some(last));
        let ended = self.task.await;
        ended.map_err(|error| Failure::new(Exit::Failed, format!("asking the search: {error}")))?
    }
}

async fn ask(client: &Client) -> Result<Option<Timestamp>, Failure> {
    let query = [("productType", Some(NOTHING.to_owned())), ("limit", Some("1".to_owned()))];
    let found = match client.get(&["orders", "search"], &query).await {
        Ok(found) => found,
        // A search that fails under load shows in the figures: what it would have found is found later.
        Err(failure) if matches!(failure.exit, Exit::Unreachable | Exit::Timeout) => {
            return Ok(None);
        }
        Err(failure) => return Err(failure),
    };
    Ok(found.get("asOf").and_then(Value::as_str).and_then(|time| time.parse().ok()))
}
