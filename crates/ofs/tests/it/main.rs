//! The whole program, black box: its configuration, its command line, and the real binary over HTTP.
#![expect(clippy::expect_used, reason = "a test that cannot go on says where")]

#[macro_use]
mod system;

mod abuse;
mod api;
mod bad_records;
mod before;
mod benching;
mod browser;
mod building;
mod chromium;
mod cli;
mod commands;
mod config;
mod connections;
mod console;
mod couriers;
mod crashes;
mod deadlines;
mod dialects;
mod directory;
mod doctor;
mod doors;
mod exposed;
mod full;
mod fuzz;
mod gateway;
mod groups;
mod heavy;
mod idempotency;
mod importing;
mod issuer;
mod limits;
mod logs;
mod machine;
mod metrics;
mod moments;
mod openapi;
mod orders;
mod outages;
mod processes;
mod readme;
mod rebuild;
mod redelivery;
mod refusals;
mod refused;
mod repair;
mod resuming;
mod revoked;
#[cfg(feature = "kafka-tls")]
mod rights;
mod rolling;
mod scrape;
mod search;
#[cfg(feature = "kafka-tls")]
mod secrets;
#[cfg(feature = "kafka-tls")]
mod secured;
mod server;
mod servers;
mod signing_in;
mod strangers;
mod tasks;
mod tidy;
mod tokens;
mod watching;
mod wire;
#[cfg(feature = "kafka-tls")]
mod wires;
mod workbench;
