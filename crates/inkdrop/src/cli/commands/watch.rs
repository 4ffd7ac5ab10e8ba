//! `inkdrop watch`: a training run in the terminal.

use std::path::PathBuf;

use anyhow::Result;
use inkdrop_serve::terminal;

/// Watch a training run in the terminal
///
/// Shows curves, samples and the time left, while the run trains or afterwards. Keys: s stops the
/// run and saves it, c saves a checkpoint, n samples now, the arrows choose the samples, q quits.
/// Without a terminal it prints a line per log line, and ends with the run.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run directory of `inkdrop train --out`
    run: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    terminal::watch(&arguments.run, None)?;
    Ok(0)
}
