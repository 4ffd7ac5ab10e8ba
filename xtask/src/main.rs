//! Development commands of the workspace: `cargo xtask <task>`.

mod bench;
mod check;
mod demo;
mod doctor;
mod libtorch;
mod online;
mod python;
mod tasks;
mod torchrun;
mod workspace;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use workspace::Workspace;

/// Subcommands of `inkdrop` that are tasks, too.
const INKDROP: [&str; 10] =
    ["train", "sample", "edit", "inspect", "convert", "plan", "eval", "report", "serve", "watch"];

const INKDROP_HELP: &str = "\
These tasks build inkdrop and pass all arguments on; each has its own `--help`:
  train        Train a model
  sample       Sample images
  edit         Edit images
  inspect      Describe a checkpoint
  convert      Convert weights between formats
  plan         Print a network's layers, FLOPs and memory
  eval         Evaluate a model or samples
  report       Write the HTML page of a training run
  serve        Show models and training runs on a local web page
  watch        Watch a training run in the terminal";

/// Development commands of the inkdrop workspace. They install libtorch first if it is missing.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = INKDROP_HELP)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install libtorch, or use an existing one
    Setup(tasks::SetupOptions),
    /// Check the tools of this machine and suggest repairs
    Doctor,
    /// Build, then sample a grid of sprites and an animation of their denoising
    Demo {
        /// Folder for the images
        #[arg(long, value_name = "DIR", default_value = "out")]
        out: PathBuf,
    },
    /// Run all tests; arguments go to `cargo test`
    Test(Rest),
    /// Check format, lints, docs and licences
    Check,
    /// Check golden cases of the PyTorch programs; arguments go to inkdrop-parity, `--online` generates new cases first
    #[command(disable_help_flag = true)]
    Parity(Rest),
    /// Check that TensorBoard reads the event files
    Tensorboard {
        /// Use this Python interpreter, which has tensorboard
        #[arg(long, value_name = "PATH")]
        python: Option<PathBuf>,
    },
    /// Drive the page of `inkdrop serve` in a browser; screenshots go to target/release/page
    Page {
        /// Use this Python interpreter, which has playwright
        #[arg(long, value_name = "PATH")]
        python: Option<PathBuf>,
        /// The browser: Chromium or Chrome
        #[arg(long, value_name = "PATH", default_value = "chromium")]
        browser: PathBuf,
    },
    /// Check that PyTorch's torchrun starts and restarts inkdrop to the bytes of `inkdrop launch`
    Torchrun(torchrun::Options),
    /// Run the benchmarks; arguments go to `cargo bench`
    ///
    /// `--compare pytorch` compares with PyTorch instead: outputs first, then time and memory. `--growth`
    /// measures how time and memory scale with batch size, resolution and steps. Each has its own `--help`.
    Bench(Rest),
    /// Compare the GPU's results with the CPU's, then time them; exits with 0 (correct), 1 (wrong) or 2 (no GPU)
    GpuCheck(tasks::GpuOptions),
    /// A subcommand of inkdrop, and its arguments.
    #[command(external_subcommand)]
    Inkdrop(Vec<OsString>),
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
        Task::Setup(options) => tasks::setup(&ws, &options),
        Task::Doctor => doctor::run(&ws),
        Task::Demo { out } => demo::run(&ws, &out),
        Task::Test(rest) => tasks::test(&ws, &rest.args),
        Task::Check => check::run(&ws),
        Task::Parity(rest) if rest.args.iter().any(|arg| arg == "--online" || arg == "--live") => {
            online::run(&ws, &rest.args)
        }
        Task::Parity(rest) => tasks::parity(&ws, &rest.args),
        Task::Tensorboard { python } => tasks::tensorboard(&ws, python),
        Task::Page { python, browser } => tasks::page(&ws, python, &browser),
        Task::Torchrun(options) => torchrun::run(&ws, &options),
        Task::Bench(rest) => bench::run(&ws, &rest.args),
        Task::GpuCheck(options) => tasks::gpu_check(&ws, &options),
        Task::Inkdrop(args) => tasks::inkdrop(&ws, &args),
    }
}

/// The task of the command line. An unknown one ends the process.
fn task() -> Task {
    let task = Cli::parse().task;
    if let Task::Inkdrop(args) = &task
        && !INKDROP.iter().any(|name| args[0] == *name)
    {
        let text = format!("unrecognized subcommand '{}'", args[0].to_string_lossy());
        Cli::command().error(ErrorKind::InvalidSubcommand, text).exit();
    }
    task
}

fn main() -> ExitCode {
    match run(task()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
