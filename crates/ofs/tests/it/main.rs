//! The whole program, black box: its configuration, its command line, and the real binary over HTTP.
#![expect(clippy::expect_used, reason = "a test that cannot go on says where")]

mod cli;
mod config;
mod crashes;
mod idempotency;
mod orders;
mod outages;
mod processes;
mod rebuild;
mod redelivery;
mod scrape;
mod search;
mod server;
mod servers;
mod system;
