//! The pipeline page: every stage from the API to the index, who reads what, and what is to be done.

use super::{Page, frame};
use crate::history::Sample;
use crate::http::App;
use crate::http::findings::{Finding, findings};
use crate::http::times::{Percentiles, TimesView, times};
use axum::extract::State;
use ofs_console::frame::{Copyable, Depth, Here};
use ofs_console::pipeline::{Bar, PipelinePage, Reader, Stage, Stay, Told, Took};
use ofs_console::words::{Age, Badge, Count, Moment, Spark, Tone, age, count, rate};
use ofs_events::Topic;
use ofs_runtime::access::Caller;
use ofs_runtime::pipeline::{PipelineView, ServiceView, TopicView, Waiting};

pub(super) async fn show(State(app): State<App>, caller: Caller) -> Page<PipelinePage> {
    let frame = frame(&app, caller.scopes(), Here::Pipeline, Depth::Page);
    let (view, fresh, times) =
        tokio::join!(app.pipeline.sample(), app.pipeline.freshness(), times(&app));
    let found = findings(&app, &view);
    let behind = fresh.map(|fresh| Age(fresh.lag_seconds));
    Page(PipelinePage {
        stages: stages(&app, &view, &found, behind),
        took: times.map(|times| took(&times)).map_err(|problem| problem.detail),
        readers: readers(&app, &view),
        findings: found.into_iter().map(told).collect(),
        copy: vec![
            Copyable::ofs("pipeline"),
            Copyable::curl(&app.about.url, "/pipeline"),
            Copyable::curl(&app.about.url, "/pipeline/times"),
        ],
        frame,
    })
}

fn told(finding: Finding) -> Told {
    let page = finding.page();
    let Finding { tone, what, cause, command, .. } = finding;
    Told { tone, what, cause, command, page }
}

fn took(times: &TimesView) -> Took {
    let ages = |all: Percentiles| [Age(all.p50), Age(all.p95), Age(all.p99)];
    let states = times.states.iter().map(|state| Stay {
        what: Badge::of(state.status).word,
        orders: Count(state.orders as u64),
        percentiles: state.seconds.map(ages),
    });
    let orders = Count(times.orders as u64);
    let percentiles = times.whole.map(ages);
    let whole = Stay { what: "From accepted to final", orders, percentiles };
    let most = times.histogram.iter().map(|bar| bar.orders).max().unwrap_or_default().max(1);
    let mut over = 0.0;
    let bars = times.histogram.iter().map(|bar| {
        let label = match bar.up_to {
            Some(end) => format!("up to {}", age(end)),
            None => format!("over {}", age(over)),
        };
        over = bar.up_to.unwrap_or(over);
        let height = (bar.orders * 100 / most) as u64;
        Bar { label, orders: Count(bar.orders as u64), height }
    });
    Took {
        orders,
        ended: times.from.map(Moment).zip(times.to.map(Moment)),
        bars: bars.collect(),
        stays: states.chain([whole]).collect(),
    }
}

fn stages(app: &App, view: &PipelineView, found: &[Finding], behind: Option<Age>) -> Vec<Stage> {
    let mut stages = vec![api(app, found), outbox(app, view, found)];
    let stage = |service: &ServiceView| match service.service {
        order_service::NAME => None,
        search_indexer_worker::NAME => Some(index(app, service, found, behind)),
        _ => Some(worker(app, service, found)),
    };
    stages.extend(view.services.iter().filter_map(stage));
    stages
}

/// `payment-worker` is called Payment.
fn title(service: &str) -> String {
    let stem = service.trim_end_matches("-worker").replace('-', " ");
    let (first, rest) = stem.split_at(stem.len().min(1));
    first.to_uppercase() + rest
}

/// How bad the worst finding about one of `parts` is.
fn tone(found: &[Finding], parts: &[&str]) -> Tone {
    let tones = found.iter().filter(|finding| parts.contains(&finding.part));
    let tones: Vec<Tone> = tones.map(|finding| finding.tone).collect();
    match () {
        () if tones.contains(&Tone::Bad) => Tone::Bad,
        () if tones.contains(&Tone::Warning) => Tone::Warning,
        () => Tone::Good,
    }
}

fn api(app: &App, found: &[Finding]) -> Stage {
    let orders = |sample: &Sample| sample.end(&[Topic::Orders]);
    Stage {
        title: "API".to_owned(),
        tone: tone(found, &["store"]),
        rate: app.history.rate(orders).map(rate),
        unit: "orders/s",
        lines: vec![("last hour", app.history.grown(orders).map_or_else(unknown, count))],
        spark: Spark(app.history.rates(orders)),
    }
}

fn outbox(app: &App, view: &PipelineView, found: &[Finding]) -> Stage {
    let sent = |sample: &Sample| sample.end(&Topic::ALL);
    let rows = view.services.iter().map(|service| service.outbox.rows).sum::<Option<u64>>();
    let ages = view.services.iter().filter_map(|service| service.outbox.age_seconds);
    Stage {
        title: "Outbox".to_owned(),
        tone: tone(found, &["store", "log", "outbox"]),
        rate: app.history.rate(sent).map(rate),
        unit: "events/s",
        lines: vec![
            ("to be sent", known(rows)),
            ("oldest", rows.map_or_else(unknown, |_| oldest(ages.fold(0.0, f64::max)))),
        ],
        spark: Spark(app.history.rates(sent)),
    }
}

fn worker(app: &App, service: &ServiceView, found: &[Finding]) -> Stage {
    let name = service.service;
    let read = |sample: &Sample| sample.read(name);
    let lag = service.topics.iter().map(|topic| topic.lag_events).sum::<Option<u64>>();
    Stage {
        title: title(name),
        tone: tone(found, &["store", "log", name]),
        rate: app.history.rate(read).map(rate),
        unit: "events/s",
        lines: vec![
            ("to be read", known(lag)),
            ("oldest", seconds(service).map_or_else(unknown, oldest)),
            ("parked", known(service.parked.rows)),
        ],
        spark: Spark(app.history.rates(read)),
    }
}

fn index(app: &App, service: &ServiceView, found: &[Finding], behind: Option<Age>) -> Stage {
    let mut stage = worker(app, service, found);
    stage.title = "Index".to_owned();
    stage.tone = tone(found, &["store", "log", "index", service.service]);
    let owed = ("to be indexed", known(service.index.rows));
    let behind = behind.map_or_else(unknown, |behind| oldest(behind.0));
    stage.lines = vec![stage.lines.swap_remove(0), owed, ("behind", behind)];
    stage
}

/// Seconds that the oldest event a service has still to read has waited.
fn seconds(service: &ServiceView) -> Option<f64> {
    let all = service.topics.iter().map(|topic| topic.lag_seconds);
    all.reduce(|one, other| Some(one?.max(other?))).flatten()
}

fn known(rows: Option<u64>) -> String {
    rows.map_or_else(unknown, count)
}

fn oldest(seconds: f64) -> String {
    if seconds > 0.0 { age(seconds) } else { "–".to_owned() }
}

fn unknown() -> String {
    "not known".to_owned()
}

fn readers(app: &App, view: &PipelineView) -> Vec<Reader> {
    let of_service = |service: &ServiceView| {
        let runs = app.about.services.contains(&service.service);
        let name = service.service;
        let topics = service.topics.iter();
        topics.map(move |topic| reader(name, runs, topic)).collect::<Vec<_>>()
    };
    view.services.iter().flat_map(of_service).collect()
}

fn reader(service: &'static str, runs: bool, topic: &TopicView) -> Reader {
    let assigned = topic.assigned.as_ref().map(|assigned| {
        let assigned: Vec<_> = assigned.iter().map(u32::to_string).collect();
        assigned.join(", ")
    });
    let here = match assigned {
        Some(assigned) if !assigned.is_empty() => assigned,
        _ if !runs => "runs elsewhere, or nowhere".to_owned(),
        Some(_) => "none".to_owned(),
        None => unknown(),
    };
    Reader {
        service,
        topic: topic.topic.name(),
        partitions: topic.partitions.map_or_else(unknown, count),
        here,
        lag: topic.lag_events.map(Count),
        oldest: topic.oldest.map(Moment),
        waited: topic.lag_seconds.filter(|seconds| *seconds > 0.0).map(Age),
        unreachable: topic.unreachable_since.map(Moment),
    }
}

/// The number of findings that need attention, as last seen.
pub(super) fn last_seen(app: &App) -> (Option<Count>, usize) {
    let Some(view) = app.history.latest() else { return (None, 0) };
    let rows = |waiting: &Waiting| waiting.rows.unwrap_or_default();
    let parked = view.services.iter().map(|service| rows(&service.parked)).sum::<u64>();
    (Some(Count(parked)).filter(|parked| parked.0 > 0), findings(app, &view).len())
}
