//! Development commands of the workspace: `cargo xtask <task>`.

mod bench;
mod check;
mod demo;
mod doctor;
mod gpu_check;
mod libtorch;
mod online;
mod parity;
mod pass;
mod setup;
mod tensorboard;
mod test;
#[cfg(test)]
mod testing;
mod venv;
mod workspace;

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;
use workspace::Workspace;

/// Development commands of the inkdrop workspace. They install libtorch first if it is missing.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install libtorch, or use an existing one
    Setup(setup::Options),
    /// Check the tools of this machine and suggest repairs
    Doctor,
    /// Build, then sample a grid of sprites and an animation of their denoising
    Demo(demo::Options),
    /// Run all tests; arguments go to `cargo test`
    Test(Rest),
    /// Check format, lints, docs and licences
    Check,
    /// Check golden cases of the PyTorch programs; arguments go to inkdrop-parity, `--online` generates new cases first
    #[command(disable_help_flag = true)]
    Parity(Rest),
    /// Check that TensorBoard reads the event files
    Tensorboard(tensorboard::Options),
    /// Train a model; arguments go to `inkdrop train`
    #[command(disable_help_flag = true)]
    Train(Rest),
    /// Sample images; arguments go to `inkdrop sample`
    #[command(disable_help_flag = true)]
    Sample(Rest),
    /// Edit images; arguments go to `inkdrop edit`
    #[command(disable_help_flag = true)]
    Edit(Rest),
    /// Describe a checkpoint; arguments go to `inkdrop inspect`
    #[command(disable_help_flag = true)]
    Inspect(Rest),
    /// Convert weights between formats; arguments go to `inkdrop convert`
    #[command(disable_help_flag = true)]
    Convert(Rest),
    /// Print a network's layers, FLOPs and memory; arguments go to `inkdrop plan`
    #[command(disable_help_flag = true)]
    Plan(Rest),
    /// Evaluate a model or samples; arguments go to `inkdrop eval`
    #[command(disable_help_flag = true)]
    Eval(Rest),
    /// Write the HTML page of a training run; arguments go to `inkdrop report`
    #[command(disable_help_flag = true)]
    Report(Rest),
    /// Run the benchmarks; arguments go to `cargo bench`
    ///
    /// `--compare pytorch` compares with PyTorch instead: outputs first, then time and memory. `--growth`
    /// measures how time and memory scale with batch size, resolution and steps. Each has its own `--help`.
    Bench(Rest),
    /// Compare the GPU's results with the CPU's and time them; exits with 0 (correct), 1 (wrong) or 2 (no GPU)
    #[command(disable_help_flag = true)]
    GpuCheck(Rest),
}

/// Arguments that are passed on unchanged.
#[derive(Args)]
struct Rest {
    /// Passed on unchanged
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

fn run(task: Task) -> anyhow::Result<u8> {
    let ws = Workspace::find()?;
    match task {
        Task::Setup(options) => setup::run(&ws, &options),
        Task::Doctor => doctor::run(&ws),
        Task::Demo(options) => demo::run(&ws, &options),
        Task::Test(rest) => test::run(&ws, &rest.args),
        Task::Check => check::run(&ws),
        Task::Parity(rest) if rest.args.iter().any(|arg| arg == "--online" || arg == "--live") => {
            online::run(&ws, &rest.args)
        }
        Task::Parity(rest) => parity::run(&ws, &rest.args),
        Task::Tensorboard(options) => tensorboard::run(&ws, &options),
        Task::Train(rest) => pass::run(&ws, "train", &rest.args),
        Task::Sample(rest) => pass::run(&ws, "sample", &rest.args),
        Task::Edit(rest) => pass::run(&ws, "edit", &rest.args),
        Task::Inspect(rest) => pass::run(&ws, "inspect", &rest.args),
        Task::Convert(rest) => pass::run(&ws, "convert", &rest.args),
        Task::Plan(rest) => pass::run(&ws, "plan", &rest.args),
        Task::Eval(rest) => pass::run(&ws, "eval", &rest.args),
        Task::Report(rest) => pass::run(&ws, "report", &rest.args),
        Task::Bench(rest) => bench::run(&ws, &rest.args),
        Task::GpuCheck(rest) => gpu_check::run(&ws, &rest.args),
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
