//! The wire contract, held by files: what was once written stays readable, byte for byte.

mod golden;
mod reading;
