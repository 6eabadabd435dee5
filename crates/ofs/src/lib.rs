//! The program `ofs`: command line, configuration, engines, services, HTTP. No business rules.

mod about;
pub mod cli;
pub mod config;
mod demo;
pub mod engines;
mod exposed;
pub mod failure;
mod here;
mod history;
pub mod http;
pub mod issuer;
pub mod open;
mod run;
pub mod services;
mod signals;
pub mod telemetry;
pub mod tidy;
mod told;
