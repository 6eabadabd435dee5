//! Engines of the index port.
