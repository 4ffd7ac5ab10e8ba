//! `cargo xtask gpu-check`: compares the GPU's results with the CPU's, and measures its speed.

mod cases;
mod checks;
mod machine;
mod options;
mod step;
mod tally;
mod timings;

use std::error::Error;
use std::process::ExitCode;

use inkdrop_torch::DeviceChoice;
use inkdrop_torch::tch::Device;

use options::Options;
use tally::Tally;

/// Result with any error as text.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

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
    let mut tally = Tally::default();
    for case in cases::all(options.quick) {
        checks::check(&case, device, &mut tally);
    }
    tally.sum_up();
    if options.timings && options.device != DeviceChoice::Cpu {
        timings::tables(&cases::all(options.quick), device)?;
    }
    Ok(tally.is_good())
}
