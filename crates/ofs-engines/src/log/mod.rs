//! Engines of the log port.
