//! Our side of `cargo xtask bench --against pytorch`: how long does one job take, and what comes of it?
//!
//! ```text
//! target/release/contender job.json
//! ```
//!
//! Each call is a process of its own and does one [`Job`]. Its last line is JSON: `modes.ours.seconds`
//! (one figure for each repetition), `peak_mib` (the most that was resident; Linux only), `threads`, and
//! `gflop` (of one image) where a network is passed once. The PyTorch side in `benches/compare` reads
//! the same jobs.

mod forward;
mod job;
mod network;
mod sampling;
mod tables;
mod timing;
mod training;

use std::error::Error;
use std::process::ExitCode;

use inkdrop_torch::tch;
use serde_json::json;

use job::{Job, What};

/// Whatever goes wrong, in words.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn run() -> Result<String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path] = &arguments[..] else {
        return Err(format!("given {arguments:?}, expected the JSON file of one job").into());
    };
    let job = Job::read(path.as_ref())?;
    // As the program does at its start.
    inkdrop_torch::keep_freed_memory();
    tch::set_num_threads(job.threads);
    let seconds = match job.what {
        What::Forward => forward::run(&job)?,
        What::Sampling => sampling::run(&job)?,
        What::Training => training::run(&job)?,
        What::Schedule => tables::run(&job)?,
    };
    let report = json!({
        "modes": { "ours": { "seconds": seconds } },
        "peak_mib": timing::peak_mib(),
        "threads": tch::get_num_threads(),
        "gflop": network::gflop(&job)?,
    });
    Ok(report.to_string())
}

fn main() -> ExitCode {
    match run() {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
