//! What the forms of the parked pages do, and how the next page says what came of it.

use crate::http::App;
use crate::http::console::fields;
use crate::http::jobs::{self, Action, NewJob};
use crate::http::parked::{discard_one, retry_one};
use crate::http::parked_view::Chosen;
use axum::extract::{RawForm, State};
use axum::response::Redirect;
use ofs_console::parked::Notice;
use ofs_console::url::Pairs;
use ofs_console::words::Tone;
use ofs_runtime::access::Caller;
use ofs_runtime::extract::{Id, read_query};
use ofs_runtime::problem::{Invalid, Problem};

/// Parameters that say what came of a form.
const OUTCOMES: [&str; 3] = ["resolved", "failed", "discarded"];

pub(in super::super) async fn retry(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<u64>,
) -> Result<Redirect, Problem> {
    let tried = retry_one(&app, &caller, id).await?;
    let outcome = if tried.is_resolved() { "resolved" } else { "failed" };
    Ok(Redirect::to(&format!("../{id}?{outcome}=1")))
}

pub(in super::super) async fn discard(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<u64>,
    RawForm(form): RawForm,
) -> Result<Redirect, Problem> {
    let form = fields(&form)?;
    discard_one(&app, &caller, id, form.get("reason").unwrap_or_default()).await?;
    Ok(Redirect::to(&format!("../{id}?discarded=1")))
}

pub(in super::super) async fn retry_many(
    State(app): State<App>,
    caller: Caller,
    RawForm(form): RawForm,
) -> Result<Redirect, Problem> {
    begin(&app, &caller, &fields(&form)?, Action::Retry, None).await
}

pub(in super::super) async fn discard_many(
    State(app): State<App>,
    caller: Caller,
    RawForm(form): RawForm,
) -> Result<Redirect, Problem> {
    let form = fields(&form)?;
    let count = form.get("count").and_then(|count| count.trim().parse().ok());
    let count = count.ok_or_else(|| {
        let rule = "must say how many events are discarded";
        Problem::invalid_request(vec![Invalid::new("count", rule)])
    })?;
    begin(&app, &caller, &form, Action::Discard, Some(count)).await
}

async fn begin(
    app: &App,
    caller: &Caller,
    form: &Pairs,
    action: Action,
    count: Option<u64>,
) -> Result<Redirect, Problem> {
    let filter = form.without(&["why", "count"]);
    let because = form.get("why").unwrap_or_default().to_owned();
    let Chosen { service, reason } = chosen(&filter)?;
    let new = NewJob { action, because, service, reason, count };
    jobs::start(app, caller, new).await?;
    Ok(Redirect::to(&format!("../parked{}", filter.query())))
}

pub(in super::super) async fn cancel(
    State(app): State<App>,
    caller: Caller,
) -> Result<Redirect, Problem> {
    jobs::stop(&app, &caller).await?;
    Ok(Redirect::to("../../parked"))
}

fn chosen(form: &Pairs) -> Result<Chosen, Problem> {
    read_query(form.query().trim_start_matches('?'))
}

/// What `pairs` say came of a form.
pub(super) fn notice(pairs: &Pairs) -> Option<Notice> {
    let said = |tone, text: &str| Some(Notice { tone, text: text.to_owned() });
    match OUTCOMES.into_iter().find(|name| pairs.get(name).is_some())? {
        "resolved" => said(Tone::Good, "It was handled."),
        "failed" => said(Tone::Bad, "It failed again."),
        _ => said(Tone::Warning, "It was discarded."),
    }
}
