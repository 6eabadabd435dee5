//! The orders in a file, one after the other: rows of CSV, or lines of JSON.

use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _};
use std::path::Path;

/// The columns that a CSV file may have: the members of an order, and what makes it safe to send again.
const COLUMNS: [&str; 5] =
    ["customerEmail", "productType", "country", "paymentScenario", "idempotencyKey"];
/// The longest line that is read; the server takes no longer ones.
const MAX_LINE: u64 = 64 * 1024;

/// One order of the file.
pub(super) struct Row {
    /// Among the rows that are not blank; the first is 1.
    pub number: u64,
    /// The line of the file on which it begins.
    pub line: u64,
    /// The order, or why there is none.
    pub order: Result<Value, String>,
    /// What stands in the file.
    pub text: String,
}

pub(super) struct Rows {
    file: File,
    size: u64,
    number: u64,
    source: Source,
}

enum Source {
    Csv { reader: csv::Reader<File>, names: Vec<String> },
    Lines { reader: BufReader<File>, line: u64, read: u64 },
}

impl Rows {
    /// Opens `path`, for this process alone.
    ///
    /// # Errors
    /// If it cannot be read, is being imported by another process, or is CSV with other columns.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let open = || File::open(path).with_context(|| format!("read {name}"));
        let (file, again) = (open()?, open()?);
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .with_context(|| format!("{name} is being imported by another process"))?;
        let size = file.metadata()?.len();
        let is_csv = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv"));
        let source = if is_csv { csv(again, path)? } else { lines(again) };
        Ok(Self { file, size, number: 0, source })
    }

    /// Bytes in the file.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Bytes read so far.
    pub fn read(&self) -> u64 {
        match &self.source {
            Source::Csv { reader, .. } => reader.position().byte(),
            Source::Lines { read, .. } => *read,
        }
    }

    /// What tells this file's content from any other's.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn digest(&mut self) -> anyhow::Result<String> {
        let (mut digest, mut block) = (Sha256::new(), vec![0; 1 << 16]);
        self.file.rewind()?;
        loop {
            match self.file.read(&mut block)? {
                0 => break,
                read => digest.update(&block[..read]),
            }
        }
        Ok(hex(&digest.finalize()))
    }

    /// Passes over the first `rows`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn skip(&mut self, rows: u64) -> anyhow::Result<()> {
        while self.number < rows && self.next()?.is_some() {}
        Ok(())
    }

    /// The next rows, at most `max`; none at the end.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn take(&mut self, max: usize) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::with_capacity(max);
        while rows.len() < max
            && let Some(row) = self.next()?
        {
            rows.push(row);
        }
        Ok(rows)
    }

    fn next(&mut self) -> anyhow::Result<Option<Row>> {
        let number = self.number + 1;
        let row = match &mut self.source {
            Source::Csv { reader, names } => next_record(reader, names, number)?,
            Source::Lines { reader, line, read } => next_line(reader, (line, read), number)?,
        };
        self.number += u64::from(row.is_some());
        Ok(row)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn csv(file: File, path: &Path) -> anyhow::Result<Source> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
    let names = reader.headers().with_context(|| format!("read {}", path.display()))?;
    let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
    if let Some(other) = names.iter().find(|name| !COLUMNS.contains(&name.as_str())) {
        let known = COLUMNS.join(", ");
        bail!("{} has a column `{other}`; its first line may name {known}", path.display());
    }
    if let Some((_, twice)) =
        names.iter().enumerate().find(|(nth, name)| names[..*nth].contains(name))
    {
        bail!("{} has the column `{twice}` twice", path.display());
    }
    Ok(Source::Csv { reader, names })
}

fn next_record(
    reader: &mut csv::Reader<File>,
    names: &[String],
    number: u64,
) -> anyhow::Result<Option<Row>> {
    let mut record = csv::ByteRecord::new();
    if !reader.read_byte_record(&mut record)? {
        return Ok(None);
    }
    let line = record.position().map_or(0, csv::Position::line);
    if record.as_slice().len() as u64 > MAX_LINE {
        bail!(
            "the row on line {line} has more than {MAX_LINE} bytes; is a quotation mark missing?"
        );
    }
    let cells: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
    let order = if record.len() != names.len() {
        Err(format!("it has {} columns, not {} as the first line", record.len(), names.len()))
    } else if record.iter().any(|cell| std::str::from_utf8(cell).is_err()) {
        Err("it is not UTF-8".to_owned())
    } else {
        let given = names.iter().zip(&cells).filter(|(_, cell)| !cell.is_empty());
        let members: Map<_, _> =
            given.map(|(name, cell)| (name.clone(), Value::from(cell.as_ref()))).collect();
        Ok(Value::Object(members))
    };
    Ok(Some(Row { number, line, order, text: cells.join(",") }))
}

fn lines(file: File) -> Source {
    Source::Lines { reader: BufReader::new(file), line: 0, read: 0 }
}

fn next_line(
    reader: &mut BufReader<File>,
    (line, read): (&mut u64, &mut u64),
    number: u64,
) -> anyhow::Result<Option<Row>> {
    loop {
        let mut bytes = Vec::new();
        *read += reader.by_ref().take(MAX_LINE + 2).read_until(b'\n', &mut bytes)? as u64;
        if bytes.is_empty() {
            return Ok(None);
        }
        *line += 1;
        let whole = bytes.last() == Some(&b'\n');
        let long = bytes.trim_ascii_end().len() as u64 > MAX_LINE;
        if long && !whole {
            *read += reader.skip_until(b'\n')? as u64;
        }
        let text =
            bytes.strip_prefix("\u{feff}".as_bytes()).filter(|_| *line == 1).unwrap_or(&bytes);
        let text = text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let order = match serde_json::from_slice(text) {
            _ if long => Err(format!("it is longer than {MAX_LINE} bytes")),
            Ok(order @ Value::Object(_)) => Ok(order),
            Ok(_) => Err("it is not a JSON object".to_owned()),
            Err(error) => Err(format!("it is not JSON: {error}")),
        };
        let text = String::from_utf8_lossy(text).into_owned();
        return Ok(Some(Row { number, line: *line, order, text }));
    }
}
