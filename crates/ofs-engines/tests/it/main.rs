//! The conformance suites: each is the only definition of its port, run on every engine there is.
#![expect(clippy::expect_used, reason = "a test that cannot go on says where")]

mod index;
mod log;
mod store;
