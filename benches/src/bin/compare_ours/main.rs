//! Measures inkdrop for `cargo xtask bench --compare pytorch`: time, memory and outputs of one job.
//!
//! ```text
//! target/release/compare_ours job.json
//! ```
//!
//! Each process runs one [`Job`]. Its last line of output is JSON:
//!
//! - `modes.ours.seconds`: the time of every repetition
//! - `peak_mib`: peak resident memory; Linux only
//! - `threads`: threads per operation
//! - `gflop`: GFLOP of one image, for a single forward pass
//!
//! The PyTorch programs in `benches/compare` read the same jobs.

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

/// Result with any error as text.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn run() -> Result<String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path] = &arguments[..] else {
        return Err(format!("given {arguments:?}, expected the JSON file of one job").into());
    };
    let job = Job::read(path.as_ref())?;
    // The program `inkdrop` does the same at its start.
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
