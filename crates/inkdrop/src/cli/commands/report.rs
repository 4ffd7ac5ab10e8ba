//! `inkdrop report`: one HTML page about a training run.

mod animate;
mod environment;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use inkdrop::data::output::write_atomic;
use inkdrop::report::{Extras, Run, page};
use inkdrop::torch::DeviceChoice;

use crate::output::sink::check_place;

/// Write a training run as one HTML page
///
/// The page contains loss curves, samples over time, an animation of the denoising, the noise
/// schedule, the config, and evaluations in RUN/evaluations/NAME.json (`inkdrop eval … --json`).
/// The run may still be in progress.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run directory of `inkdrop train --out`
    run: PathBuf,
    /// Output: x.html [default: report.html in the run directory]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// DDIM steps of the animation; models of few steps have their own number
    #[arg(long, value_name = "N", default_value_t = 50)]
    model_steps: usize,
    /// Omit the animation, which needs one network call per step
    #[arg(long)]
    no_animation: bool,
    /// Device: auto, cpu, cuda or cuda:N
    #[arg(long, default_value_t)]
    device: DeviceChoice,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    ensure!(arguments.model_steps > 0, "--model-steps 0: expected at least 1");
    let run = Run::open(&arguments.run)?;
    let out = arguments.out.clone().unwrap_or_else(|| arguments.run.join("report.html"));
    ensure!(
        out.extension().is_some_and(|ending| ending == "html" || ending == "htm"),
        "--out {}: expected a name that ends in .html",
        out.display()
    );
    check_place(&out)?;
    let device = arguments.device.resolve()?;
    let mut extras = Extras { environment: environment::of(device), ..Extras::default() };
    if run.finished && !arguments.no_animation {
        eprintln!("denoising …");
        match animate::denoising(&arguments.run, arguments.model_steps, arguments.device) {
            Ok(animation) => extras.animation = Some(animation),
            // The page is useful without it.
            Err(error) => extras.notes.push(format!("No animation: {error:#}")),
        }
    }
    let html = page(&run, &extras);
    write_atomic(&out, |file| file.write_all(html.as_bytes()))?;
    for note in &extras.notes {
        eprintln!("note: {note}");
    }
    eprintln!("{} in {}", size(html.len()), out.display());
    Ok(0)
}

/// `340 kB`, `1.2 MB`.
fn size(bytes: usize) -> String {
    match bytes as f64 / 1e3 {
        kb if kb < 1e3 => format!("{kb:.0} kB"),
        kb => format!("{:.1} MB", kb / 1e3),
    }
}
