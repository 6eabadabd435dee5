//! Background tasks: each lives as long as the process. One that panics, or ends before it is told
//! to, would leave a process that looks well and does half its work, so it ends the process instead.

use crate::crash;
use futures::FutureExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::LazyLock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

/// How the first background task that failed came to its end.
static FAILED: LazyLock<watch::Sender<Option<String>>> = LazyLock::new(|| watch::Sender::new(None));

/// Waits until a background task of this process has failed; says which, and how.
pub async fn failed() -> String {
    let mut failed = FAILED.subscribe();
    let seen = failed.wait_for(Option::is_some).await.map(|how| how.clone());
    match seen {
        Ok(Some(how)) => how,
        _ => std::future::pending().await,
    }
}

/// Runs `task`; if it panics, or ends before `stop`, the process has [`failed`].
pub async fn until(stop: CancellationToken, name: String, task: impl Future<Output = ()>) {
    guard(&name, task).await;
    if !stop.is_cancelled() {
        fail(format!("the background task {name} has ended"));
    }
}

/// Runs `task`, which may end; if it panics, the process has [`failed`].
pub async fn guard(name: &str, task: impl Future<Output = ()>) {
    debug!(task = name, "background task started");
    let mut task = pin!(task);
    let watched = std::future::poll_fn(|context| {
        crash::task(name);
        task.as_mut().poll(context)
    });
    if AssertUnwindSafe(watched).catch_unwind().await.is_err() {
        panicked(name);
    }
}

/// Runs the body of a thread, which may end; if it panics, the process has [`failed`].
pub fn guard_thread(name: &str, body: impl FnOnce()) {
    debug!(task = name, "background task started");
    let body = AssertUnwindSafe(|| {
        crash::task(name);
        body();
    });
    if catch_unwind(body).is_err() {
        panicked(name);
    }
}

fn panicked(name: &str) {
    fail(format!("the background task {name} has panicked"));
}

fn fail(how: String) {
    error!("{how}");
    FAILED.send_if_modified(|failed| {
        let first = failed.is_none();
        failed.get_or_insert(how);
        first
    });
}
