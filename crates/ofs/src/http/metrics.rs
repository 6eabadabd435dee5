//! `GET /metrics`: the process's metrics for Prometheus, at a moment when their laws hold.

use super::App;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(scrape))
}

/// Metrics of this process in the Prometheus text format.
///
/// Gauges of the backlog are looked up for the scrape; those that cannot be determined are `NaN`.
#[utoipa::path(get, path = "/metrics", tag = "operations", operation_id = "metrics",
    security((), ("key" = ["operate"])),
    responses((status = 200, description = "All metrics", content_type = "text/plain",
        body = String)))]
async fn scrape(State(app): State<App>) -> impl IntoResponse {
    app.pipeline.sample().await;
    let text = ofs_runtime::metrics::rendered(|| app.metrics.render());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
