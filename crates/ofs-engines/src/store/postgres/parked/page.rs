//! Pages of parked events. An index gives those of a key, and those that are open; what is asked for
//! is picked from a limited number of what it gives.

use super::{name, readable};
use crate::store::postgres::session::{
    Failure, Sessions, is_whole, params, snapshot, statements, step, value,
};
use crate::store::postgres::values::{int, limit, number};
use ofs_runtime::budget::Budget;
use ofs_runtime::store::{PARKED_LOOK, ParkedFilter, ParkedPage, ParkedState};

/// Those that are asked for among the next that an index gives: after `$1`, of owner `$2`, in state
/// `$3`, with `$4` in the reason, at most `$5`.
macro_rules! page {
    ($those:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM (SELECT * FROM parked_events WHERE ",
            $those,
            " id > $1::bigint ORDER BY id LIMIT 10000) p
            WHERE ($2::text IS NULL OR owner = $2) AND ($3::text IS NULL OR state = $3)
            AND ($4::text IS NULL OR strpos(lower(reason), lower($4)) > 0)
            ORDER BY id LIMIT $5"
        )
    };
}

/// The last that is looked at for a page; none if there are fewer.
macro_rules! end {
    ($those:literal) => {
        concat!(
            "SELECT id FROM parked_events WHERE ",
            $those,
            " id > $1::bigint ORDER BY id OFFSET 9999 LIMIT 1"
        )
    };
}

/// What `page!` and `end!` are written for.
const _: () = assert!(PARKED_LOOK == 10_000);

statements! {
    PAGE_OF_KEY = page!("key = $6::uuid AND");
    END_OF_KEY = end!("key = $2::uuid AND");
    PAGE_OPEN = page!("state = 'parked' AND");
    END_OPEN = end!("state = 'parked' AND");
    PAGE = page!("");
    END = end!("");
}

pub(in crate::store::postgres) async fn list(
    sessions: &Sessions,
    filter: &ParkedFilter,
    max: usize,
) -> Result<ParkedPage, Failure> {
    let after = int(filter.after.unwrap_or_default())?;
    let (owner, reason) = (filter.owner.as_deref(), filter.reason.as_deref());
    // One more than asked for tells whether the next page begins before the end of the look.
    let few = limit(max.saturating_add(1));
    let mut asked = params![after, owner, filter.state.map(name), reason, few];
    let mut looked = params![after];
    let (page, end) = match (filter.key, filter.state) {
        (Some(key), _) => {
            asked.push(value(key.0));
            looked.push(value(key.0));
            (PAGE_OF_KEY, END_OF_KEY)
        }
        (None, Some(ParkedState::Parked)) => (PAGE_OPEN, END_OPEN),
        (None, _) => (PAGE, END),
    };
    let budget = Budget::of(max.saturating_add(1));
    let steps = snapshot(vec![step(page, asked).within(budget), step(end, looked)]);
    let mut answers = sessions.run(&steps).await?.into_iter().skip(1);
    let (mut rows, end) = (answers.next().unwrap_or_default(), answers.next().unwrap_or_default());
    let more = rows.len() > max || !is_whole(&rows, budget);
    rows.truncate(max);
    let last = if more { rows.last() } else { end.first() };
    Ok(ParkedPage {
        next: last.map(|row| number(row, 0)).transpose()?,
        events: rows.iter().filter_map(readable).collect::<Result<_, _>>()?,
    })
}
