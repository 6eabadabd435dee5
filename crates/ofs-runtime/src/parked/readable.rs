//! What an older build could not read: found and retried by a build that can.
//!
//! Older processes go on parking such events while newer ones run, so one look at the start is not
//! enough. What this build can read does not change, so every event needs one look only.

use super::{Retried, Retrier, read_again};
use crate::backoff::Backoff;
use crate::store::{Error, ParkedFilter, ParkedState};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Time between two looks. Longer than any commit takes: numbers are given before the commit, so a
/// look may see a number and miss a lower one, and the look after the next one begins there.
const EVERY: Duration = Duration::from_secs(15);

const PAGE: usize = 200;

/// How far one service's parked events have been examined.
#[derive(Default)]
struct Looked {
    /// The last number of the last look.
    last: u64,
    /// The last number of the look before; the next look begins after it.
    before: u64,
}

impl Retrier {
    /// Retries, until `stop`, what another build of `service` could not read and this one can.
    pub async fn retry_readable(self, service: &'static str, stop: CancellationToken) {
        let mut looked = Looked::default();
        let mut backoff = Backoff::world();
        loop {
            let pause = match self.look(service, &mut looked).await {
                Ok(()) => {
                    backoff.reset();
                    EVERY
                }
                Err(error) => {
                    warn!(service, %error, "cannot look for parked events to read again, will try again");
                    backoff.next_wait()
                }
            };
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    async fn look(&self, service: &'static str, looked: &mut Looked) -> Result<(), Error> {
        let Some(own) = self.services.get(service) else { return Ok(()) };
        let mut filter = ParkedFilter {
            owner: Some(service.to_owned()),
            state: Some(ParkedState::Parked),
            after: Some(looked.before),
            ..ParkedFilter::default()
        };
        let (mut last, mut undone) = (looked.last, None);
        loop {
            let page = own.books.store().parked(&filter, PAGE).await?;
            for parked in &page.events {
                last = last.max(parked.id);
                if parked.event.unknown_type
                    && read_again(parked).event.is_ok()
                    && matches!(self.retry(parked.id).await?, Retried::Busy | Retried::Behind(_))
                {
                    undone.get_or_insert(parked.id - 1);
                }
            }
            if page.next.is_none() {
                break;
            }
            filter.after = page.next;
        }
        *looked = Looked { last, before: undone.unwrap_or(looked.last) };
        Ok(())
    }
}
