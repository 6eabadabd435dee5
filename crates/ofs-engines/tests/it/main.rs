//! The conformance suites: each is the only definition of its port, run on every engine there is.

mod index;
mod log;
mod store;
