//! The machine: four ports (log, store, index, access) and the loops that connect them.
//!
//! Knows events, keys and versions; knows no engine and no service.

pub mod access;
pub mod agreement;
pub mod backoff;
pub mod books;
pub mod budget;
pub mod context;
pub mod courier;
pub mod crash;
mod decide;
pub mod decision;
pub mod desk;
pub mod extract;
pub mod index;
pub mod log;
pub mod metrics;
pub mod parked;
pub mod pipeline;
pub mod problem;
pub mod rebuild;
pub mod service;
pub mod store;
pub mod task;
pub mod text;
pub mod trouble;
mod window;
pub mod worker;
