//! The machine: three ports (log, store, index) and the loops that connect them.
//!
//! Knows events, orders' keys and versions; knows no engine and no service.

pub mod context;
pub mod index;
pub mod log;
pub mod service;
pub mod store;
