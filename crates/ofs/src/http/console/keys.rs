//! The keys page: every key, and forms that make and revoke them. A new key is in one answer alone.

use super::{Page, fields, frame};
use crate::http::App;
use crate::http::keys::{NewKey, make, revoke_one};
use axum::extract::{RawForm, State};
use axum::response::Redirect;
use ofs_console::frame::{Copyable, Depth, Here};
use ofs_console::keys::{KeysPage, Made, Row};
use ofs_console::url::Pairs;
use ofs_console::words::{Badge, Moment, Tone};
use ofs_events::Timestamp;
use ofs_runtime::access::{ApiKey, Caller, Scope};
use ofs_runtime::extract::Id;
use ofs_runtime::problem::{Invalid, Problem};
use uuid::Uuid;

/// Keys that are shown.
const SHOWN: usize = 200;

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
) -> Result<Page<KeysPage>, Problem> {
    page(&app, &caller, None).await
}

async fn page(app: &App, caller: &Caller, made: Option<Made>) -> Result<Page<KeysPage>, Problem> {
    let frame = frame(app, caller.scopes(), Here::Keys, Depth::Page);
    let keys = app.keyring.list().await?;
    Ok(Page(KeysPage {
        made,
        more: keys.len() > SHOWN,
        rows: keys.iter().rev().take(SHOWN).map(|key| row(key, frame.at)).collect(),
        scopes: Scope::ALL.iter().map(|scope| (scope.name(), scope.what())).collect(),
        copy: vec![
            Copyable::ofs("keys list"),
            Copyable::ofs("audit list"),
            Copyable::curl(&app.about.url, "/keys"),
        ],
        frame,
    }))
}

fn row(key: &ApiKey, now: Timestamp) -> Row {
    let expired = key.expires_at.is_some_and(|end| end <= now);
    let state = match key.revoked_at {
        Some(_) => Badge { tone: Tone::Plain, word: "Revoked" },
        None if expired => Badge { tone: Tone::Plain, word: "Expired" },
        None => Badge { tone: Tone::Good, word: "In force" },
    };
    Row {
        id: key.id.to_string(),
        name: key.name.clone(),
        state,
        open: key.revoked_at.is_none(),
        scopes: key.scopes.to_string(),
        created: Moment(key.created_at),
        expires: key.expires_at.map(Moment),
        used: key.used_at.map(Moment),
    }
}

pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    RawForm(form): RawForm,
) -> Result<Page<KeysPage>, Problem> {
    let new = read(&fields(&form)?).map_err(|error| Problem::invalid_request(vec![error]))?;
    let (key, secret) = make(&app, &caller, new).await?;
    page(&app, &caller, Some(Made { name: key.name, key: secret.text() })).await
}

/// The key that a form asks for.
fn read(form: &Pairs) -> Result<NewKey, Invalid> {
    let scopes = form.0.iter().filter(|(name, _)| name == "scope");
    let scopes = scopes.map(|(_, scope)| scope.parse::<Scope>());
    let scopes = scopes.collect::<Result<_, _>>().map_err(|rule| Invalid::new("/scopes", rule))?;
    let until = |text: &str| {
        let begin = format!("{text}T00:00:00Z");
        let rule = "must be a date, such as 2027-01-31, or an RFC 3339 time";
        let time = text.parse().or_else(|_| begin.parse());
        time.map_err(|_| Invalid::new("/expiresAt", rule))
    };
    let expires_at = form.get("expires").map(str::trim).map(until).transpose()?;
    Ok(NewKey { name: form.get("name").unwrap_or_default().to_owned(), scopes, expires_at })
}

pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<Uuid>,
) -> Result<Redirect, Problem> {
    revoke_one(&app, &caller, id).await?;
    Ok(Redirect::to("../../keys"))
}
