//! `cargo xtask gpu-check`: compares the GPU's results with the CPU's, and measures its speed.

mod cases;
mod checks;
mod machine;
mod options;
mod step;
mod timings;

use std::process::ExitCode;

use inkdrop_benches::Result;
use inkdrop_torch::DeviceChoice;
use inkdrop_torch::tch::Device;

use checks::Tally;
use options::Options;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("error: {problem}; see gpu_check --help");
            return ExitCode::from(2);
        }
    };
    if options.help {
        print!("{}", options::HELP);
        return ExitCode::SUCCESS;
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
    if options.timings && options.device != DeviceChoice::Cpu {
        timings::tables(&cases, device)?;
    }
    Ok(tally.is_good())
}
