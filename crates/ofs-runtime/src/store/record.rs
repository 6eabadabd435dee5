//! Records: versioned documents, of which a build changes only what it knows.

use ofs_events::{Key, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What one service knows of one key: a versioned JSON document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: Key,
    /// The version this one replaces; 0 if there was none. A commit fails if another is there.
    pub loaded: u64,
    /// This version: `loaded` as it was read, `loaded + 1` when it is to be written.
    pub version: u64,
    /// For people, filters and views; meaning is the owner's.
    pub status: String,
    /// The document, JSON text. PostgreSQL may answer with other white space and member order.
    pub body: String,
    /// When version 1 was written.
    pub created_at: Timestamp,
    /// When this version was written.
    pub updated_at: Timestamp,
}

impl Record {
    /// The document as a value.
    ///
    /// # Errors
    /// If this build's type cannot read what was stored.
    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.body)
    }

    /// The record that replaces `previous` (or is the first), to be committed at `now`. Members of
    /// `previous` that `body` leaves out stay, also in the elements of lists: a newer build has written
    /// them. A member is cleared with null, but for one of an element of a list.
    #[must_use]
    pub fn next<T: Serialize>(
        previous: Option<&Record>,
        key: impl Into<Key>,
        status: &str,
        body: &T,
        now: Timestamp,
    ) -> Record {
        let body = serde_json::to_value(body).unwrap_or_default();
        Self::over(previous, key.into(), status, body, now)
    }

    /// As [`Record::next`].
    pub(crate) fn over(
        previous: Option<&Record>,
        key: Key,
        status: &str,
        body: Value,
        now: Timestamp,
    ) -> Record {
        let loaded = previous.map_or(0, |record| record.version);
        Record {
            key,
            loaded,
            version: loaded + 1,
            status: status.to_owned(),
            body: body_over(previous, body),
            created_at: previous.map_or(now, |record| record.created_at),
            updated_at: now,
        }
    }
}

fn body_over(previous: Option<&Record>, body: Value) -> String {
    let known = previous.and_then(|record| record.read::<Value>().ok());
    let Some(mut whole) = known else { return body.to_string() };
    merge(&mut whole, body);
    whole.to_string()
}

fn merge(whole: &mut Value, new: Value) {
    match (whole, new) {
        (Value::Object(whole), Value::Object(new)) => {
            for (name, value) in new {
                merge(whole.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(whole), Value::Array(new)) => {
            let before = std::mem::take(whole);
            let known =
                |new: Value| before.iter().find(|old| says(old, &new)).cloned().unwrap_or(new);
            *whole = new.into_iter().map(known).collect();
        }
        (whole, new) => *whole = new,
    }
}

/// Whether `old` says all that `new` does. Null may stand for what this build could not read.
fn says(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (_, Value::Null) => true,
        (Value::Object(old), Value::Object(new)) => {
            new.iter().all(|(name, new)| old.get(name).is_some_and(|old| says(old, new)))
        }
        (old, new) => old == new,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    #[test]
    fn a_new_version_keeps_the_members_that_this_build_does_not_know() {
        let (key, now) = (Key(Uuid::from_u128(1)), Timestamp::from_micros(0));
        let theirs = json!({
            "id": 1, "lines": [1, 2], "facts": { "paid": false, "captured": true },
            "told": [{ "what": "a", "by": 1 }, { "what": "b", "by": 2, "at": "theirs" }],
        });
        let before = Record::next(None, key, "any", &theirs, now);
        let ours = json!({
            "id": 1, "facts": { "paid": true }, "reason": null,
            "told": [{ "what": "c" }, { "what": "b", "at": null }],
        });
        let after = Record::next(Some(&before), key, "any", &ours, now);
        let expected = json!({
            "id": 1, "lines": [1, 2], "facts": { "paid": true, "captured": true },
            "told": [{ "what": "c" }, { "what": "b", "by": 2, "at": "theirs" }], "reason": null,
        });
        assert_eq!(after.read::<Value>().ok(), Some(expected));
    }
}
