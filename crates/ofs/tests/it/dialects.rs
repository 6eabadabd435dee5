//! Both dialects of the store's migrations make the same tables with the same columns.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Columns by table.
type Tables = BTreeMap<String, BTreeSet<String>>;

/// What all migrations of `dialect` make together; none if there is no such dialect.
fn tables(dialect: &str) -> Option<Tables> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ofs-engines/migrations");
    let entries = fs::read_dir(folder.join(dialect)).ok()?;
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let mut tables = Tables::new();
    for file in files {
        add(&mut tables, &fs::read_to_string(file).expect("UTF-8"));
    }
    Some(tables)
}

fn add(tables: &mut Tables, sql: &str) {
    let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    let sql = lines.collect::<Vec<_>>().join("\n");
    for statement in sql.split(";\n").map(str::trim) {
        if let Some(rest) = statement.strip_prefix("CREATE TABLE ") {
            let (name, rest) = rest.split_once('(').expect("columns");
            tables.insert(name.trim().to_owned(), columns(rest));
        } else if let Some(rest) = statement.strip_prefix("ALTER TABLE ") {
            let words: Vec<&str> = rest.split_whitespace().collect();
            let table = tables.get_mut(words[0]).expect("a table");
            match words[1..] {
                ["ADD", "COLUMN", name, ..] => table.insert(unquoted(name)),
                ["DROP", "COLUMN", name, ..] => table.remove(&unquoted(name)),
                _ => panic!("this test cannot read {statement}"),
            };
        }
    }
}

/// The names at the start of each part between commas outside of inner brackets.
fn columns(text: &str) -> BTreeSet<String> {
    let mut depth = 0;
    let mut parts = vec![String::new()];
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' if depth == 0 => break,
            ')' => depth -= 1,
            ',' if depth == 0 => parts.push(String::new()),
            _ => {}
        }
        parts.last_mut().expect("a part").push(character);
    }
    let constraint = ["PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "CONSTRAINT", ","];
    let first =
        |part: &String| part.trim_start_matches(',').split_whitespace().next().map(str::to_owned);
    let names = parts.iter().filter_map(first);
    names.filter(|name| !constraint.contains(&name.as_str())).map(|name| unquoted(&name)).collect()
}

fn unquoted(name: &str) -> String {
    name.trim_matches('"').to_owned()
}

#[test]
fn both_dialects_of_the_store_have_the_same_tables_and_columns() {
    let mut sqlite = tables("sqlite").expect("the migrations for SQLite");
    assert!(sqlite.len() >= 9, "{:?}", sqlite.keys());
    assert!(sqlite["parked_events"].contains("offset"), "{:?}", sqlite["parked_events"]);
    assert_eq!(sqlite["leases"].len(), 4);
    // PostgreSQL counts what waits, and keeps the counts for a moment.
    assert!(sqlite.remove("depths").is_some());
    let postgres = tables("postgres").expect("the migrations for PostgreSQL");
    assert_eq!(sqlite, postgres);
}
