//! Failure: why a command did not do it, as exit code, words for people, and problem for programs.

use serde_json::{Value, json};
use std::fmt;

/// Exit codes of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It failed.
    Failed = 1,
    /// It was used incorrectly, or the configuration is wrong.
    Usage = 2,
    /// What was named does not exist.
    NotFound = 3,
    /// It conflicts with the current state.
    Conflict = 4,
    /// The server, or something it needs, cannot be reached.
    Unreachable = 5,
    /// It took too long.
    Timeout = 6,
    /// The watched order ended in failure.
    OrderFailed = 10,
}

impl Exit {
    const fn slug(self) -> &'static str {
        match self {
            Exit::Failed => "failed",
            Exit::Usage => "usage",
            Exit::NotFound => "not-found",
            Exit::Conflict => "conflict",
            Exit::Unreachable => "unreachable",
            Exit::Timeout => "timeout",
            Exit::OrderFailed => "order-failed",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Exit::Failed => "It failed",
            Exit::Usage => "It was used incorrectly",
            Exit::NotFound => "What was named does not exist",
            Exit::Conflict => "It conflicts with the current state",
            Exit::Unreachable => "It cannot be reached",
            Exit::Timeout => "It took too long",
            Exit::OrderFailed => "The order ended in failure",
        }
    }

    const fn of_status(status: u16) -> Self {
        match status {
            400 | 405 | 411 | 413 | 415 => Exit::Usage,
            404 => Exit::NotFound,
            409 | 412 | 422 => Exit::Conflict,
            408 | 504 => Exit::Timeout,
            502 | 503 => Exit::Unreachable,
            _ => Exit::Failed,
        }
    }
}

/// Why a command failed. Any command may return it inside `anyhow::Error` to choose its exit code.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// An RFC 9457 problem: the server's own, or one made here (`urn:ofs:cli:…`).
    pub problem: Value,
}

impl Failure {
    /// A failure found on this side; `detail` says what happened and what to do.
    #[must_use]
    pub fn new(exit: Exit, detail: impl Into<String>) -> Self {
        let problem = json!({
            "type": format!("urn:ofs:cli:{}", exit.slug()),
            "title": exit.title(),
            "detail": detail.into(),
        });
        Self { exit, problem }
    }

    /// What the server answered with `status`: its problem, or what there is instead of one.
    #[must_use]
    pub fn answered(status: u16, body: &str) -> Self {
        let exit = Exit::of_status(status);
        match serde_json::from_str::<Value>(body) {
            Ok(problem) if problem.get("title").is_some() => Self { exit, problem },
            _ => {
                let start: String = body.trim().chars().take(200).collect();
                let mut failure =
                    Self::new(exit, format!("the server answered with status {status}: {start}"));
                failure.problem["status"] = status.into();
                failure
            }
        }
    }

    /// Any error of a command: a [`Failure`] somewhere in its chain, else exit code 1.
    #[must_use]
    pub fn of(error: anyhow::Error) -> Self {
        match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => match error.downcast::<crate::config::Error>() {
                Ok(wrong) => Self::new(Exit::Usage, wrong.to_string()),
                Err(error) => Self::new(Exit::Failed, format!("{error:#}")),
            },
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |name: &str| self.problem.get(name).and_then(Value::as_str);
        match (part("title"), part("detail")) {
            (_, Some(detail)) => f.write_str(detail)?,
            (Some(title), None) => f.write_str(title)?,
            (None, None) => f.write_str("it failed")?,
        }
        let errors = self.problem.get("errors").and_then(Value::as_array);
        // The detail names the first already.
        for error in errors.into_iter().flatten().skip(1) {
            let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
            write!(f, "\n  {} {}", part("pointer"), part("detail"))?;
        }
        match part("requestId") {
            Some(id) => write!(f, "\n  request id {id}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_its_exit_code_under_any_context() {
        let error = anyhow::Error::from(Failure::new(Exit::Unreachable, "no store"));
        assert_eq!(Failure::of(error.context("start")).exit, Exit::Unreachable);
        assert_eq!(Failure::of(anyhow::anyhow!("else")).exit, Exit::Failed);
    }

    #[test]
    fn the_exit_code_follows_from_the_status() {
        for (status, exit) in [(404, 3), (409, 4), (422, 4), (503, 5), (504, 6), (400, 2), (500, 1)]
        {
            assert_eq!(Failure::answered(status, "").exit as u8, exit);
        }
    }
}
