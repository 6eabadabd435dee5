//! The wire contract, held by files: what was once written stays readable, byte for byte.
#![expect(clippy::expect_used, reason = "a test that cannot go on says where")]

mod golden;
mod reading;
