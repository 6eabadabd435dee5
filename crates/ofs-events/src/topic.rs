//! The topics, in one list, and what is said on each: one file per topic, with one enum of its events.
//!
//! A new topic is a file and a row here; a new event is a struct and a row in its topic's file.

mod fulfillment;
mod orders;
mod payments;

pub use fulfillment::*;
pub use orders::*;
pub use payments::*;

use crate::{Fact, Key};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// The events of one topic, as one enum: what a handler subscribes to is what it has to match.
pub trait TopicEvents: Clone + Sized + Send + Sync + 'static {
    /// Where they are published.
    const TOPIC: Topic;
    /// `(event type, version)` of each.
    const KNOWN: &'static [(&'static str, u32)];

    /// The type's name on the wire, version included.
    fn event_type(&self) -> &'static str;

    /// The version on the wire.
    fn version(&self) -> u32;

    /// The thing it happened to.
    fn key(&self) -> Key;

    /// What it says about an order's progress, if it does.
    fn fact(&self) -> Option<Fact>;

    /// None for a type that is not of this topic; an error says what is wrong with `json`.
    fn parse(event_type: &str, json: &str) -> Option<Result<Self, String>>;

    /// A whole event of this type as JSON; none for a type that is not of this topic.
    fn example(event_type: &str) -> Option<&'static str>;

    /// The event in `payload`, if it is one of this topic.
    fn of(payload: &Payload) -> Option<&Self>;
}

/// Declares the enum of a topic's events: which topic, which member of each is its key, and the events
/// with their versions. What each says about an order's progress is a `fn fact` beside it.
macro_rules! events {
    ($(#[$doc:meta])* $events:ident on $topic:ident by $key:ident: $($name:ident = $version:literal),+) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
        #[serde(untagged)]
        pub enum $events {
            $(#[doc = concat!("See [`", stringify!($name), "`].")] $name($name)),+
        }

        impl crate::TopicEvents for $events {
            const TOPIC: crate::Topic = crate::Topic::$topic;
            const KNOWN: &'static [(&'static str, u32)] = &[$((stringify!($name), $version)),+];

            fn event_type(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name)),+ }
            }

            fn version(&self) -> u32 {
                match self { $(Self::$name(_) => $version),+ }
            }

            fn key(&self) -> crate::Key {
                match self { $(Self::$name(body) => body.$key.into()),+ }
            }

            fn fact(&self) -> Option<crate::Fact> {
                $events::fact(self)
            }

            fn parse(event_type: &str, json: &str) -> Option<Result<Self, String>> {
                match event_type {
                    $(stringify!($name) => Some(
                        serde_json::from_str(json)
                            .map(Self::$name)
                            .map_err(|error| crate::decode::reason::<$name>(json.as_bytes(), &error)),
                    ),)+
                    _ => None,
                }
            }

            fn example(event_type: &str) -> Option<&'static str> {
                match event_type {
                    $(stringify!($name) => Some(include_str!(concat!(
                        env!("CARGO_MANIFEST_DIR"), "/golden/", stringify!($name), ".json"
                    ))),)+
                    _ => None,
                }
            }

            fn of(payload: &crate::Payload) -> Option<&Self> {
                if let crate::Payload::$topic(event) = payload { Some(event) } else { None }
            }
        }

        $(impl From<$name> for $events {
            fn from(body: $name) -> Self {
                Self::$name(body)
            }
        }

        impl From<$name> for crate::Payload {
            fn from(body: $name) -> Self {
                Self::$topic(body.into())
            }
        })+
    };
}
use events;

macro_rules! topics {
    ($($(#[$doc:meta])* $topic:ident = $id:literal, $name:literal, by $publisher:literal: $events:ident;)+) => {
        /// A topic of the log, named as on Kafka.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Topic {
            $(#[doc = concat!("`", $name, "`, published by ", $publisher, ".")] $topic),+
        }

        impl Topic {
            /// Every topic, in the order in which an order passes through them.
            pub const ALL: [Topic; [$($id),+].len()] = [$(Topic::$topic),+];

            /// The name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Topic::$topic => $name),+ }
            }

            /// Its number in files; never given to another topic.
            #[must_use]
            pub const fn id(self) -> u16 {
                match self { $(Topic::$topic => $id),+ }
            }

            /// The one service that publishes on it.
            #[must_use]
            pub const fn publisher(self) -> &'static str {
                match self { $(Topic::$topic => $publisher),+ }
            }
        }

        /// What happened: an event of one of the topics.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum Payload {
            $(#[doc = concat!("On `", $name, "`.")] $topic($events)),+
        }

        impl Payload {
            /// `(event type, version, topic)` of every event this build knows.
            pub fn known() -> impl Iterator<Item = (&'static str, u32, Topic)> {
                let topics = [$((Topic::$topic, $events::KNOWN)),+];
                topics.into_iter().flat_map(|(topic, known)| {
                    known.iter().map(move |(name, version)| (*name, *version, topic))
                })
            }

            /// The type's name on the wire, version included.
            #[must_use]
            pub fn event_type(&self) -> &'static str {
                match self { $(Payload::$topic(event) => event.event_type()),+ }
            }

            /// The version on the wire.
            #[must_use]
            pub fn version(&self) -> u32 {
                match self { $(Payload::$topic(event) => event.version()),+ }
            }

            /// Where events of this type are published.
            #[must_use]
            pub const fn topic(&self) -> Topic {
                match self { $(Payload::$topic(_) => Topic::$topic),+ }
            }

            /// The thing it happened to.
            #[must_use]
            pub fn key(&self) -> Key {
                match self { $(Payload::$topic(event) => event.key()),+ }
            }

            /// What it says about an order's progress, if it does.
            #[must_use]
            pub fn fact(&self) -> Option<Fact> {
                match self { $(Payload::$topic(event) => event.fact()),+ }
            }

            /// A whole event of this type as JSON; none for a type that is not known.
            #[must_use]
            pub fn example(event_type: &str) -> Option<&'static str> {
                None$(.or_else(|| $events::example(event_type)))+
            }

            /// None for a type that is not known; an error says what is wrong with `json`.
            pub(crate) fn parse(event_type: &str, json: &str) -> Option<Result<Self, String>> {
                None$(.or_else(|| {
                    $events::parse(event_type, json).map(|read| read.map(Payload::$topic))
                }))+
            }
        }
    };
}

topics! {
    Orders = 1, "orders.events.v1", by "order-service": OrderEvent;
    Payments = 2, "payments.events.v1", by "payment-worker": PaymentEvent;
    Fulfillment = 3, "fulfillment.events.v1", by "fulfillment-worker": FulfillmentEvent;
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A string that names no topic.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no topic is called `{0}`; topics are {names}", names = Topic::ALL.map(Topic::name).join(", "))]
pub struct UnknownTopic(pub String);

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Topic::ALL.into_iter().find(|topic| topic.name() == text);
        known.ok_or_else(|| UnknownTopic(text.to_owned()))
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Cow<'de, str> = Deserialize::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl PartialSchema for Topic {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Topic::ALL.map(Topic::name)))
            .description(Some("A topic of the log, named as on Kafka."))
            .into()
    }
}

impl ToSchema for Topic {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn topics_are_told_apart_by_name_and_by_number() {
        for topic in Topic::ALL {
            assert_eq!(topic.name().parse(), Ok(topic));
        }
        let ids: HashSet<_> = Topic::ALL.map(Topic::id).into();
        assert_eq!(ids.len(), Topic::ALL.len());
        let unknown = "order.events.v1".parse::<Topic>().expect_err("unknown").to_string();
        assert!(Topic::ALL.iter().all(|topic| unknown.contains(topic.name())), "{unknown}");
    }
}
