//! Opening the log: reads the URL and makes sure that a broker answers.

use super::KafkaLog;
use super::address::Address;
use super::client::{Cluster, reason};
use super::observer::{Observer, View};
use super::producer::Producer;
use ofs_events::Topic;
use ofs_runtime::log::Error;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// A group that nobody joins: the library lets only a client with a group read.
const READERS: &str = "ofs-reader";

/// Why the log cannot be opened. Never shows a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL, or something it names, is wrong.
    #[error("read the Kafka URL: {0}")]
    Url(String),
    /// The URL asks for what this build cannot do.
    #[error(
        "open the log on Kafka: this build speaks no {0}; build it with `--features kafka-tls`"
    )]
    NeedsTls(&'static str),
    /// No broker answers.
    #[error("reach Kafka at {brokers}: {reason}")]
    Unreachable {
        /// Whom it asked.
        brokers: String,
        /// What happened.
        reason: String,
    },
    /// The cluster does not let us in.
    #[error("log in to Kafka at {brokers}: {reason}")]
    LoginRefused {
        /// Whom it asked.
        brokers: String,
        /// What it said.
        reason: String,
    },
}

impl OpenError {
    /// Whether it may go away by itself: then it is worth trying again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

pub(super) fn open(url: &str) -> Result<KafkaLog, OpenError> {
    let address = Address::parse(url).map_err(OpenError::Url)?;
    if let Some(what) = address.needs_tls().filter(|_| !cfg!(feature = "kafka-tls")) {
        return Err(OpenError::NeedsTls(what));
    }
    let cluster = Arc::new(Cluster::new(address));
    let wrong = |error| OpenError::Url(reason(&error));
    let producer = Producer::new(Arc::clone(&cluster)).map_err(wrong)?;
    let mut view = View::new(Arc::clone(&cluster), READERS).map_err(wrong)?;
    answers(&mut view)?;
    let reader = Observer::around(view, READERS);
    let (observers, members) = (Mutex::new(HashMap::new()), Mutex::default());
    Ok(KafkaLog { cluster, producer, reader, observers, members })
}

fn answers(view: &mut View) -> Result<(), OpenError> {
    let Err(error) = view.partitions(Topic::ALL[0]) else { return Ok(()) };
    let brokers = view.cluster.address.brokers.clone();
    let (reason, refused) = match (view.trouble(), error) {
        (Some(trouble), _) => (trouble.reason, trouble.refused),
        (None, Error::Unavailable(reason)) => (reason, false),
        (None, error) => (error.to_string(), false),
    };
    Err(match refused {
        true => OpenError::LoginRefused { brokers, reason },
        false => OpenError::Unreachable { brokers, reason },
    })
}
