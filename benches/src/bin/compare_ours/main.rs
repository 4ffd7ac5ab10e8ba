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

mod inference;
mod job;
mod tables;
mod training;

use std::process::ExitCode;

use inkdrop_benches::{Result, peak_mib};
use inkdrop_torch::tch;
use serde_json::json;

use job::{Job, What};

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
        What::Forward => inference::forward(&job)?,
        What::Sampling => inference::sampling(&job)?,
        What::Training => training::run(&job)?,
        What::Schedule => tables::run(&job)?,
    };
    let report = json!({
        "modes": { "ours": { "seconds": seconds } },
        "peak_mib": peak_mib(),
        "threads": tch::get_num_threads(),
        "gflop": job.gflop()?,
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
