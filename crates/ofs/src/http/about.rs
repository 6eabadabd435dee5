//! `GET /about`: what this process is, for whoever compares one with another.

use super::App;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long an engine may take to say its name.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show))
}

/// What a process is.
#[derive(Serialize, utoipa::ToSchema)]
struct AboutView {
    /// Of this program.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The services that run in this process.
    services: Vec<&'static str>,
    /// What they stand on.
    engines: Engines,
}

/// The engines, each with its name and version; null while an engine does not say.
#[derive(Serialize, utoipa::ToSchema)]
struct Engines {
    #[schema(required, example = "SQLite 3.51.1")]
    log: Option<String>,
    #[schema(required, example = "SQLite 3.51.1")]
    store: Option<String>,
    #[schema(required, example = "tantivy 0.27.0")]
    index: Option<String>,
}

/// The version of this process, the services that run in it, and the engines they stand on.
#[utoipa::path(get, path = "/about", tag = "operations", operation_id = "about",
    security(("key" = ["operate"])),
    responses((status = 200, description = "What this process is", body = AboutView)))]
async fn show(State(app): State<App>) -> Json<AboutView> {
    let (log, store, index) = tokio::join!(
        named(app.log.engine()),
        named(app.store.engine()),
        named(app.index.engine()),
    );
    Json(AboutView {
        version: env!("CARGO_PKG_VERSION"),
        services: app.about.services.clone(),
        engines: Engines { log, store, index },
    })
}

async fn named(engine: impl Future<Output = Option<String>>) -> Option<String> {
    tokio::time::timeout(PATIENCE, engine).await.ok().flatten()
}
