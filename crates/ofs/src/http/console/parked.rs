//! The parked pages: causes, lists, one event with its bytes; retry and discard as forms.
//!
//! A form answers with a redirect to the page that shows what came of it.

mod actions;
mod job;
mod members;
mod rehearsed;

pub(super) use actions::{cancel, discard, discard_many, retry, retry_many};

use super::{Page, frame};
use crate::http::App;
use crate::http::parked::{event, page};
use crate::http::parked_view::Listing;
use crate::http::raw::{Encoding, Raw};
use axum::extract::{RawQuery, State};
use ofs_console::frame::{Copyable, Depth, Here};
use ofs_console::order::Content;
use ofs_console::orders::Choice;
use ofs_console::parked::{CauseGroup, ParkedEventPage, ParkedPage, Row};
use ofs_console::url::Pairs;
use ofs_console::words::{Badge, Clock, Count, Moment, Tone, counted};
use ofs_events::Timestamp;
use ofs_runtime::access::Caller;
use ofs_runtime::extract::{Id, read_query};
use ofs_runtime::problem::Problem;
use ofs_runtime::store::{Parked, ParkedFilter, ParkedState};
use serde::de::IgnoredAny;

/// Open events that causes are told of.
const GROUPED: usize = 1000;
/// Events behind one that are shown.
const BEHIND: usize = 50;
/// Bytes of a record that are shown.
const SHOWN_BYTES: usize = 32_000;
/// Letters shown around the place where reading stopped.
const AROUND: usize = 60;

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Page<ParkedPage>, Problem> {
    let pairs = Pairs::of(query.as_deref().unwrap_or_default());
    let state = pairs.get("state").unwrap_or("parked").to_owned();
    let asked = match state.as_str() {
        "any" => pairs.without(&["state"]),
        state => pairs.with("state", state),
    };
    let listing: Listing = read_query(asked.query().trim_start_matches('?'))?;
    let (found, next) = page(&app, listing).await?;
    let open = ParkedFilter { state: Some(ParkedState::Parked), ..ParkedFilter::default() };
    let heads = match state.as_str() {
        "parked" => app.store.parked(&open, GROUPED).await?.events,
        _ => Vec::new(),
    };
    let plain = pairs.without(&["cursor"]);
    let any_open = state == "parked" && !found.is_empty() && plain.get("order").is_none();
    let path = format!("/parked{}", asked.query());
    let frame = frame(&app, caller.scopes(), Here::Parked, Depth::Page);
    Ok(Page(ParkedPage {
        job: app.jobs.latest().map(|job| job::shown(&job, frame.at)),
        states: states(&plain, &state),
        filters: filters(&plain),
        fields: plain.without(&["state"]).0,
        groups: groups(&heads),
        more_groups: heads.len() == GROUPED,
        rows: found.iter().map(|one| row(one, frame.at)).collect(),
        any_open,
        next: next.map(|next| plain.with("cursor", &next).query()),
        copy: vec![
            Copyable::ofs("parked list --state parked"),
            Copyable::curl(&app.about.url, &path),
        ],
        frame,
    }))
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<u64>,
    RawQuery(query): RawQuery,
) -> Result<Page<ParkedEventPage>, Problem> {
    let parked = event(&app, id).await?;
    let asked = Pairs::of(query.as_deref().unwrap_or_default());
    let dry_run = match asked.get("dry-run") {
        Some(_) => Some(rehearsed::rehearsed(&app, &parked).await?),
        None => None,
    };
    let waiting = behind(&app, &parked).await?;
    let value = Raw::from(&parked.event.raw);
    let bytes = counted(parked.event.raw.len() as u64, "byte", "bytes");
    let written = match value.encoding {
        Encoding::Text | Encoding::Withheld => "",
        Encoding::Base64 => ", no text: written in base64",
    };
    let open = parked.state == ParkedState::Parked;
    let key = parked.event.raw_key.as_ref().map(|key| Raw::from(key).value);
    let frame = frame(&app, caller.scopes(), Here::Parked, Depth::Below);
    Ok(Page(ParkedEventPage {
        notice: actions::notice(&asked),
        row: row(&parked, frame.at),
        open,
        closed: parked.closed_at.map(Moment),
        position: parked.event.at.to_string(),
        key: key.unwrap_or_else(|| "none".to_owned()),
        marked: marked(&value),
        content: Content::of(&value.value, SHOWN_BYTES),
        size: format!("{bytes}{written}"),
        members: members::members(&parked),
        dry_run,
        waiting: waiting.iter().map(|one| row(one, frame.at)).collect(),
        copy: vec![
            Copyable::ofs(format!("parked show {id}")),
            Copyable::ofs(format!("parked retry --dry-run {id}")),
            Copyable::ofs(format!("parked retry {id}")),
            Copyable::curl(&app.about.url, &format!("/parked/{id}")),
        ],
        frame,
    }))
}

/// Open events of the same order that wait behind `parked`.
async fn behind(app: &App, parked: &Parked) -> Result<Vec<Parked>, Problem> {
    let (Some(key), ParkedState::Parked) = (parked.event.key, parked.state) else {
        return Ok(Vec::new());
    };
    let filter = ParkedFilter {
        owner: Some(parked.owner.clone()),
        key: Some(key),
        state: Some(ParkedState::Parked),
        after: Some(parked.id),
        ..ParkedFilter::default()
    };
    let found = app.store.parked(&filter, BEHIND).await?;
    Ok(found.events.into_iter().filter(|one| one.behind == Some(parked.id)).collect())
}

fn states(pairs: &Pairs, chosen: &str) -> Vec<Choice> {
    let choice = |(value, label): (&str, &str)| Choice {
        label: label.to_owned(),
        query: match value {
            "parked" => pairs.without(&["state"]).query(),
            value => pairs.with("state", value).query(),
        },
        count: None,
        chosen: value == chosen,
    };
    let all =
        [("parked", "Open"), ("resolved", "Resolved"), ("discarded", "Discarded"), ("any", "All")];
    all.map(choice).into()
}

fn filters(pairs: &Pairs) -> Vec<(String, String)> {
    let known = ["service", "reason", "order"];
    let filters = known.into_iter().filter_map(|name| {
        let value = pairs.get(name)?;
        Some((format!("{name}: {value}"), pairs.without(&[name]).query()))
    });
    filters.collect()
}

fn event_type(parked: &Parked) -> String {
    parked.event.event_type.clone().unwrap_or_else(|| "not an event".to_owned())
}

fn row(parked: &Parked, now: Timestamp) -> Row {
    let state = match parked.state {
        ParkedState::Parked if parked.next_at.is_some() => {
            Badge { tone: Tone::Waiting, word: "Retried automatically" }
        }
        ParkedState::Parked => Badge { tone: Tone::Bad, word: "Waits for an operator" },
        ParkedState::Resolved => Badge { tone: Tone::Good, word: "Resolved" },
        ParkedState::Discarded => Badge { tone: Tone::Plain, word: "Discarded" },
    };
    Row {
        id: parked.id,
        state,
        service: parked.owner.clone(),
        event_type: event_type(parked),
        order: parked.event.key.map(|order| order.to_string()),
        reason: parked.event.reason.clone(),
        attempts: parked.attempts,
        parked: Clock(parked.parked_at, now),
        next: parked.next_at.map(|at| Clock(at, now)),
        behind: parked.behind,
    }
}

/// Open events by service, type and reason, most first.
fn groups(parked: &[Parked]) -> Vec<CauseGroup> {
    let mut groups: Vec<CauseGroup> = Vec::new();
    for one in parked {
        let (event_type, reason) = (event_type(one), &one.event.reason);
        let same = |group: &&mut CauseGroup| {
            (&group.service, &group.event_type, &group.reason) == (&one.owner, &event_type, reason)
        };
        if let Some(group) = groups.iter_mut().find(same) {
            group.count.0 += 1;
            group.first.0 = group.first.0.min(one.parked_at);
            group.last.0 = group.last.0.max(one.parked_at);
            continue;
        }
        let pairs = Pairs::default().with("service", &one.owner).with("reason", reason);
        groups.push(CauseGroup {
            service: one.owner.clone(),
            event_type,
            reason: reason.clone(),
            count: Count(1),
            first: Moment(one.parked_at),
            last: Moment(one.parked_at),
            query: pairs.query(),
        });
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.count.0));
    groups
}

/// The place where `value` stops being JSON, with what is around it.
fn marked(value: &Raw) -> Option<(String, String, String)> {
    let text = &value.value;
    let error = serde_json::from_str::<IgnoredAny>(text).err().filter(|_| value.is_text())?;
    let before: usize = text.split_inclusive('\n').take(error.line() - 1).map(str::len).sum();
    let at = text.floor_char_boundary((before + error.column().saturating_sub(1)).min(text.len()));
    let start = text.floor_char_boundary(at.saturating_sub(AROUND));
    let next = text.get(at..)?.chars().next();
    let end = at + next.map_or(0, char::len_utf8);
    let stop = text.floor_char_boundary((end + AROUND).min(text.len()));
    let mark = next.map_or_else(|| "(it ends here)".to_owned(), String::from);
    Some((text.get(start..at)?.to_owned(), mark, text.get(end..stop)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn the_place_where_reading_stopped_is_marked() {
        let at = |text: &'static str| {
            marked(&Raw::from(&Bytes::from_static(text.as_bytes()))).map(|(_, at, _)| at)
        };
        assert_eq!(at(r#"{"a":1}"#), None);
        assert_eq!(at("{not json").as_deref(), Some("n"));
        assert_eq!(at("{\"a\":\nü}").as_deref(), Some("ü"));
        assert_eq!(at("{\"a\":1").as_deref(), Some("1"), "the last that was read");
        assert_eq!(at("").as_deref(), Some("(it ends here)"));
    }
}
