//! What a committed offset says beside the offset, so that the next reader knows whether the
//! topic is still the one it was: how many partitions it had, and what stood before the offset.

use ofs_events::Timestamp;
use std::str::FromStr;

/// Written into the metadata of a commit as `partitions=6 last=41 at=1767225600000000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// Partitions of the topic.
    pub partitions: u32,
    /// The last record that the group is done with: its offset and its time. None before the first.
    pub last: Option<(u64, Timestamp)>,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "partitions={}", self.partitions)?;
        match self.last {
            Some((offset, at)) => write!(f, " last={offset} at={}", at.as_micros()),
            None => Ok(()),
        }
    }
}

/// Not a note of ours: other tools write what they like.
#[derive(Debug)]
pub(super) struct NoNote;

impl FromStr for Note {
    type Err = NoNote;

    fn from_str(text: &str) -> Result<Self, NoNote> {
        let find = |name: &str| {
            let mut words = text.split(' ').filter_map(|word| word.split_once('='));
            words.find(|(known, _)| *known == name).map(|(_, value)| value)
        };
        let partitions = find("partitions").and_then(|n| n.parse().ok()).ok_or(NoNote)?;
        let last = find("last").and_then(|n| n.parse().ok());
        let at = find("at").and_then(|n| n.parse().ok()).map(Timestamp::from_micros);
        Ok(Self { partitions, last: last.zip(at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        for last in [None, Some((41, Timestamp::from_micros(1_767_225_600_000_000)))] {
            let note = Note { partitions: 6, last };
            assert_eq!(note.to_string().parse::<Note>().expect("a note"), note);
        }
        assert_eq!(
            Note { partitions: 6, last: Some((41, Timestamp::from_micros(7))) }.to_string(),
            "partitions=6 last=41 at=7"
        );
    }

    #[test]
    fn what_other_tools_write_is_no_note() {
        for foreign in ["", "NONE", "partitions=", "partitions=x last=1 at=2", "AgAEzzw="] {
            assert!(foreign.parse::<Note>().is_err(), "{foreign}");
        }
    }
}
