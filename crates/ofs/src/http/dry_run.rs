//! `POST /parked/{id}/dry-run`: what a retry would do with the code that runs now. Changes nothing.

use super::App;
use super::parked::{behind, closed, elsewhere, unknown};
use axum::Json;
use axum::extract::State;
use ofs_runtime::extract::Id;
use ofs_runtime::parked::Rehearsed;
use ofs_runtime::problem::Problem;
use ofs_runtime::service::Fault;
use serde::Serialize;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(dry_run))
}

/// What a retry would come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Would {
    /// The record would change, as `after` says, and `events` would be told.
    Change,
    /// It would be handled, and change nothing.
    Nothing,
    /// It would fail, and wait for an operator.
    Fail,
    /// It could not be decided now, and would be retried automatically.
    Wait,
}

/// What a retry would do.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct DryRun {
    /// The event's number.
    #[schema(example = 1)]
    id: u64,
    /// What it would come to.
    pub(super) outcome: Would,
    /// Why it would fail or wait; null otherwise.
    #[schema(required)]
    pub(super) reason: Option<String>,
    /// The record as it is; null if there is none, or nothing would change.
    #[schema(required, value_type = Option<Object>)]
    pub(super) before: Option<Value>,
    /// The record as it would be; null if nothing would change.
    #[schema(required, value_type = Option<Object>)]
    pub(super) after: Option<Value>,
    /// The events that would be told, as they would be in the log.
    #[schema(value_type = Vec<Object>)]
    pub(super) events: Vec<Value>,
}

/// Tells what a retry of this event would do now, with the code that runs now. Nothing is written, and the
/// payment gateway is not asked to charge.
#[utoipa::path(post, path = "/parked/{id}/dry-run", tag = "parked", operation_id = "dryRunParked",
    security(("key" = ["operate"])),
    params(("id" = u64, Path, description = "Its number", example = 1,
        maximum = 9223372036854775807i64)),
    responses((status = 200, description = "What a retry would do", body = DryRun),
        (status = 400, description = "The path holds no number"),
        (status = 404, description = "No such parked event"),
        (status = 409, description = "Another one has to go first (the problem names it), it is \
            closed, or its service runs in another process")))]
async fn dry_run(State(app): State<App>, Id(id): Id<u64>) -> Result<Json<DryRun>, Problem> {
    rehearse(&app, id).await.map(Json)
}

/// What a retry of the parked event `id` would do now.
pub(super) async fn rehearse(app: &App, id: u64) -> Result<DryRun, Problem> {
    let would = |outcome, reason| {
        Ok(DryRun { id, outcome, reason, before: None, after: None, events: Vec::new() })
    };
    match app.retrier.rehearse(id).await? {
        Rehearsed::Decides { before, decision } => {
            let encoded = decision.events.iter().map(|event| event.encode());
            Ok(DryRun {
                id,
                outcome: Would::Change,
                reason: None,
                before: before.and_then(|record| record.read().ok()),
                after: Some(decision.body),
                events: encoded.filter_map(|event| serde_json::from_slice(&event).ok()).collect(),
            })
        }
        Rehearsed::Nothing => would(Would::Nothing, None),
        Rehearsed::Fails(Fault::Event(reason)) => would(Would::Fail, Some(reason)),
        Rehearsed::Fails(Fault::Later(reason)) => would(Would::Wait, Some(reason)),
        Rehearsed::Behind(head) => Err(behind(head)),
        Rehearsed::Closed(state) => Err(closed(id, state)),
        Rehearsed::Unknown => Err(unknown(id)),
        Rehearsed::Elsewhere { owner } => Err(elsewhere(id, &owner)),
    }
}
