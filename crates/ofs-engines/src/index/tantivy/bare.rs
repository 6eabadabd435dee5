//! What tantivy does bare: documents added and committed, many at a time.

use crate::bare::{DOCUMENTS, Error, Meter, text};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tantivy::schema::{FAST, STORED, STRING, Schema, TEXT};
use tantivy::{Index, TantivyDocument, TantivyError, Term};
use uuid::Uuid;

/// Memory of the writer, in bytes.
const MEMORY: usize = 50_000_000;

/// Documents a second that go into a new index in `directory`, which is removed afterwards.
///
/// # Errors
/// If it cannot be written.
pub fn bare(directory: &Path, time: Duration) -> Result<f64, Error> {
    let scratch = Scratch(directory.join(format!(".{}.index", crate::bare::name())));
    std::fs::create_dir_all(&scratch.0).map_err(|error| Error::new("tantivy", error))?;
    push(&scratch.0, time).map_err(|error| Error::new("tantivy", error))
}

fn push(path: &Path, time: Duration) -> Result<f64, TantivyError> {
    let mut schema = Schema::builder();
    let id = schema.add_text_field("id", STRING | STORED);
    let words = schema.add_text_field("text", TEXT);
    let status = schema.add_text_field("status", STRING | FAST);
    let body = schema.add_text_field("body", STORED);
    let index = Index::create_in_dir(path, schema.build())?;
    let mut writer = index.writer_with_num_threads::<TantivyDocument>(1, MEMORY)?;
    let mut meter = Meter::start(time);
    for batch in 0_u128.. {
        for nth in 0..DOCUMENTS {
            let key = Uuid::from_u128(batch * DOCUMENTS as u128 + nth as u128).to_string();
            writer.delete_term(Term::from_field_text(id, &key));
            let mut document = TantivyDocument::new();
            document.add_text(id, key);
            document.add_text(words, text(100, nth));
            document.add_text(status, "FulfillmentScheduled");
            document.add_text(body, text(600, nth));
            writer.add_document(document)?;
        }
        writer.commit()?;
        if !meter.goes_on(DOCUMENTS) {
            break;
        }
    }
    let rate = meter.rate();
    writer.wait_merging_threads()?;
    Ok(rate)
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing is lost by a directory that stays.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
