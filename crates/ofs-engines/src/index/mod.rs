//! Engines of the index port, one module each.

pub mod tantivy;
