//! The least that each service's role must be allowed, as SQL: read off the statements that are prepared
//! and the tables that the migrations make.

use super::connect::{OpenError, Server};
use super::migrate::{self, MIGRATIONS};
use crate::ServerUrl;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What nobody reads of another service. Tidying must not come upon rows that it may not drop.
const PRIVATE: [&str; 2] = ["processed_events", "idempotency_keys"];

/// A table, and whether each of its rows belongs to a service.
struct Table {
    name: &'static str,
    owned: bool,
}

fn tables() -> Vec<Table> {
    let made = MIGRATIONS.iter().flat_map(|(_, sql)| sql.split("CREATE TABLE ").skip(1));
    let mut tables: Vec<Table> = made
        .map(|rest| {
            let end = rest.find(");").or(rest.find(") WITH")).unwrap_or(rest.len());
            let mut lines = rest[..end].lines();
            let name = lines.next().and_then(|line| line.split_whitespace().next());
            let owned = lines.any(|line| line.trim_start().starts_with("owner "));
            Table { name: name.unwrap_or_default(), owned }
        })
        .collect();
    tables.push(Table { name: migrate::HISTORY, owned: false });
    tables
}

/// What `sql` does with `table`.
fn rights(sql: &str, table: &str) -> [bool; 4] {
    let words: Vec<&str> = words(sql).collect();
    let has = |wanted: &[&str]| words.windows(wanted.len()).any(|found| found == wanted);
    let inserts = has(&["INSERT", "INTO", table]);
    [
        words.contains(&table),
        inserts,
        has(&["UPDATE", table]) || inserts && has(&["DO", "UPDATE"]),
        has(&["DELETE", "FROM", table]),
    ]
}

/// Everything that a service asks.
fn statements() -> impl Iterator<Item = &'static str> {
    super::statements().chain(super::OPENING).chain(migrate::OPENING)
}

fn words(sql: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    sql.split(move |c| !is_name(c)).filter(|word| !word.is_empty())
}

/// Sequences that statements name. A row gets its number without any right to one.
fn sequences() -> BTreeSet<&'static str> {
    statements().flat_map(words).filter(|word| word.ends_with("_seq")).collect()
}

fn privileges(table: &str) -> String {
    let mut all = [false; 4];
    for sql in statements() {
        for (all, needed) in all.iter_mut().zip(rights(sql, table)) {
            *all |= needed;
        }
    }
    let named = ["SELECT", "INSERT", "UPDATE", "DELETE"].into_iter().zip(all);
    let needed: Vec<&str> = named.filter_map(|(name, needed)| needed.then_some(name)).collect();
    needed.join(", ")
}

/// SQL that makes a role for each of `services` at the database of `url` and allows it what it needs;
/// to be run by the owner of the tables, any number of times.
///
/// # Errors
/// If the URL cannot be read.
pub fn grants(url: impl Into<ServerUrl>, services: &[&str]) -> Result<String, OpenError> {
    let server = Server::parse(url.into())?;
    let database = server.config.get_dbname().or(server.config.get_user()).unwrap_or("ofs");
    let role = |service: &str| format!("\"{database}-{service}\"");
    let roles: Vec<String> = services.iter().map(|service| role(service)).collect();
    let all = roles.join(", ");
    let mut sql = String::from(
        "-- Run this as the owner of the tables, who may make roles, and again after each `ofs migrate`.\n\
         -- Then give each role a password: ALTER ROLE … PASSWORD '…'\n\
         BEGIN;\n",
    );
    for role in &roles {
        let _ = writeln!(
            sql,
            "DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        );
    }
    let _ = writeln!(sql, "GRANT CONNECT ON DATABASE \"{database}\" TO {all};");
    let _ = writeln!(sql, "GRANT USAGE ON SCHEMA public TO {all};");
    let _ = writeln!(sql, "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {all};");
    for Table { name, .. } in tables() {
        let _ = writeln!(sql, "GRANT {} ON {name} TO {all};", privileges(name));
    }
    for name in sequences() {
        let _ = writeln!(sql, "GRANT USAGE ON SEQUENCE {name} TO {all};");
    }
    for Table { name, .. } in tables().iter().filter(|table| table.owned) {
        let _ = writeln!(sql, "\nALTER TABLE {name} ENABLE ROW LEVEL SECURITY;");
        let mut policy = |title: &str, rule: &str| {
            let _ = writeln!(sql, "DROP POLICY IF EXISTS \"{title}\" ON {name};");
            let _ = writeln!(sql, "CREATE POLICY \"{title}\" ON {name} {rule};");
        };
        for service in services {
            let rule = format!("TO {} USING (owner = '{service}')", role(service));
            policy(&format!("rows of {service}"), &rule);
        }
        if !PRIVATE.contains(name) {
            policy("rows of all to read", &format!("FOR SELECT TO {all} USING (true)"));
        }
    }
    sql.push_str("COMMIT;\n");
    Ok(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_read_off_the_statements() {
        let owned: Vec<&str> = tables().iter().filter(|t| t.owned).map(|t| t.name).collect();
        assert!(owned.contains(&"records") && owned.contains(&"deadlines"), "{owned:?}");
        assert!(!owned.contains(&"leases") && !owned.contains(&"audit"), "{owned:?}");
        assert!(tables().len() >= 15 && PRIVATE.iter().all(|name| owned.contains(name)));
        assert_eq!(privileges("audit"), "SELECT, INSERT");
        assert_eq!(privileges("records"), "SELECT, INSERT, UPDATE, DELETE");
        assert_eq!(privileges("processed_events"), "SELECT, INSERT, DELETE");
        assert_eq!(privileges(migrate::HISTORY), "SELECT");
        assert!(sequences().contains("outbox_id_seq"), "{:?}", sequences());
        assert!(tables().iter().all(|table| !privileges(table.name).is_empty()));
    }

    #[test]
    fn each_role_writes_rows_of_its_own_service_alone() {
        let sql = grants("postgres://ofs:secret@db/shop", &["a-worker", "b-worker"]).expect("SQL");
        let rule = "CREATE POLICY \"rows of a-worker\" ON outbox TO \"shop-a-worker\" \
                    USING (owner = 'a-worker');";
        assert!(sql.contains(rule), "{sql}");
        assert!(!sql.contains("secret") && !sql.contains("to read\" ON processed_events"), "{sql}");
    }
}
