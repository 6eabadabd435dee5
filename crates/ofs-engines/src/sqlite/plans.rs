//! The plan of every statement, looked at in debug builds when it is first run: one that reads a table
//! that grows from end to end ends the test that ran it.

use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

thread_local! {
    /// Statements that this thread has run and whose plans have not been checked yet.
    static NEW: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Statements whose plans are known to be good.
static KNOWN: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// What may be read from end to end, as the beginning of a line of a plan, and why.
const MAY: [(&str, &str); 19] = [
    ("SCAN CONSTANT ROW", "no table"),
    ("SCAN json_each", "the topics this build knows"),
    ("SCAN meta", "a row for each thing to know"),
    ("SCAN topics", "a row for each topic"),
    ("SCAN positions", "a row for each group and topic"),
    ("SCAN log_ends", "a row for each partition"),
    ("SCAN api_keys", "a row for each key that a person made"),
    ("SCAN audit_end", "one row"),
    ("SCAN leases", "at most as many rows as slots"),
    ("SCAN lease_holders", "a row for each process"),
    ("SCAN parked_events USING INDEX parked_events_open", "those that are not closed"),
    ("SCAN parked_events USING COVERING INDEX parked_events_due", "those that are not closed"),
    (
        "SCAN parked_events USING COVERING INDEX parked_events_open_by_owner",
        "once, when the store is opened",
    ),
    ("SCAN deadlines USING COVERING INDEX deadlines_overdue", "not beyond a limit"),
    ("SCAN deadlines", "once, when the store is opened"),
    ("SCAN outbox USING COVERING INDEX", "once, when the store is opened"),
    ("SCAN owed_index USING COVERING INDEX", "once, when the store is opened"),
    ("SCAN refused_documents USING COVERING INDEX", "once, when the store is opened"),
    ("SCAN sqlite_sequence", "a row for each table"),
];

/// `connection`, of which every statement that it runs is noted.
pub(super) fn watched(mut connection: Connection) -> rusqlite::Result<Connection> {
    let note = |event: TraceEvent<'_>| {
        if let TraceEvent::Stmt(_, sql) = event {
            NEW.with_borrow_mut(|new| new.push(sql.to_owned()));
        }
    };
    connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note))?;
    Ok(connection)
}

/// Looks at the plans of what this thread has run on `connection` since it last looked.
///
/// # Panics
/// If one of them reads a table that grows from end to end.
pub(super) fn check(connection: &Connection) {
    for sql in NEW.take() {
        let reads = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];
        if !reads.iter().any(|word| sql.trim_start().starts_with(word)) {
            continue;
        }
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get_or_insert_default().contains(&sql) {
            continue;
        }
        let plan = plan(connection, &sql).unwrap_or_default();
        let bad = plan.iter().find(|line| {
            line.starts_with("SCAN ") && !MAY.iter().any(|(may, _)| line.starts_with(may))
        });
        assert!(bad.is_none(), "{bad:?} is read from end to end: {sql}\n{}", plan.join("\n"));
        known.get_or_insert_default().insert(sql);
    }
    NEW.take();
}

fn plan(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    statement.query_map([], |row| row.get(3))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_at(sql: &str) {
        let connection = Connection::open_in_memory().expect("a database");
        let schema = include_str!("../../migrations/sqlite/V1__init.sql");
        connection.execute_batch(schema).expect("tables");
        let connection = watched(connection).expect("watched");
        connection.prepare(sql).expect("a statement").raw_query().next().expect("a row");
        check(&connection);
    }

    #[test]
    fn what_an_index_finds_or_what_is_small_is_read() {
        look_at("SELECT body FROM records WHERE owner = '' AND key > x'' ORDER BY key LIMIT 3");
        look_at("SELECT * FROM leases");
    }

    #[test]
    #[should_panic(expected = "SCAN parked_events")]
    fn what_reads_a_table_that_grows_from_end_to_end_panics() {
        look_at("SELECT id FROM parked_events WHERE reason LIKE '%x%'");
    }
}
