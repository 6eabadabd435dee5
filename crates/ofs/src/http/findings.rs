//! What is to be said about the pipeline: each finding a sentence, with the likely cause and the command
//! that helps. A function of what was seen.

use super::App;
use super::obstacles::start;
use crate::about::About;
use ofs_console::words::{Tone, age, counted, time};
use ofs_events::Timestamp;
use ofs_runtime::pipeline::{PipelineView, ServiceView, Stuck, Waiting};
use std::collections::BTreeMap;

/// What waits less than this is on its way, in seconds.
const PATIENCE: f64 = 2.0;
/// What waits longer than this needs attention.
const LATE: f64 = 60.0;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    /// The part of the pipeline it is about: a service, `outbox`, `index`, `store` or `log`.
    pub(super) part: &'static str,
    /// How bad it is.
    pub(super) tone: Tone,
    /// What is to be seen.
    pub(super) what: String,
    /// Why, most likely.
    pub(super) cause: String,
    /// What helps.
    pub(super) command: Option<String>,
}

impl Finding {
    /// The page that shows more, from the pages of the console, and what to call it.
    pub(super) fn page(&self) -> Option<(&'static str, String)> {
        match (self.part, self.command.as_deref()) {
            ("index", _) => Some(("The search index", "index".to_owned())),
            (service, Some(command)) if command.starts_with("ofs parked") => {
                Some(("Look at them", format!("parked?service={service}")))
            }
            _ => None,
        }
    }
}

/// Everything there is to say in this process, worst first.
pub(super) fn findings(app: &App, view: &PipelineView) -> Vec<Finding> {
    let mut all = troubles(&app.troubles.all());
    all.extend(seen(&app.about, view));
    all.sort_by_key(|finding| finding.tone != Tone::Bad);
    all
}

fn seen(about: &About, view: &PipelineView) -> Vec<Finding> {
    let mut all = unreachable(view);
    for service in &view.services {
        all.extend(behind(about, service));
        all.extend(unsent(service));
        all.extend(unindexed(service));
        all.extend(refused(service));
        all.extend(parked(service));
        all.extend(stuck(service, view.at));
    }
    all
}

fn troubles(troubles: &BTreeMap<String, String>) -> Vec<Finding> {
    let finding = |(what, reason): (&String, &String)| Finding {
        part: "process",
        tone: Tone::Bad,
        what: format!("{what} does not work in this process."),
        cause: reason.clone(),
        command: Some("ofs health".to_owned()),
    };
    troubles.iter().map(finding).collect()
}

fn unreachable(view: &PipelineView) -> Vec<Finding> {
    let mut found = Vec::new();
    let store = view.services.iter().find_map(|service| service.outbox.unreachable_since);
    if let Some(since) = store {
        found.push(Finding {
            part: "store",
            tone: Tone::Bad,
            what: format!("The store has not answered since {}.", time(since)),
            cause: "New orders are refused with 503 meanwhile, and no accepted order is lost. \
                    Everything resumes automatically when it is back."
                .to_owned(),
            command: Some("ofs health".to_owned()),
        });
    }
    let topics = view.services.iter().flat_map(|service| &service.topics);
    if let Some(since) = topics.filter_map(|topic| topic.unreachable_since).min() {
        found.push(Finding {
            part: "log",
            tone: Tone::Bad,
            what: format!("The log has not answered since {}.", time(since)),
            cause: "Orders are still accepted and wait in the outbox; how far services are behind \
                    is not known. Everything catches up automatically when it is back."
                .to_owned(),
            command: Some("ofs health".to_owned()),
        });
    }
    found
}

fn behind(about: &About, service: &ServiceView) -> Vec<Finding> {
    let name = service.service;
    let mut found = Vec::new();
    for topic in &service.topics {
        if !topic.leaderless.is_empty() {
            let partitions: Vec<_> = topic.leaderless.iter().map(u32::to_string).collect();
            let (topic, partitions) = (topic.topic, partitions.join(", "));
            found.push(Finding {
                part: name,
                tone: Tone::Bad,
                what: format!("No broker leads {topic}, partition {partitions}."),
                cause: "Their broker is gone and no other has a copy. Bring it back; what waits \
                        is then sent and read automatically."
                    .to_owned(),
                command: None,
            });
        }
        let (Some(events), Some(seconds)) = (topic.lag_events, topic.lag_seconds) else { continue };
        if events == 0 || seconds < PATIENCE {
            continue;
        }
        let waiting = counted(events, "event", "events");
        let runs_here = about.services.contains(&name);
        let reads_here = topic.assigned.as_ref().is_some_and(|assigned| !assigned.is_empty());
        let (cause, command) = if reads_here {
            (
                "It reads them, but not as fast as they arrive: add processes, or look at its log lines.",
                None,
            )
        } else if runs_here {
            (
                "It runs in this process and reads none of them: look at its log lines, or another \
              process of the service reads them.",
                Some("ofs health".to_owned()),
            )
        } else {
            (
                "It does not run in this process, and may not be running anywhere.",
                Some(start(about, name)),
            )
        };
        found.push(Finding {
            part: name,
            tone: tone(seconds),
            what: format!(
                "{name} is behind: it has {waiting} of {} to read, the oldest for {}.",
                topic.topic,
                age(seconds)
            ),
            cause: cause.to_owned(),
            command,
        });
    }
    found
}

fn tone(seconds: f64) -> Tone {
    if seconds > LATE { Tone::Bad } else { Tone::Warning }
}

/// How many wait and for how long, if that is too long.
fn late(waiting: &Waiting) -> Option<(u64, f64)> {
    let (rows, seconds) = (waiting.rows?, waiting.age_seconds?);
    (rows > 0 && seconds >= PATIENCE).then_some((rows, seconds))
}

fn unsent(service: &ServiceView) -> Option<Finding> {
    let (rows, seconds) = late(&service.outbox)?;
    let events = counted(rows, "event", "events");
    let name = service.service;
    Some(Finding {
        part: "outbox",
        tone: tone(seconds),
        what: format!(
            "{events} of {name} are not in the log yet, the oldest for {}.",
            age(seconds)
        ),
        cause: format!("The log accepts nothing at present, or no process runs {name}."),
        command: Some("ofs health".to_owned()),
    })
}

fn unindexed(service: &ServiceView) -> Option<Finding> {
    let (rows, seconds) = late(&service.index)?;
    let orders = counted(rows, "order", "orders");
    Some(Finding {
        part: "index",
        tone: tone(seconds),
        what: format!(
            "{orders} changed and are not updated in the search index yet, the oldest for {}.",
            age(seconds)
        ),
        cause: format!(
            "The index is being rebuilt or cannot be reached, or no process runs {}.",
            service.service
        ),
        command: Some("ofs index status".to_owned()),
    })
}

fn refused(service: &ServiceView) -> Option<Finding> {
    let rows = service.refused.rows.filter(|rows| *rows > 0)?;
    Some(Finding {
        part: "index",
        tone: Tone::Warning,
        what: format!("The search index refuses {}.", counted(rows, "order", "orders")),
        cause: "They are set aside with the reason, until they change or are pushed again."
            .to_owned(),
        command: Some("ofs index refused".to_owned()),
    })
}

fn parked(service: &ServiceView) -> Option<Finding> {
    let rows = service.parked.rows.filter(|rows| *rows > 0)?;
    let seconds = service.parked.age_seconds.unwrap_or_default();
    let (name, events) = (service.service, counted(rows, "event", "events"));
    Some(Finding {
        part: name,
        tone: tone(seconds),
        what: format!("{name} could not handle {events}, the oldest parked for {}.", age(seconds)),
        cause: "Some are retried automatically, others wait for an operator; later events of the \
                same orders wait behind them."
            .to_owned(),
        command: Some(format!("ofs parked list --service {name} --state parked")),
    })
}

fn stuck(service: &ServiceView, now: Timestamp) -> Vec<Finding> {
    let finding = |stuck: &Stuck| Finding {
        part: service.service,
        tone: tone(now.seconds_since(stuck.oldest)),
        what: format!(
            "{} missed the deadline `{}`, the first {} ago.",
            counted(stuck.rows, "order", "orders"),
            stuck.deadline,
            age(now.seconds_since(stuck.oldest)),
        ),
        cause: "What they wait for has not happened; the first of them says what is in its way."
            .to_owned(),
        command: Some(format!("ofs order explain {}", stuck.example)),
    };
    service.stuck.iter().flatten().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ofs_events::{Key, Topic};
    use ofs_runtime::pipeline::TopicView;

    fn waiting(rows: Option<u64>, seconds: f64) -> Waiting {
        let unreachable_since = rows.is_none().then(|| Timestamp::from_micros(0));
        Waiting { rows, oldest: None, age_seconds: rows.map(|_| seconds), unreachable_since }
    }

    fn view(lag: Option<u64>, seconds: f64) -> PipelineView {
        let topic = TopicView {
            topic: Topic::Orders,
            partitions: Some(1),
            assigned: Some(Vec::new()),
            leaderless: Vec::new(),
            lag_events: lag,
            lag_seconds: lag.map(|_| seconds),
            oldest: None,
            unreachable_since: lag.is_none().then(|| Timestamp::from_micros(0)),
        };
        let none = || waiting(Some(0), 0.0);
        let service = ServiceView {
            service: "payment-worker",
            topics: vec![topic],
            outbox: none(),
            index: none(),
            refused: none(),
            parked: none(),
            stuck: Some(Vec::new()),
        };
        PipelineView { at: Timestamp::from_micros(0), services: vec![service] }
    }

    #[test]
    fn orders_that_missed_a_deadline_are_told_with_the_first_of_them() {
        let mut late = view(Some(0), 0.0);
        let example = Key(uuid::Uuid::from_u128(7));
        let (deadline, oldest) = ("payment".to_owned(), Timestamp::from_micros(-126_000_000));
        let stuck = Stuck { deadline, rows: 2, oldest, example, reasons: Vec::new() };
        late.services[0].stuck = Some(vec![stuck]);
        let found = seen(&About::default(), &late);
        assert_eq!((found.len(), found[0].tone), (1, Tone::Bad));
        assert!(found[0].what.starts_with("2 orders missed the deadline `payment`"), "{found:?}");
        assert_eq!(found[0].command, Some(format!("ofs order explain {example}")));
    }

    #[test]
    fn what_waits_too_long_is_told_with_the_command_that_helps() {
        let findings = |view: &PipelineView| seen(&About::default(), view);
        assert_eq!(findings(&view(Some(0), 0.0)), []);
        assert_eq!(findings(&view(Some(3), 0.5)), [], "it is on its way");
        let found = findings(&view(Some(3), 126.0));
        assert_eq!((found.len(), found[0].tone, found[0].part), (1, Tone::Bad, "payment-worker"));
        assert!(found[0].what.contains("3 events of orders.events.v1"), "{}", found[0].what);
        assert_eq!(found[0].command.as_deref(), Some("ofs run --service payment-worker"));
        let found = findings(&view(None, 0.0));
        assert_eq!((found.len(), found[0].part), (1, "log"));
        let mut down = view(Some(0), 0.0);
        down.services[0].outbox = waiting(None, 0.0);
        assert_eq!(findings(&down)[0].part, "store");
        down.services[0].outbox = waiting(Some(7), 9.0);
        assert_eq!(findings(&down)[0].part, "outbox");
    }
}
