//! Ids: UUIDs with a meaning, so that one cannot be passed for another.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
        )]
        #[serde(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map($name)
            }
        }
    };
}

id! {
    /// The thing that an event and a record are about, whatever it is: an order's id, for one. As
    /// lower-case hyphenated text, the key of every log record about it.
    Key
}
id! {
    /// One order, for ever.
    OrderId
}
id! {
    /// One event. UUIDv7 for the first event of a chain, UUIDv5 of its cause for all others.
    EventId
}
id! {
    /// One chain of events: generated with the order, the same on everything that follows.
    CorrelationId
}

impl From<OrderId> for Key {
    fn from(order: OrderId) -> Self {
        Key(order.0)
    }
}

impl From<Key> for OrderId {
    fn from(key: Key) -> Self {
        OrderId(key.0)
    }
}

impl EventId {
    /// The id of the `nth` event (from 0) of type `event_type` that `owner` makes because of `self`.
    ///
    /// It depends on nothing else, so deciding again after a crash makes the same event.
    #[must_use]
    pub fn caused(self, owner: &str, key: Key, event_type: &str, nth: usize) -> EventId {
        let name = format!("{owner}/{key}/{event_type}/{nth}");
        EventId(Uuid::new_v5(&self.0, name.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_has_the_same_id_however_often_it_is_made() {
        let cause = EventId(Uuid::from_u128(7));
        let key = Key(Uuid::from_u128(9));
        let once = cause.caused("payment-worker", key, "PaymentAuthorizedV1", 0);
        assert_eq!(once, cause.caused("payment-worker", key, "PaymentAuthorizedV1", 0));
        assert_ne!(once, cause.caused("fulfillment-worker", key, "PaymentAuthorizedV1", 0));
        assert_ne!(once, cause.caused("payment-worker", key, "PaymentAuthorizedV1", 1));
    }
}
