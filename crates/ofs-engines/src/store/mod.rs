//! Engines of the store port. One conformance suite (`tests/it/store.rs`) defines them all.

pub mod postgres;
pub mod sqlite;
