//! A dry run: what a retry of a parked event would do now. Claims nothing and writes nothing.

use super::{Own, Retrier, react, read_again};
use crate::decision::Decision;
use crate::service::{Fault, Reaction};
use crate::store::{Error, ParkedState, Record};

/// What a retry would do.
#[derive(Clone, Debug, PartialEq)]
pub enum Rehearsed {
    /// The key's record would become this.
    Decides {
        /// What it is now, if there is one.
        before: Option<Box<Record>>,
        /// What was decided.
        decision: Box<Decision>,
    },
    /// It would be handled, and change nothing.
    Nothing,
    /// It would stay parked.
    Fails(Fault),
    /// The event with this number has to go first.
    Behind(u64),
    /// It is not open any more.
    Closed(ParkedState),
    /// The event does not exist.
    Unknown,
    /// This process does not run its service.
    Elsewhere {
        /// The service.
        owner: String,
    },
}

impl Retrier {
    /// Tells what a retry of the parked event `id` would do now.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn rehearse(&self, id: u64) -> Result<Rehearsed, Error> {
        let Some((_, parked)) = self.find(id).await? else { return Ok(Rehearsed::Unknown) };
        let Some(Own { books, rehearsal, .. }) = self.services.get(parked.owner.as_str()) else {
            return Ok(Rehearsed::Elsewhere { owner: parked.owner });
        };
        match (parked.state, parked.behind) {
            (ParkedState::Parked, None) => {}
            (ParkedState::Parked, Some(head)) => return Ok(Rehearsed::Behind(head)),
            (closed, _) => return Ok(Rehearsed::Closed(closed)),
        }
        let item = read_again(&parked);
        Ok(match react(books, &**rehearsal, &parked, &item).await? {
            Ok((_, before, Reaction::Decide(decision))) => {
                Rehearsed::Decides { before: before.map(Box::new), decision: Box::new(decision) }
            }
            Ok((_, _, Reaction::Ignore | Reaction::Known)) => Rehearsed::Nothing,
            Err(fault) => Rehearsed::Fails(fault),
        })
    }
}
