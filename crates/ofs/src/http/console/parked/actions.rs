//! What the forms of the parked pages do, and how the next page says what came of it.

use crate::http::App;
use crate::http::parked::{discard_chosen, discard_one, retry_chosen, retry_one};
use crate::http::parked_view::Chosen;
use axum::extract::{RawForm, State};
use axum::response::Redirect;
use ofs_console::parked::Notice;
use ofs_console::url::Pairs;
use ofs_console::words::{Tone, counted};
use ofs_runtime::access::Caller;
use ofs_runtime::extract::{Id, read_query};
use ofs_runtime::problem::{Invalid, Problem};

/// Parameters that say what came of a form.
pub(super) const OUTCOMES: [&str; 6] =
    ["resolved", "failed", "busy", "elsewhere", "more", "discarded"];

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
    let form = fields(&form)?;
    let bulk = retry_chosen(&app, &caller, chosen(&form)?).await?;
    let mut pairs = form;
    let counts = [
        ("resolved", bulk.resolved),
        ("failed", bulk.failed),
        ("busy", bulk.busy),
        ("elsewhere", bulk.elsewhere),
        ("more", u64::from(bulk.more)),
    ];
    for (name, count) in counts {
        pairs = pairs.with(name, &count.to_string());
    }
    Ok(Redirect::to(&format!("../parked{}", pairs.query())))
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
    let filter = form.without(&["why", "count"]);
    let reason = form.get("why").unwrap_or_default();
    let done = discard_chosen(&app, &caller, chosen(&filter)?, reason, count).await?;
    let pairs = filter.with("discarded", &done.to_string());
    Ok(Redirect::to(&format!("../parked{}", pairs.query())))
}

fn fields(form: &[u8]) -> Result<Pairs, Problem> {
    let form = std::str::from_utf8(form);
    let form = form.map_err(|_| Problem::invalid_request(vec![Invalid::new("", "must be UTF-8")]));
    Ok(Pairs::of(form?))
}

fn chosen(form: &Pairs) -> Result<Chosen, Problem> {
    read_query(form.query().trim_start_matches('?'))
}

/// What `pairs` say came of a form.
pub(super) fn notice(pairs: &Pairs) -> Option<Notice> {
    let count = |name: &str| pairs.get(name)?.parse::<u64>().ok();
    let events = |count: u64| counted(count, "event", "events");
    if let Some(done) = count("discarded") {
        return Some(Notice { tone: Tone::Warning, text: format!("{} discarded.", events(done)) });
    }
    let (resolved, failed) = (count("resolved"), count("failed"));
    if resolved.is_none() && failed.is_none() {
        return None;
    }
    let mut said = vec![format!("{} handled", events(resolved.unwrap_or_default()))];
    for (name, words) in [
        ("failed", "failed again"),
        ("busy", "being retried elsewhere"),
        ("elsewhere", "belong to services that run in another process; retry them there"),
    ] {
        said.extend(count(name).filter(|count| *count > 0).map(|count| format!("{count} {words}")));
    }
    if count("more") == Some(1) {
        said.push("and there are more: retry again".to_owned());
    }
    let tone = if failed.unwrap_or_default() > 0 { Tone::Bad } else { Tone::Good };
    Some(Notice { tone, text: format!("{}.", said.join(", ")) })
}
