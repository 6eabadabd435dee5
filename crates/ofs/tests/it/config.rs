//! Configuration: which source wins, and what is said about mistakes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use ofs::config::{Config, Error, Flag, Inputs, KEYS, Settings, Source};
use std::path::PathBuf;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ofs.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn inputs(path: &std::path::Path, variables: &[(&str, &str)], flags: Vec<Flag>) -> Inputs {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    Inputs { file: Some(path.to_owned()), variables, flags }
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file_and_the_file_over_defaults() {
    let (_dir, path) = file(
        "listen = '127.0.0.1:1'\ndata-dir = 'file'\n[payment]\ngateway-timeout = '3s'\n\
         [log]\npartitions = 12\n",
    );
    let variables = [("OFS_LISTEN", "127.0.0.1:2"), ("OFS_DATA_DIR", "env")];
    let flag = Flag { key: "listen", name: "--listen", value: "127.0.0.1:3".to_owned() };
    let config = Config::load(&inputs(&path, &variables, vec![flag])).unwrap();

    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.data_dir, PathBuf::from("env"));
    assert_eq!(config.gateway_timeout.as_secs(), 3);
    assert_eq!(config.log_partitions.get(), 12);
    assert_eq!(config.shutdown_timeout.as_secs(), 25);
    let source = |name| config.settings.get(name).unwrap().source.clone();
    assert_eq!(source("listen"), Source::Flag("--listen"));
    assert_eq!(source("data-dir"), Source::Env("OFS_DATA_DIR".to_owned()));
    assert_eq!(source("payment.gateway-timeout"), Source::File(path));
    assert_eq!(source("shutdown.timeout"), Source::Default);
}

#[test]
fn white_space_around_a_value_means_nothing() {
    let (_dir, path) = file("listen = ' 127.0.0.1:1 '\n");
    let flag = Flag { key: "log.retention", name: "--x", value: " 5s ".to_owned() };
    let config = Config::load(&inputs(&path, &[("OFS_DATA_DIR", "env\n")], vec![flag])).unwrap();
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.data_dir, PathBuf::from("env"));
    assert_eq!(config.log_retention.as_secs(), 5);
}

#[test]
fn an_unknown_key_in_the_file_is_an_error_that_names_the_nearest() {
    let (_dir, path) = file("[payment]\ngateway_timeout = '3s'\n[store]\nurls = 'sqlite:'\n");
    let error = Settings::merge(&inputs(&path, &[], vec![])).unwrap_err().to_string();
    assert!(error.contains("did you mean `payment.gateway-timeout`?"), "{error}");
    assert!(error.contains("did you mean `store.url`?"), "{error}");
}

#[test]
fn an_unknown_variable_is_one_warning_that_names_the_nearest() {
    let (_dir, path) = file("");
    let variables = [("OFS_LISTN", "x"), ("OFS_TEST_KAFKA_URL", "x"), ("PATH", "x")];
    let settings = Settings::merge(&inputs(&path, &variables, vec![])).unwrap();
    assert_eq!(
        settings.warnings,
        ["variable OFS_LISTN means nothing to ofs; did you mean OFS_LISTEN?"]
    );
}

#[test]
fn every_wrong_value_is_named_with_its_key_and_source() {
    let (_dir, path) = file("[shutdown]\ntimeout = 25\n");
    let variables = [("OFS_LISTEN", "8080"), ("OFS_LOGS_FORMAT", "xml"), ("OFS_SERVER", "host")];
    let error = Config::load(&inputs(&path, &variables, vec![])).unwrap_err();
    let Error::Invalid(invalid) = &error else { panic!("{error}") };
    let named: Vec<_> = invalid.iter().map(|one| (one.key, one.source_name.as_str())).collect();
    let from_file = format!("file {}", path.display());
    assert_eq!(
        named,
        [
            ("listen", "env OFS_LISTEN"),
            ("shutdown.timeout", from_file.as_str()),
            ("logs.format", "env OFS_LOGS_FORMAT"),
            ("server", "env OFS_SERVER"),
        ]
    );
}

#[test]
fn a_secret_can_come_from_a_file_and_is_masked() {
    let (_dir, path) = file("");
    let (_other, secret) = file("postgres://ofs:hunter2@db/ofs\n");
    let variables = [("OFS_STORE_URL_FILE", secret.to_str().unwrap())];
    let config = Config::load(&inputs(&path, &variables, vec![])).unwrap();
    assert_eq!(config.store_url, "postgres://ofs:hunter2@db/ofs");
    let setting = config.settings.get("store.url").unwrap();
    assert_eq!(setting.shown().unwrap(), "postgres://ofs:***@db/ofs");

    let both = [variables[0], ("OFS_STORE_URL", "sqlite:")];
    let error = Config::load(&inputs(&path, &both, vec![])).unwrap_err();
    assert!(matches!(error, Error::Twice(name) if name == "OFS_STORE_URL"));
}

#[test]
fn a_mistake_in_a_secret_does_not_repeat_it() {
    let (_dir, path) = file("[store]\nurl = 'hunter2'\n");
    let error = Config::load(&inputs(&path, &[], vec![])).unwrap_err().to_string();
    assert!(error.contains("store.url") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_syntax_error_names_the_line_and_quotes_nothing() {
    let (_dir, path) = file("listen = '127.0.0.1:1'\n[store\nurl = 'hunter2'\n");
    let error = Config::load(&inputs(&path, &[], vec![])).unwrap_err().to_string();
    assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let missing = PathBuf::from("/nowhere/ofs.toml");
    let error = Settings::merge(&inputs(&missing, &[], vec![])).unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
}

#[test]
fn every_default_can_be_used_and_every_variable_is_its_own() {
    let (_dir, path) = file("");
    Config::load(&inputs(&path, &[], vec![])).unwrap();
    let mut variables: Vec<_> = KEYS.iter().map(ofs::config::Key::variable).collect();
    variables.sort();
    variables.dedup();
    assert_eq!(variables.len(), KEYS.len());
}
