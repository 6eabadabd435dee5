//! Output: data to stdout as JSON, as `name: value` lines or as aligned columns. Never logs.

use indicatif::{ProgressBar, ProgressStyle};
use ofs_runtime::text::printable;
use serde_json::Value;
use std::io::{self, Write};
use std::time::Duration;

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Writes `text` to stdout; a reader that has gone away is not an error.
///
/// # Errors
/// Whatever else the system says.
pub fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other,
    }
}

/// Writes one line.
///
/// # Errors
/// As [`write`].
pub fn line(text: &str) -> io::Result<()> {
    write(&format!("{text}\n"))
}

/// Writes `value`, indented.
///
/// # Errors
/// As [`write`].
pub fn json(value: &Value) -> io::Result<()> {
    line(&format!("{value:#}"))
}

/// Writes `value` on one line, for streams.
///
/// # Errors
/// As [`write`].
pub fn json_line(value: &Value) -> io::Result<()> {
    line(&value.to_string())
}

/// Writes a line to stderr: progress, hints, anything that is not the answer.
pub fn note(text: &str) {
    // If stderr is closed, the line cannot be shown.
    let _ = writeln!(io::stderr(), "{text}");
}

/// A bar on a terminal's stderr, for work of this `length`; nothing if stderr is not a terminal.
#[must_use]
pub fn progress(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}  {eta} left");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// `done` items so far, as a rate since `bar` was made.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub fn rate(bar: &ProgressBar, done: u64) -> String {
    format!("{:.0}/s", done as f64 / bar.elapsed().as_secs_f64().max(0.001))
}

/// A spinner on a terminal's stderr, for work whose length is not known.
#[must_use]
pub fn spinner(doing: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(doing);
    let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}");
    let spinner = spinner.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// Writes a document: as JSON, or its members as lines.
///
/// # Errors
/// As [`write`].
pub fn document(format: Format, value: &Value) -> io::Result<()> {
    match format {
        Format::Json => json(value),
        Format::Text => write(&members(value)),
    }
}

/// Writes `value` as JSON, or `rows` under `heads` as columns.
///
/// # Errors
/// As [`write`].
pub fn list(format: Format, value: &Value, heads: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    match format {
        Format::Json => json(value),
        Format::Text => write(&columns(heads, rows)),
    }
}

/// The member of `value` at the JSON pointer `at` as plain text; a dash if it is absent.
#[must_use]
pub fn text(value: &Value, at: &str) -> String {
    value.pointer(at).map_or_else(|| "-".to_owned(), plain)
}

/// What a terminal may show: hidden characters are written out.
#[must_use]
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(plain).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// Columns as wide as their widest cell, two spaces apart.
#[must_use]
pub fn columns(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads: Vec<String> = heads.iter().map(|&head| head.to_owned()).collect();
    let widest = |column: usize| {
        let cells = std::iter::once(&heads).chain(rows).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(widest).collect();
    let mut out = String::new();
    for row in std::iter::once(&heads).chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        let joined = cells.collect::<Vec<_>>().join("  ");
        out.push_str(joined.trim_end());
        out.push('\n');
    }
    out
}

fn members(value: &Value) -> String {
    let mut flat = Vec::new();
    flatten("", value, &mut flat);
    let width = flat.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) + 1;
    flat.iter().map(|(name, text)| format!("{:width$} {text}\n", format!("{name}:"))).collect()
}

fn flatten(prefix: &str, value: &Value, flat: &mut Vec<(String, String)>) {
    let below = |name: &str| match prefix {
        "" => name.to_owned(),
        prefix => format!("{prefix}.{name}"),
    };
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().for_each(|(name, value)| flatten(&below(name), value, flat));
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(n, value)| flatten(&below(&n.to_string()), value, flat));
        }
        value => flat.push((prefix.to_owned(), plain(value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["1".to_owned(), "payment-worker".to_owned()]];
        assert_eq!(columns(&["id", "service"], &rows), "id  service\n1   payment-worker\n");
    }

    #[test]
    fn nested_members_are_named_by_their_path() {
        let value = json!({"a": {"b": 1}, "list": ["x", "y"], "none": null});
        assert_eq!(members(&value), "a.b:  1\nlist: x, y\nnone: -\n");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(plain(&json!("a\u{1b}[2Jb")), "a\\u{1b}[2Jb");
    }
}
