//! How long the disk under the current directory takes to keep what is written: the floor under every
//! durable answer of a server that has its files there.

use super::times::{Durations, micros};
use anyhow::Context as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

const WRITES: usize = 100;
const BLOCK: [u8; 4096] = [0x5a; 4096];

/// Appends blocks of 4 KiB to a file that is removed afterwards, each made durable on its own.
///
/// # Errors
/// If no file can be written in the current directory.
pub(super) fn measure() -> anyhow::Result<Durations> {
    let scratch = Scratch(PathBuf::from(format!(".ofs-bench-{}", std::process::id())));
    let mut file = File::create_new(&scratch.0)
        .context("write a file in the current directory, to measure its disk")?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let began = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        times.push(micros(began.elapsed()));
    }
    Ok(times.into_iter().collect())
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing is lost by a file that stays.
        let _ = fs::remove_file(&self.0);
    }
}
