//! The index page: generations, a rebuild and a comparison with their progress.

use super::{Page, frame};
use crate::http::App;
use crate::http::index::problem;
use crate::http::verify::State as Verify;
use axum::extract::State;
use axum::response::Redirect;
use ofs_console::frame::{Copyable, Depth, Here};
use ofs_console::index::{Comparison, Differences, IndexPage, Progress, Refused};
use ofs_console::words::{Age, Count, Moment};
use ofs_events::Timestamp;
use ofs_runtime::access::Caller;
use ofs_runtime::problem::Problem;
use ofs_runtime::rebuild::{RebuildState, Verified};

/// Refused documents that are shown.
const SHOWN: usize = 50;

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
) -> Result<Page<IndexPage>, Problem> {
    let (state, refused) = tokio::join!(app.rebuild.state(), app.rebuild.refused(None, SHOWN));
    let (state, refused) = (state.map_err(problem)?, refused.map_err(problem)?);
    let frame = frame(&app, caller.scopes(), Here::Index, Depth::Page);
    let comparison = comparison(app.verify.state(), state.documents, frame.at);
    let building = state.building.as_ref().map(|target| building(&target.0, &state, frame.at));
    let refused = refused.into_iter().map(|one| Refused {
        order: one.key.to_string(),
        reason: one.reason,
        since: Moment(one.since),
    });
    Ok(Page(IndexPage {
        generations: generations(&state),
        documents: Count(state.documents),
        owed: Count(state.owed),
        refused_count: Count(state.refused),
        busy: building.is_some() || matches!(comparison, Comparison::Running(_)),
        building,
        comparison,
        refused: refused.collect(),
        copy: vec![
            Copyable::ofs("index status"),
            Copyable::ofs("index verify"),
            Copyable::curl(&app.about.url, "/index"),
        ],
        frame,
    }))
}

fn generations(state: &RebuildState) -> Vec<(String, &'static str)> {
    let what = |target| match target {
        target if state.active.as_ref() == Some(target) => "searches read it",
        target if state.building.as_ref() == Some(target) => "being built",
        _ => "to be removed",
    };
    state.targets.iter().map(|target| (target.0.clone(), what(target))).collect()
}

/// A generation's name ends in the moment when it was begun.
fn building(name: &str, state: &RebuildState, now: Timestamp) -> Progress {
    let begun = name.rsplit('-').next().and_then(|micros| micros.parse().ok());
    let begun = begun.map_or(now, Timestamp::from_micros);
    let whole = state.documents.max(state.owed);
    progress(whole - state.owed, whole, now.seconds_since(begun))
}

#[expect(clippy::cast_precision_loss, reason = "for people; counts stay below 2^53")]
fn progress(done: u64, of: u64, seconds: f64) -> Progress {
    let left = (done > 0 && of > done).then(|| Age(seconds / done as f64 * (of - done) as f64));
    Progress { what: "orders", done: Count(done), of: Count(of), took: Age(seconds), left }
}

fn comparison(state: Verify, documents: u64, now: Timestamp) -> Comparison {
    match state {
        Verify::Never => Comparison::None,
        Verify::Running { since, checked } => {
            let seconds = now.seconds_since(since);
            Comparison::Running(progress(checked, documents.max(checked), seconds))
        }
        Verify::Failed(reason) => Comparison::Failed(reason),
        Verify::Done { at, verified } => Comparison::Done(differences(at, &verified)),
    }
}

fn differences(at: Timestamp, verified: &Verified) -> Differences {
    let missing = verified.missing.iter().map(|id| (id.to_string(), "not in the index".to_owned()));
    let extra = verified.extra.iter().map(|id| (id.to_string(), "only in the index".to_owned()));
    let different = verified.different.iter().map(|one| {
        let members = one.members.join(", ");
        (one.id.to_string(), format!("the index says something else: {members}"))
    });
    Differences {
        at: Moment(at),
        checked: Count(verified.checked),
        differences: Count(verified.differences),
        orders: missing.chain(extra).chain(different).collect(),
    }
}

pub(super) async fn rebuild(State(app): State<App>, caller: Caller) -> Result<Redirect, Problem> {
    crate::http::index::start(&app, &caller).await?;
    Ok(Redirect::to("../index"))
}

pub(super) async fn verify(State(app): State<App>) -> Redirect {
    app.verify.start(&app.rebuild);
    Redirect::to("../index")
}

pub(super) async fn retry_refused(
    State(app): State<App>,
    caller: Caller,
) -> Result<Redirect, Problem> {
    crate::http::refused::push_again(&app, &caller).await?;
    Ok(Redirect::to("../../index"))
}
