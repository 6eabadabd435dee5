//! The settings page: what this process is, and how it was configured. Secrets are masked.

use super::{Page, frame};
use crate::http::App;
use axum::extract::State;
use ofs_console::frame::{Copyable, Depth, Here};
use ofs_console::settings::{Setting, SettingsPage};
use ofs_runtime::access::Caller;

/// Who is asking, and what they may do.
fn access(app: &App, caller: &Caller) -> String {
    match &app.guard.keyring {
        Some(_) => format!("{caller}: {}", caller.scopes()),
        None => "everybody who reaches this address may do everything".to_owned(),
    }
}

pub(super) async fn show(State(app): State<App>, caller: Caller) -> Page<SettingsPage> {
    let about = &app.about;
    let engines = if about.embedded {
        "embedded: SQLite, SQLite, tantivy"
    } else {
        "cluster: Kafka, PostgreSQL, Elasticsearch"
    };
    let draining = if app.draining.is_cancelled() { "shutting down" } else { "serving" };
    let facts = vec![
        ("Version", env!("CARGO_PKG_VERSION").to_owned()),
        ("Services here", about.services.join(", ")),
        ("Engines", engines.to_owned()),
        ("Store", app.store.instance().to_string()),
        ("State", draining.to_owned()),
        ("Access", access(&app, &caller)),
    ];
    let settings = about.settings.iter().map(|shown| Setting {
        key: shown.key,
        value: shown.value.clone(),
        source: shown.source.clone(),
        changed: shown.changed,
        doc: shown.doc,
    });
    Page(SettingsPage {
        frame: frame(&app, caller.scopes(), Here::Settings, Depth::Page),
        facts,
        troubles: app.troubles.all().into_iter().collect(),
        settings: settings.collect(),
        copy: vec![Copyable::ofs("config show")],
    })
}
