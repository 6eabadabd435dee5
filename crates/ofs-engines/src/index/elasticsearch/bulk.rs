//! Puts: documents in bulk requests of a bounded size, and what became of each of them.
//!
//! Tries nothing twice: what did not go through is answered `Later`, and comes again from above.

use super::client::{Cause, Client, Failure};
use ofs_runtime::index::{Error, Put};
use serde::Deserialize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of one request, unless a single document is larger.
const BYTES: usize = 5_000_000;
/// Documents of one request, while the server keeps up.
const MOST: usize = 1_000;
/// The same when it does not.
const LEAST: usize = 16;
/// No document has this id, see [`make_durable`].
const NOBODY: &[u8] = b"{\"delete\":{\"_id\":\"-\"}}\n";

/// How many documents the server is sent at once: half as many whenever it is overloaded, a tenth more
/// whenever it is not. All puts share it.
pub(super) struct Pace(AtomicUsize);

impl Default for Pace {
    fn default() -> Self {
        Self(AtomicUsize::new(MOST))
    }
}

impl Pace {
    fn documents(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    // Simultaneous changes may overwrite each other: the next answer corrects that.
    fn slower(&self) {
        self.0.store((self.documents() / 2).max(LEAST), Ordering::Relaxed);
    }

    fn faster(&self) {
        self.0.store((self.documents() + self.documents() / 10 + 1).min(MOST), Ordering::Relaxed);
    }
}

/// Puts documents into the generation with the alias `writing`: each the lines of its request, or why it
/// is refused.
///
/// # Errors
/// [`Error::Missing`] if it is not there, [`Error::Unavailable`] if nothing can be said of any document.
pub(super) async fn put(
    client: &Client,
    pace: &Pace,
    writing: &str,
    lines: Vec<Result<Vec<u8>, String>>,
) -> Result<Vec<Put>, Error> {
    let sendable: Vec<&[u8]> = lines.iter().flatten().map(Vec::as_slice).collect();
    let mut sent = send_all(client, pace, writing, &sendable).await?.into_iter();
    let missed = || Put::Later("the server said nothing of it".to_owned());
    let put = |line: Result<Vec<u8>, String>| match line {
        Err(reason) => Put::Refused(reason),
        Ok(_) => sent.next().unwrap_or_else(missed),
    };
    Ok(lines.into_iter().map(put).collect())
}

/// One answer for each of `lines`, which are sent in as many requests as it takes.
async fn send_all(
    client: &Client,
    pace: &Pace,
    writing: &str,
    lines: &[&[u8]],
) -> Result<Vec<Put>, Error> {
    let mut puts = Vec::with_capacity(lines.len());
    let mut most = usize::MAX;
    while let Some(rest) = lines.get(puts.len()..).filter(|rest| !rest.is_empty()) {
        let size = fitting(rest, pace.documents().min(most));
        let reason = match send(client, writing, rest.get(..size).unwrap_or(rest)).await {
            Ok(answers) => {
                let reason = answers.iter().find_map(|put| match put {
                    Put::Later(reason) => Some(reason.clone()),
                    Put::Stored | Put::Newer | Put::Refused(_) => None,
                });
                puts.extend(answers);
                if reason.is_some() {
                    pace.slower()
                } else {
                    pace.faster()
                }
                reason
            }
            Err(failure) if failure.is_too_large() => {
                if size == 1 {
                    puts.push(Put::Refused(failure.text()));
                }
                most = (size / 2).max(1);
                continue;
            }
            Err(failure) => {
                if failure.is_overload() {
                    pace.slower();
                }
                if puts.is_empty() || failure.is_missing() {
                    return Err(failure.into());
                }
                Some(failure.text())
            }
        };
        // More of it now would only make things worse.
        if let Some(reason) = reason {
            puts.resize_with(lines.len(), || Put::Later(reason.clone()));
        }
    }
    Ok(puts)
}

/// How many of `lines` one request holds: at least one, at most `most`.
fn fitting(lines: &[&[u8]], most: usize) -> usize {
    let mut bytes = 0;
    let fit = lines.iter().take_while(|line| {
        bytes += line.len();
        bytes <= BYTES
    });
    fit.take(most).count().max(1)
}

#[derive(Deserialize)]
struct Answer {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(alias = "delete")]
    index: Outcome,
}

#[derive(Deserialize)]
struct Outcome {
    status: u16,
    error: Option<Cause>,
}

async fn send(client: &Client, writing: &str, lines: &[&[u8]]) -> Result<Vec<Put>, Failure> {
    let outcomes = bulk(client, writing, lines).await?;
    let mut puts: Vec<Put> = outcomes.into_iter().map(put_of).collect();
    if puts.contains(&Put::Newer)
        && let Err(failure) = make_durable(client, writing).await
    {
        let reason = failure.text();
        for put in puts.iter_mut().filter(|put| **put == Put::Newer) {
            *put = Put::Later(reason.clone());
        }
    }
    Ok(puts)
}

/// A document that lost to a newer version proves that the server knows that version, not that it
/// is on its disk or that searches see it: another request may just have brought it. What makes sure
/// of both is any later write; the smallest is to delete what was never there.
async fn make_durable(client: &Client, writing: &str) -> Result<(), Failure> {
    match bulk(client, writing, &[NOBODY]).await?.into_iter().next() {
        Some(Outcome { error: None, .. }) => Ok(()),
        Some(Outcome { error: Some(cause), .. }) => Err(Failure::of(&cause)),
        None => Err(Failure::unreadable("the server said nothing of a deletion".to_owned())),
    }
}

/// What became of each of `lines`. Returns once they are durable and searches see them.
async fn bulk(client: &Client, writing: &str, lines: &[&[u8]]) -> Result<Vec<Outcome>, Failure> {
    let path = format!(
        "{writing}/_bulk?require_alias=true&refresh=wait_for\
         &filter_path=items.*.status,items.*.error.type,items.*.error.reason"
    );
    let answer: Answer = client.bulk(&path, lines.concat()).await?;
    let mut causes = answer.items.iter().filter_map(|item| item.index.error.as_ref());
    if let Some(cause) = causes.find(|cause| cause.is_missing()) {
        return Err(Failure::of(cause));
    }
    if answer.items.len() != lines.len() {
        let (some, all) = (answer.items.len(), lines.len());
        let text = format!("the server answered for {some} of {all} documents");
        return Err(Failure::unreadable(text));
    }
    Ok(answer.items.into_iter().map(|item| item.index).collect())
}

fn put_of(outcome: Outcome) -> Put {
    let cause = outcome.error.as_ref();
    match (outcome.status, cause.map(|cause| cause.kind.as_str())) {
        (200 | 201, None) => Put::Stored,
        (409, Some("version_conflict_engine_exception")) => Put::Newer,
        // Other answers with 400 are not about the document: the index may be closed.
        (400, Some("document_parsing_exception" | "mapper_parsing_exception")) => {
            Put::Refused(cause.map(Cause::text).unwrap_or_default())
        }
        (status, _) => {
            let reason = cause.map(Cause::text).unwrap_or_default();
            Put::Later(format!("{status} {reason}"))
        }
    }
}
