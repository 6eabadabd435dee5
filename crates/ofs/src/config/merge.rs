//! Merging: which value each key has, and where it comes from. Does not interpret the values.

use super::Error;
use super::keys::{KEYS, Key, Kind, find, nearest};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The file that is read by default, if it exists.
const DEFAULT_FILE: &str = "ofs.toml";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The list of keys.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// A variable.
    Env(String),
    /// A variable that names the file which holds it.
    EnvFile(String, PathBuf),
    /// The command line, for example `--listen`.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File(path) => write!(f, "file {}", path.display()),
            Source::Env(name) | Source::EnvFile(name, _) => write!(f, "env {name}"),
            Source::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: &'static Key,
    /// Its value; none if it is not set and has no default.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: Source,
}

impl Setting {
    /// The value as it may be shown to people.
    #[must_use]
    pub fn shown(&self) -> Option<String> {
        let value = self.value.as_deref()?;
        Some(match (self.key.secret, self.key.kind) {
            (true, Kind::Secret) => "***".to_owned(),
            (true, _) => masked(value),
            (false, _) => value.to_owned(),
        })
    }
}

/// A key set on the command line.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The key's name.
    pub key: &'static str,
    /// The flag, for example `--listen`.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

/// Everything that configuration is made from.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The file named by `--config`.
    pub file: Option<PathBuf>,
    /// The variables of the process.
    pub variables: Vec<(OsString, OsString)>,
    /// What the command line sets.
    pub flags: Vec<Flag>,
}

impl Inputs {
    /// The process's own variables, and what the command line says.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Self {
        Self { file, variables: std::env::vars_os().collect(), flags }
    }
}

/// Every key with its value, merged from all sources.
#[derive(Clone, Debug)]
pub struct Settings {
    list: Vec<Setting>,
    /// Lines for people about things that were passed over.
    pub warnings: Vec<String>,
    /// The files that secrets were read from.
    pub secret_files: Vec<PathBuf>,
}

impl Settings {
    /// Merges `inputs`: defaults, then the file, then variables, then flags.
    ///
    /// # Errors
    /// [`Error`] if the file cannot be read, is not TOML or has unknown keys, or a variable is unfit.
    pub fn merge(inputs: &Inputs) -> Result<Self, Error> {
        let default = |key: &'static Key| Setting {
            key,
            value: key.default.map(str::to_owned),
            source: Source::Default,
        };
        let list = KEYS.iter().map(default).collect();
        let mut settings = Self { list, warnings: Vec::new(), secret_files: Vec::new() };
        let variables = ours(&inputs.variables)?;
        settings.take_file(inputs, &variables)?;
        settings.take_variables(&variables)?;
        for flag in &inputs.flags {
            settings.set(flag.key, flag.value.clone(), Source::Flag(flag.name));
        }
        Ok(settings)
    }

    /// Every key, in the order of [`KEYS`].
    #[must_use]
    pub fn list(&self) -> &[Setting] {
        &self.list
    }

    /// The setting of the key `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.list.iter().find(|setting| setting.key.name == name)
    }

    fn set(&mut self, name: &str, value: String, source: Source) {
        if let Some(setting) = self.list.iter_mut().find(|setting| setting.key.name == name) {
            // A variable filled from a file often ends in a newline, which no value wants.
            setting.value = Some(value.trim().to_owned());
            setting.source = source;
        }
    }

    fn take_file(
        &mut self,
        inputs: &Inputs,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let named = inputs.file.clone().or_else(|| variables.get("OFS_CONFIG").map(PathBuf::from));
        let optional = named.is_none();
        let path = named.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if optional && error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::File { path, reason: error.to_string() }),
        };
        let table: Table = text.parse().map_err(|error: toml::de::Error| Error::Syntax {
            path: path.clone(),
            reason: error.message().to_owned() + &at_line(&text, error.span()),
        })?;
        let mut found = Vec::new();
        flatten("", table, &mut found);
        let mut unknown = Vec::new();
        for (name, value) in found {
            match (find(&name), text_of(&value)) {
                (Some(_), Some(value)) => self.set(&name, value, Source::File(path.clone())),
                _ => unknown.push((name.clone(), nearest(&name, KEYS.iter().map(|key| key.name)))),
            }
        }
        // A URL is shown as it is if it holds no password.
        if self.list.iter().any(|it| it.value != it.shown()) {
            self.secret_files.push(path.clone());
        }
        if unknown.is_empty() { Ok(()) } else { Err(Error::Unknown { path, keys: unknown }) }
    }

    fn take_variables(&mut self, variables: &BTreeMap<String, String>) -> Result<(), Error> {
        let mut known = vec!["OFS_CONFIG".to_owned()];
        for key in KEYS {
            let name = key.variable();
            let file = format!("{name}_FILE");
            let direct = variables.get(&name);
            if let Some(value) = direct {
                self.set(key.name, value.clone(), Source::Env(name.clone()));
            }
            if let Some(path) = variables.get(&file).filter(|_| key.secret) {
                if direct.is_some() {
                    return Err(Error::Twice(name));
                }
                let source = Source::EnvFile(file.clone(), PathBuf::from(path));
                self.set(key.name, secret(Path::new(path))?, source);
                self.secret_files.push(path.into());
            }
            known.push(name);
            if key.secret {
                known.push(file);
            }
        }
        for name in variables.keys().filter(|name| !known.contains(name)) {
            let meant = nearest(name, known.iter().map(String::as_str));
            let hint = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
            self.warnings.push(format!("variable {name} means nothing to ofs{hint}"));
        }
        Ok(())
    }
}

/// The `OFS_*` variables. `OFS_TEST_*` belongs to tests; an empty variable counts as not set.
fn ours(variables: &[(OsString, OsString)]) -> Result<BTreeMap<String, String>, Error> {
    let mut ours = BTreeMap::new();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        if !name.starts_with("OFS_") || name.starts_with("OFS_TEST_") || value.is_empty() {
            continue;
        }
        let value = value.to_str().ok_or_else(|| Error::NotUtf8(name.to_owned()))?;
        ours.insert(name.to_owned(), value.to_owned());
    }
    Ok(ours)
}

/// What the file at `path` holds, without the line break at its end.
///
/// # Errors
/// If it cannot be read.
pub fn secret(path: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::File { path: path.to_owned(), reason: error.to_string() })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn flatten(prefix: &str, table: Table, found: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) => flatten(&name, inner, found),
            value => found.push((name, value)),
        }
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

fn at_line(text: &str, span: Option<std::ops::Range<usize>>) -> String {
    let before = span.and_then(|span| text.get(..span.start));
    before.map(|before| format!(", line {}", before.matches('\n').count() + 1)).unwrap_or_default()
}

/// Hides passwords in a URL: the one before `@`, and query values whose name sounds like one.
fn masked(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else {
        return if value.contains('@') || value.contains('=') {
            "***".into()
        } else {
            value.into()
        };
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let place = match rest.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{name}:***@{host}")
        }
        Some((user, host)) => format!("{user}@{host}"),
        None => rest.to_owned(),
    };
    let query = query.map(|query| {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}=***"),
            _ => pair.to_owned(),
        });
        format!("?{}", pairs.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{place}{}", query.unwrap_or_default())
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    ["password", "secret", "token", "key"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let shown = masked("postgres://ofs:p@ss@db:5432/ofs?sslmode=require");
        assert_eq!(shown, "postgres://ofs:***@db:5432/ofs?sslmode=require");
        assert_eq!(masked("kafka://k:9092?sasl.password=x"), "kafka://k:9092?sasl.password=***");
        assert_eq!(masked("sqlite:"), "sqlite:");
        assert_eq!(masked("host=db password=x"), "***");
    }
}
