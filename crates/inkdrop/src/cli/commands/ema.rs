//! `inkdrop ema`: averages of any width from a run's checkpoints.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use inkdrop::posthoc_ema;
use inkdrop::train::RunFolder;

use crate::output::sink::{check_place, same_place};

/// Reconstruct an average of the weights with any width, after training
///
/// The run must have power-function averages, as by --set 'train.ema=["power=0.05","power=0.1"]', and
/// checkpoints along the way (train.keep_every). Karras et al. 2024, section 3.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run directory of `inkdrop train --out`
    run: PathBuf,
    /// Width of the average, as a share of the run; several by commas
    #[arg(long, value_name = "W", required = true, value_delimiter = ',')]
    width: Vec<f64>,
    /// Step of the average [default: that of the newest checkpoint]
    #[arg(long, value_name = "N")]
    step: Option<usize>,
    /// Output for a single width [default: ema-WIDTH.safetensors in the run directory]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments { run, width, step, out } = arguments;
    ensure!(
        out.is_none() || width.len() == 1,
        "--out names one file, --width has {} values: leave --out out",
        width.len()
    );
    for &width in width {
        let path = out.clone().unwrap_or_else(|| run.join(format!("ema-{width}.safetensors")));
        ensure!(
            path.extension().is_some_and(|ending| ending == "safetensors"),
            "--out {}: expected a name that ends in .safetensors",
            path.display()
        );
        check_place(&path)?;
        check_file_of_run(run, &path)?;
        posthoc_ema(run, width, *step)?.save(&path)?;
        eprintln!("width {width} in {}", path.display());
    }
    Ok(0)
}

/// Checks that the average replaces no result and no checkpoint of the run.
fn check_file_of_run(run: &Path, path: &Path) -> Result<()> {
    let folder = RunFolder::read(run)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let result = same_place(path, &run.join(&*name)) && name.starts_with("final");
    let checkpoint = folder.checkpoints_newest_first().any(|input| same_place(&input, path));
    ensure!(
        !result && !checkpoint,
        "{} is a file of the run and would be overwritten: choose another --out",
        path.display()
    );
    Ok(())
}
