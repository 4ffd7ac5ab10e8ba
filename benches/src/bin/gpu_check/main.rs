//! `cargo xtask gpu-check`: compares the GPU's results with the CPU's, and measures its speed.

mod cases;
mod checks;
mod machine;
mod step;
mod timings;

use std::process::ExitCode;

use clap::Parser;
use inkdrop_benches::Result;
use inkdrop_torch::DeviceChoice;
use inkdrop_torch::tch::Device;

use checks::Tally;

const MORE_HELP: &str = "\
The output is a description of the machine, one line per check, and tables of times and peak memory.

Exit status: 0 all correct, 1 something is wrong, 2 no usable GPU (the reason is printed) or
invalid arguments.

The binary also runs on another machine of the same architecture with Python's torch 2.11.0
and CUDA. Build it here with `cargo build --release -p inkdrop-benches --bin gpu_check`,
copy target/release/gpu_check, and there:

  LD_LIBRARY_PATH=$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__) + \"/lib\")') \\
      ./gpu_check";

/// Compares the results of a GPU with those of the CPU, and measures its speed
#[derive(Debug, Parser)]
#[command(name = "gpu_check", bin_name = "cargo xtask gpu-check", after_help = MORE_HELP)]
struct Options {
    /// cuda or cuda:N; cpu uses the CPU instead of a GPU, to test this program
    #[arg(long, value_name = "D", default_value = "cuda")]
    device: DeviceChoice,
    /// Use small networks instead of the presets
    #[arg(long)]
    quick: bool,
    /// Check correctness only
    #[arg(long)]
    no_timings: bool,
}

fn main() -> ExitCode {
    let mut options = Options::parse();
    if options.device == DeviceChoice::Auto {
        options.device = DeviceChoice::Cuda(0);
    }
    let device = match options.device.resolve() {
        Ok(device) => device,
        Err(reason) => {
            println!("no GPU to check: {reason}");
            return ExitCode::from(2);
        }
    };
    match run(&options, device) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all checks and timings. Returns true if all checks passed.
fn run(options: &Options, device: Device) -> Result<bool> {
    print!("{}", machine::describe(device)?);
    let cases = cases::all(options.quick);
    let mut tally = Tally::default();
    for case in &cases {
        checks::check(case, device, &mut tally);
    }
    tally.sum_up();
    if !options.no_timings && options.device != DeviceChoice::Cpu {
        timings::tables(&cases, device)?;
    }
    Ok(tally.is_good())
}
