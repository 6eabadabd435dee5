//! The rules of the house that no compiler checks: who may depend on whom, what a source file looks
//! like, and that the documents say what is there.

use ofs::config::KEYS;
use ofs::services::NAMES;
use ofs_events::Payload;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// A dependency of a crate, and whether only its tests have it.
type Dependency = (String, bool);

/// Every crate of the workspace and what it says it depends on.
fn crates() -> BTreeMap<String, Vec<Dependency>> {
    let told = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata");
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let dependencies = |package: &Value| {
        let all = package["dependencies"].as_array().expect("dependencies").iter();
        all.map(|one| (text(&one["name"]), one["kind"] == "dev")).collect()
    };
    let packages = told["packages"].as_array().expect("packages").iter();
    packages.map(|package| (text(&package["name"]), dependencies(package))).collect()
}

fn is_service(name: &str) -> bool {
    name.ends_with("-service") || name.ends_with("-worker")
}

#[test]
fn crates_depend_downwards_only() {
    let crates = crates();
    let services: BTreeSet<&str> = NAMES.into_iter().collect();
    let found = crates.keys().map(String::as_str).filter(|name| is_service(name)).collect();
    assert_eq!(services, found, "the list of services");
    assert_eq!(crates.len(), 5 + services.len(), "{:?}", crates.keys());
    for (name, dependencies) in &crates {
        let ours = dependencies.iter().map(|(dependency, _)| dependency.as_str());
        for dependency in ours.filter(|dependency| crates.contains_key(*dependency)) {
            let allowed: &[&str] = match name.as_str() {
                "ofs-events" => &[],
                "ofs-runtime" => &["ofs-events"],
                "ofs" => continue,
                // Services, engines and the console stand side by side, and know nothing of each other.
                _ => &["ofs-events", "ofs-runtime"],
            };
            assert!(allowed.contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn only_the_engines_depend_on_drivers() {
    let drivers = ["rusqlite", "refinery", "tantivy", "rdkafka", "postgres", "elasticsearch"];
    for (name, dependencies) in crates() {
        for (dependency, only_in_tests) in dependencies {
            let driver = drivers.iter().any(|driver| dependency.contains(driver));
            let may = name == "ofs-engines" || only_in_tests;
            assert!(!driver || may, "{name} must not depend on {dependency}");
        }
    }
}

/// Every source file of the crates, with its path from the root.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("below the root").to_owned();
                let text = fs::read_to_string(&path).expect("UTF-8");
                found.push((name.to_string_lossy().into_owned(), text));
            }
        }
    }
    assert!(found.len() > 100, "only {} files", found.len());
    found
}

/// Where the program's own code is; tests beside it count as it.
fn is_program(path: &str) -> bool {
    path.contains("/src/")
}

#[test]
fn every_source_file_is_small_says_what_it_is_for_and_is_finished() {
    // Put together, or this file would be found.
    let unfinished = ["TO", "FIX", "XX"].map(|start| {
        format!(
            "{start}{}",
            match start {
                "TO" => "DO",
                "FIX" => "ME",
                _ => "X",
            }
        )
    });
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 400, "{path} has {lines} lines");
        let opening = text.lines().take_while(|line| line.starts_with("//!")).count();
        assert!((1..=5).contains(&opening), "{path} opens with {opening} lines of `//!`");
        for word in &unfinished {
            assert!(!text.contains(word.as_str()), "{path} says {word}");
        }
        let name = Path::new(&path).file_stem().expect("a name").to_string_lossy().into_owned();
        let vague = ["common", "utils", "util", "helpers", "helper", "misc", "types"];
        assert!(!vague.contains(&name.as_str()), "{path} has a name that says nothing");
    }
}

#[test]
fn only_the_configuration_reads_the_environment() {
    for (path, text) in sources() {
        let may = !is_program(&path) || path.starts_with("crates/ofs/src/config/");
        for line in text.lines() {
            let reads = line.contains("env::") && !line.contains("env::args");
            assert!(may || !reads, "{path}: {line}");
        }
    }
}

#[test]
fn only_the_engines_speak_sql() {
    let statements = ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE TABLE "];
    for (path, text) in sources() {
        if !is_program(&path) || path.starts_with("crates/ofs-engines/") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let speaks = statements.iter().any(|statement| line.contains(statement));
            assert!(!speaks, "{path}: {line}");
        }
    }
}

/// Words of what the machine and the engines carry, which they must not know.
const CARRIED: [&str; 5] = ["order", "payment", "email", "e-mail", "country"];

/// Where these words mean something else, or cannot be changed any more.
const ELSEWHERE: [&str; 10] = [
    "ORDER BY",
    "Ordering",
    "Unordered",
    "unordered",
    "BYTE_ORDER_MARK",
    // What Elasticsearch calls the direction of a sort.
    "{\"order\": direction",
    // Scopes of keys, which are stored with them.
    "\"orders:read\"",
    "\"orders:write\"",
    "\"pii\"",
    // A migration keeps its name.
    "V3__parked_by_order",
];

#[test]
fn the_machine_and_the_engines_do_not_know_what_an_order_is() {
    let machines = ["crates/ofs-runtime/src/", "crates/ofs-engines/src/"];
    for (path, text) in sources() {
        if !machines.iter().any(|machine| path.starts_with(machine)) || path.contains("/tests") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().map(str::trim_start);
        // Documents: comments, and the examples of the API's description.
        for line in lines.filter(|line| !line.starts_with("//") && !line.starts_with("#[schema(")) {
            let rest = match ELSEWHERE.iter().find(|words| line.contains(**words)) {
                Some(words) if words.starts_with("\"") => continue,
                Some(words) => line.replace(words, ""),
                None => line.to_owned(),
            };
            let rest = rest.to_lowercase();
            let knows = CARRIED.iter().any(|word| rest.contains(word));
            assert!(!knows, "{path}: {line}");
        }
    }
}

#[test]
fn every_event_has_a_golden_file_and_a_row_in_its_document() {
    let document = read("docs/events.md");
    for (event, version, topic) in Payload::known() {
        let golden: Value =
            serde_json::from_str(&read(&format!("crates/ofs-events/golden/{event}.json")))
                .expect("JSON");
        assert_eq!(
            (&golden["eventType"], &golden["eventVersion"]),
            (&event.into(), &version.into())
        );
        let start = format!("| `{event}` | `{topic}` | ");
        let row = document.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("docs/events.md has no row of {event} on {topic}"));
        for member in golden["payload"].as_object().expect("a payload").keys() {
            assert!(row.contains(&format!("`{member}`")), "{event}: {member} is not in {row}");
        }
    }
}

#[test]
fn every_configuration_key_is_documented_with_its_default() {
    let document = read("docs/configuration.md");
    let (_, table) = document.split_once("| key | default | meaning |\n").expect("the table");
    let rows: Vec<&str> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    let expected: Vec<String> = KEYS
        .iter()
        .map(|key| {
            let default = key.default.map_or("not set".to_owned(), |text| format!("`{text}`"));
            format!("| `{}` | {default} | {} |", key.name, key.doc)
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_map_shows_every_crate() {
    let map = read("ARCHITECTURE.md");
    for name in crates().keys() {
        assert!(map.contains(&format!("\n  {name}/ ")), "ARCHITECTURE.md does not show {name}");
    }
}

#[test]
fn the_life_of_an_order_is_where_the_architecture_says() {
    let document = read("ARCHITECTURE.md");
    let (_, life) = document.split_once("## Life of an order").expect("the table");
    let rows: Vec<&str> = life
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| ") && line.contains(".rs`"))
        .collect();
    assert!(rows.len() >= 12, "{rows:?}");
    for row in rows {
        let place = row.split('|').nth(3).expect("a place");
        let named: Vec<&str> = place.split('`').skip(1).step_by(2).collect();
        let text = read(&format!("crates/{}", named[0]));
        for function in &named[1..] {
            assert!(text.contains(&format!("fn {function}(")), "no {function} in {}", named[0]);
        }
    }
}

#[test]
fn every_link_in_a_document_leads_somewhere() {
    let mut documents = vec!["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    documents.extend(["docs/events.md", "docs/configuration.md", "docs/operations.md"]);
    documents.extend(["SECURITY.md", "docs/security.md"]);
    for document in documents {
        let text = read(document);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let folder = root().join(document).parent().expect("a folder").to_owned();
            let file = target.split('#').next().unwrap_or_default();
            assert!(folder.join(file).exists(), "{document} links to {target}");
        }
    }
}

#[test]
fn every_test_that_holds_a_control_is_there() {
    let document = read("docs/security.md");
    let named = document.split('`').filter(|code| code.contains("::") && !code.contains('/'));
    let sources = sources();
    let mut count = 0;
    for name in named {
        let (file, test) = name.rsplit_once("::").expect("a test");
        let file = format!("tests/it/{}.rs", file.replace("::", "/"));
        let (_, text) = sources
            .iter()
            .find(|(path, _)| path.ends_with(&file))
            .unwrap_or_else(|| panic!("{file}"));
        assert!(text.contains(&format!("fn {test}")), "{file} has no {test}");
        count += 1;
    }
    assert!(count >= 15, "{count}");
}
