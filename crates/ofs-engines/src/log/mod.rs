//! Engines of the log port.

pub mod sqlite;
