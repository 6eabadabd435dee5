//! Whether the process lives, and whether it can take requests.
//!
//! An outage of the log or the index shows, but never makes a process unready: orders still come in.

use super::App;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ofs_events::Topic;
use ofs_runtime::index::Index;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long a dependency may take to answer before it counts as down.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready))
}

/// The process is alive.
#[derive(Serialize, utoipa::ToSchema)]
struct Live {
    /// Always true; a process that is not alive does not answer.
    live: bool,
}

/// Whether a dependency answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Answers {
    /// It answers.
    Up,
    /// It does not answer within two seconds, or answers with an error.
    Down,
    /// It answers, but is not built yet.
    Building,
}

/// Whether requests should be sent here.
#[derive(Serialize, utoipa::ToSchema)]
struct Ready {
    /// The store is migrated and answers, nothing needs an operator, and the process is not shutting down.
    ready: bool,
    /// The store has the tables this build needs; checked before the server starts.
    migrated: bool,
    /// Needed to be ready.
    store: Answers,
    /// Not needed to be ready: events wait in the store.
    log: Answers,
    /// Not needed to be ready: documents wait in the store.
    index: Answers,
    /// The process is shutting down.
    draining: bool,
    /// What does not work until an operator acts, and why; empty if everything works.
    troubles: BTreeMap<String, String>,
}

/// Whether the process is alive; checks no dependency.
#[utoipa::path(get, path = "/health/live", tag = "operations", operation_id = "live",
    security(()),
    responses((status = 200, description = "It lives", body = Live)))]
async fn live() -> Json<Live> {
    Json(Live { live: true })
}

/// Whether requests should be sent to this process.
#[utoipa::path(get, path = "/health/ready", tag = "operations", operation_id = "ready",
    security(()),
    responses((status = 200, description = "Ready", body = Ready),
        (status = 503, description = "Not ready: the store does not answer, something does not \
            work until an operator acts, or the process is shutting down", body = Ready)))]
async fn ready(State(app): State<App>) -> (StatusCode, Json<Ready>) {
    let (store, log, index) = tokio::join!(
        answers(app.store.parked_event(0)),
        answers(app.log.bounds(Topic::Orders)),
        index(&*app.index),
    );
    let draining = app.draining.is_cancelled();
    let mut troubles = app.troubles.all();
    troubles.extend(app.store.damage().map(|damage| ("store".to_owned(), damage)));
    troubles.extend(app.log.damage().map(|damage| ("log".to_owned(), damage)));
    let ready = store == Answers::Up && troubles.is_empty() && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, migrated: true, store, log, index, draining, troubles }))
}

async fn index(index: &dyn Index) -> Answers {
    match tokio::time::timeout(PATIENCE, index.status()).await {
        Ok(Ok(status)) if status.active.is_none() => Answers::Building,
        Ok(Ok(_)) => Answers::Up,
        Ok(Err(_)) | Err(_) => Answers::Down,
    }
}

async fn answers<T, E>(asked: impl Future<Output = Result<T, E>>) -> Answers {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(_)) => Answers::Up,
        Ok(Err(_)) | Err(_) => Answers::Down,
    }
}
