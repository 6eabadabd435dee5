//! A job that is cancelled in the middle, with a handler that lets one event pass at a time.

use super::house::{SERVICE, house};
use super::rehearsing::created;
use ofs_events::Topic;
use ofs_runtime::books::Books;
use ofs_runtime::context::Context;
use ofs_runtime::parked::Retrier;
use ofs_runtime::service::{Delivery, Fault, Handler, Reaction};
use ofs_runtime::store::Record;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Handles an event once it is let in.
struct Lets(Arc<Semaphore>, Arc<Semaphore>);

#[async_trait::async_trait]
impl Handler for Lets {
    fn topics(&self) -> &'static [Topic] {
        &[Topic::Orders]
    }

    async fn handle(
        &self,
        _: &Context,
        _: Option<&Record>,
        _: Delivery<'_>,
    ) -> Result<Reaction, Fault> {
        self.0.add_permits(1);
        self.1.acquire().await.expect("open").forget();
        Ok(Reaction::Ignore)
    }
}

#[tokio::test]
async fn a_job_that_is_cancelled_leaves_the_rest_parked() {
    let mut house = house().await;
    let (waits, may) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let lets: Arc<dyn Handler> = Arc::new(Lets(Arc::clone(&waits), Arc::clone(&may)));
    let mut retrier = Retrier::default();
    retrier.add(Books::new(SERVICE, Arc::clone(&house.app.store)), Arc::clone(&lets), lets);
    house.app.retrier = retrier;
    for number in 1..=3 {
        house.park_order(SERVICE, number, &created(number)).await;
    }
    let blank = house.press("/ui/parked/retry", "why=+").await;
    assert_eq!(blank.status, 400);
    let begun = house.press("/ui/parked/retry", "why=to+see").await;
    assert_eq!(
        (begun.status.as_u16(), &begun.headers["location"]),
        (303, &"../parked".parse().expect("text"))
    );
    waits.acquire().await.expect("open").forget();
    let shown = house.get("/ui/parked").await.text;
    for said in ["Retry of 3 events (all) goes on", "to see", "parked/job/cancel", "0 of 3 events"]
    {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    let second = house.press("/ui/parked/retry", "why=again").await;
    assert_eq!(second.status, 409, "one at a time");

    let cancelled = house.press("/ui/parked/job/cancel", "").await;
    assert_eq!(cancelled.status, 303);
    may.add_permits(1);
    let job = house.job_that_ended().await;
    assert_eq!((&job["state"], &job["total"]), (&json!("cancelled"), &json!(3)), "{job}");
    assert_eq!(job["turns"].as_array().map(Vec::len), Some(1), "{job}");
    assert_eq!(job["turns"][0]["outcome"], "resolved", "what had begun is finished: {job}");
    let open = house.get("/parked?state=parked").await.json();
    assert_eq!(open["parked"].as_array().map(Vec::len), Some(2), "{open}");
    let shown = house.get("/ui/parked").await.text;
    assert!(
        shown.contains("was cancelled") && shown.contains("2 events without a turn"),
        "{shown}"
    );
    // The next one may begin.
    may.add_permits(2);
    assert_eq!(house.press("/ui/parked/retry", "why=again").await.status, 303);
}
