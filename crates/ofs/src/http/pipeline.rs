//! `GET /pipeline`: what waits where. The looking is done by `ofs_runtime::pipeline`.

use super::App;
use axum::Json;
use axum::extract::State;
use ofs_events::OrderId;
use ofs_runtime::pipeline::PipelineView;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

/// The backlog of every service, wherever it runs.
///
/// A part that cannot be reached is `null` and says `unreachableSince`; it is never shown as 0.
#[utoipa::path(get, path = "/pipeline", tag = "operations", operation_id = "pipeline",
    security(("key" = ["operate"])),
    responses((status = 200, description = "The backlog", body = PipelineView)))]
async fn show(State(app): State<App>) -> Json<PipelineView> {
    let mut view = PipelineView::clone(&*app.pipeline.sample().await);
    for service in &mut view.services {
        for stuck in service.stuck.iter_mut().flatten() {
            stuck.reasons = reasons(&app, stuck.example.into()).await;
        }
    }
    Json(view)
}

/// What is in the way of order `id`; nothing if that cannot be told now.
async fn reasons(app: &App, id: OrderId) -> Vec<String> {
    let known = super::explain::known(app, id).await;
    let obstacles = known.map(|known| known.explanation.blocked_by).unwrap_or_default();
    obstacles.into_iter().map(|obstacle| obstacle.detail).collect()
}
