//! Opening the log: reads the URL and makes sure that a broker answers.

use super::KafkaLog;
use super::address::Address;
use super::client::{Cluster, Fault, PATIENCE, reason};
use super::observer::{Observer, View};
use super::producer::Producer;
use crate::{ServerUrl, tls};
use ofs_events::Topic;
use ofs_runtime::log::Error;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A group that nobody joins: the library lets only a client with a group read.
pub(super) const READERS: &str = "ofs-reader";

/// Why the log cannot be opened. Never shows a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL, or something it names, is wrong.
    #[error("cannot read the Kafka URL: {0}")]
    Url(String),
    /// The URL asks for what this build cannot do.
    #[error(
        "cannot open the log on Kafka: this build does not support {0}; build it with `--features kafka-tls`"
    )]
    NeedsTls(&'static str),
    /// No broker answers.
    #[error("cannot reach Kafka at {brokers}: {reason}")]
    Unreachable {
        /// Whom it asked.
        brokers: String,
        /// What happened.
        reason: String,
    },
    /// No secure connection came about.
    #[error(
        "cannot speak TLS with Kafka at {brokers}: {reason}; check the host names in the URL, and name a \
         certificate authority of your own with `?ca=`"
    )]
    Tls {
        /// Whom it asked.
        brokers: String,
        /// What went wrong.
        reason: String,
    },
    /// The cluster does not let us in.
    #[error(
        "cannot log in to Kafka at {brokers} as {user}: {reason}; check the user and the {secret} in the URL"
    )]
    LoginRefused {
        /// Whom it asked.
        brokers: String,
        /// As whom.
        user: String,
        /// What the user shows: a password or a token.
        secret: &'static str,
        /// What it said.
        reason: String,
    },
}

impl OpenError {
    /// Whether the cluster does not let us in, or we do not trust it.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Tls { .. } | Self::LoginRefused { .. })
    }

    /// Whether it may go away by itself: then it is worth trying again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

pub(super) fn open(url: ServerUrl) -> Result<KafkaLog, OpenError> {
    let address = Address::parse(url.at_start()).map_err(OpenError::Url)?;
    if let Some(what) = address.needs_tls().filter(|_| !cfg!(feature = "kafka-tls")) {
        return Err(OpenError::NeedsTls(what));
    }
    let cluster = Arc::new(Cluster::new(address, url));
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
    let address = &view.cluster.address;
    let brokers = address.brokers.clone();
    let (reason, fault) = match (view.trouble(), error) {
        (Some(trouble), _) => (trouble.reason, trouble.fault),
        (None, Error::Unavailable(reason)) => (reason, Fault::Network),
        (None, error) => (error.to_string(), Fault::Network),
    };
    Err(match fault {
        Fault::Network => OpenError::Unreachable { brokers, reason },
        Fault::Tls => OpenError::Tls { brokers, reason: objection(address).unwrap_or(reason) },
        Fault::Login => {
            let user = address.login.as_ref().map(|login| login.user.clone()).unwrap_or_default();
            let secret = if address.has_token() { "token" } else { "password" };
            OpenError::LoginRefused { brokers, user, secret, reason }
        }
    })
}

/// What is wrong with the first certificate that is not to be trusted: the client's library only says
/// that one is not.
fn objection(address: &Address) -> Option<String> {
    let ca = address.ca.as_deref().map(Path::new);
    address.brokers.split(',').find_map(|broker| tls::objection(broker, ca, PATIENCE))
}
