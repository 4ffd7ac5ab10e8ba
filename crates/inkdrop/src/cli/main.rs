//! Diffusion models in Rust on libtorch: train, sample, inspect.
//!
//! ```text
//! inkdrop sample sprites -n 16 --class hero --out heroes.png
//! inkdrop edit inpaint sprites hero.png --box 4,9,8,5 --out inpainted.png
//! inkdrop train sprites --out runs/sprites
//! inkdrop launch -n 2 train sprites --out runs/sprites
//! inkdrop inspect runs/sprites/final.safetensors
//! inkdrop convert model.pt model.safetensors --config improved_cifar10
//! inkdrop plan improved_cifar10 --batch 8
//! inkdrop eval distance samples.npz sprites
//! inkdrop report runs/sprites
//! inkdrop ema runs/sprites --width 0.1
//! inkdrop distill runs/sprites-edm/final.safetensors --out runs/fast
//! inkdrop fit-schedule sprites --steps 5 --class each
//! inkdrop serve runs/sprites sprites
//! inkdrop watch runs/sprites
//! ```

mod commands;
mod interrupt;
mod options;
mod output;
mod processes;
mod progress;
mod stdout;
mod version;

use clap::{Parser, Subcommand};

use crate::interrupt::{INTERRUPTED, Interrupted};

/// Train, sample and evaluate diffusion models
#[derive(Debug, Parser)]
#[command(name = "inkdrop", version, arg_required_else_help = true, term_width = 80)]
#[command(disable_version_flag = true, subcommand_negates_reqs = true)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    /// Print the version
    #[arg(short = 'V', long, required = true)]
    version: bool,
    /// With --version: the kernels in use, and the libtorch
    #[arg(short, long, requires = "version")]
    verbose: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Sample(Box<commands::sample::Arguments>),
    Edit(Box<commands::edit::Arguments>),
    Train(Box<commands::train::Arguments>),
    Launch(commands::launch::Arguments),
    Inspect(commands::inspect::Arguments),
    Convert(commands::convert::Arguments),
    Plan(commands::plan::Arguments),
    Eval(commands::eval::Arguments),
    Report(commands::report::Arguments),
    Ema(commands::ema::Arguments),
    Distill(Box<commands::distill::Arguments>),
    FitSchedule(Box<commands::fit_schedule::Arguments>),
    #[cfg(feature = "serve")]
    Serve(commands::serve::Arguments),
    #[cfg(feature = "serve")]
    Watch(commands::watch::Arguments),
    Models(commands::models::Arguments),
    Data(commands::data::Arguments),
    Demo(commands::demo::Arguments),
}

fn main() {
    let code = Cli::try_parse().map_or_else(|message| print(&message), run);
    inkdrop::torch::exit_process(code)
}

/// Prints the help, the version or an error of the arguments. Returns the exit status.
fn print(message: &clap::Error) -> u8 {
    let _ = message.print();
    message.exit_code().try_into().unwrap_or(1)
}

/// Runs a command. Returns the exit status.
fn run(cli: Cli) -> u8 {
    inkdrop::torch::keep_freed_memory();
    let Some(command) = cli.command else { return version(cli.verbose) };
    let result = match command {
        Command::Sample(arguments) => commands::sample::run(&arguments),
        Command::Edit(arguments) => commands::edit::run(&arguments),
        Command::Train(arguments) => commands::train::run(&arguments),
        Command::Launch(arguments) => commands::launch::run(&arguments),
        Command::Inspect(arguments) => commands::inspect::run(&arguments),
        Command::Convert(arguments) => commands::convert::run(&arguments),
        Command::Plan(arguments) => commands::plan::run(&arguments),
        Command::Eval(arguments) => commands::eval::run(&arguments),
        Command::Report(arguments) => commands::report::run(&arguments),
        Command::Ema(arguments) => commands::ema::run(&arguments),
        Command::Distill(arguments) => commands::distill::run(&arguments),
        Command::FitSchedule(arguments) => commands::fit_schedule::run(&arguments),
        #[cfg(feature = "serve")]
        Command::Serve(arguments) => commands::serve::run(&arguments),
        #[cfg(feature = "serve")]
        Command::Watch(arguments) => commands::watch::run(&arguments),
        Command::Models(arguments) => commands::models::run(&arguments),
        Command::Data(arguments) => commands::data::run(&arguments),
        Command::Demo(arguments) => commands::demo::run(&arguments),
    };
    result.unwrap_or_else(|error| failed(&error))
}

/// Prints the version and, if verbose, what computes. Returns the exit status.
fn version(verbose: bool) -> u8 {
    let details = if verbose { version::details() } else { Ok(Vec::new()) };
    let text = details.map(|details| {
        let lines = std::iter::once(concat!("inkdrop ", env!("CARGO_PKG_VERSION")).to_string());
        lines.chain(details).collect::<Vec<_>>().join("\n")
    });
    let printed = text.and_then(|text| stdout::print_line(&text));
    printed.map_or_else(|error| failed(&error), |()| 0)
}

/// Prints an error. Returns the exit status.
fn failed(error: &anyhow::Error) -> u8 {
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        eprintln!("{interrupted}");
        return INTERRUPTED;
    }
    eprintln!("error: {}", message(error));
    1
}

/// An error and its causes, without causes that the message already contains.
fn message(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| {
        match (text.is_empty(), text.contains(&cause)) {
            (true, _) => cause,
            (false, true) => text,
            (false, false) => format!("{text}: {cause}"),
        }
    })
}
