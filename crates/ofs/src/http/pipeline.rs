//! `GET /pipeline`: what waits where. The looking is done by `ofs_runtime::pipeline`.

use super::App;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use ofs_runtime::pipeline::PipelineView;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

/// What waits where, for every service, wherever it runs.
///
/// A part that cannot be reached is `null` and says `unreachableSince`; it is never shown as 0.
#[utoipa::path(get, path = "/pipeline", tag = "operations", operation_id = "pipeline",
    security(("key" = ["operate"])),
    responses((status = 200, description = "What waits where", body = PipelineView)))]
async fn show(State(app): State<App>) -> impl IntoResponse {
    Json(app.pipeline.sample().await).into_response()
}
