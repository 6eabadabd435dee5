//! Engines of the index port, one module each, and what they must agree on.

pub mod elasticsearch;
mod letters;
mod searchable;
pub mod tantivy;
mod words;
