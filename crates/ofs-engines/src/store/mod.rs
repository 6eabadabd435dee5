//! Engines of the store port.
