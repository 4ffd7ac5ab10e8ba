//! `cargo xtask bench --growth`: scaling of time and memory with batch size, resolution and steps.
//!
//! Each figure comes from new processes with random weights. Only inkdrop is measured, without Python.

mod series;
mod table;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::{Value, json};

use series::{Grows, Point, Series, chosen};

use super::job::{Jobs, Pace};
use super::machine::{Machine, cores};
use super::programs::Ours;
use super::rows::Work;
use super::statistics::Summary;
use super::{finish, jobs, positive, report};
use crate::workspace::Workspace;

/// Measure how time and peak memory scale with batch size, resolution and steps.
#[derive(Parser)]
#[command(name = "cargo xtask bench --growth", bin_name = "cargo xtask bench")]
struct Options {
    /// Measure scaling
    #[arg(long)]
    growth: bool,
    /// Only rows whose name contains this: `batch/context`, `batch/ddpm_cifar10`, `pixels`, `steps`
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// New processes per figure; the median is shown
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    repeats: usize,
    /// Threads of each operation [default: the machine's cores]
    #[arg(long, value_name = "N", value_parser = positive)]
    threads: Option<usize>,
    /// Write all results as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the series and prints a table for each.
pub fn run(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    let program = OsString::from("bench");
    let options = Options::parse_from([program].iter().chain(args));
    let chosen = chosen(&options.filter)?;
    let libtorch = ws.need_libtorch()?;
    let threads = options.threads.unwrap_or_else(cores);
    let (jobs, ours) = (jobs(ws, threads)?, Ours::build(ws, threads, false)?);
    let machine = Machine::here(ws, &libtorch, threads);
    println!("\n{}", machine.describe());
    let mut all = Vec::new();
    for series in chosen {
        let mut points = Vec::new();
        for &size in series.sizes {
            eprintln!("{}: {size}", series.name);
            points.push(point(&ours, &jobs, series, size, options.repeats)?);
        }
        println!("{}", table::markdown(series, &points));
        all.push(table::as_json(series, &points));
    }
    if let Some(path) = &options.json {
        report::write(path, &json!({ "machine": machine.json(), "growth": all }))?;
    }
    finish(&jobs, false)
}

/// Measures one size in `repeats` new processes and returns the medians.
fn point(ours: &Ours, jobs: &Jobs, series: Series, size: usize, repeats: usize) -> Result<Point> {
    let Series { name, what, model, grows, .. } = series;
    let of = |which, usual| if grows == which { size } else { usual };
    let work = Work { what, model, batch: of(Grows::Batch, 1), steps: of(Grows::Steps, 1) };
    let mut job = jobs.fields(name, work, Pace::USUAL);
    job["weights"] = Value::Null;
    job["inputs"] = Value::Null;
    if grows == Grows::Side {
        job["size"] = size.into();
    }
    let file = jobs.write(name, &job)?;
    let outcomes = (0..repeats).map(|_| ours.job(&file)).collect::<Result<Vec<_>>>()?;
    let median = |figures: Option<Vec<f64>>| Some(Summary::of(&figures?)?.median);
    let seconds = median(outcomes.iter().map(|outcome| outcome.seconds("ours")).collect());
    Ok(Point {
        size,
        seconds: seconds.context("compare_ours printed no figures")?,
        peak_mib: median(outcomes.iter().map(|outcome| outcome.number("peak_mib")).collect()),
        gflop: outcomes.first().and_then(|outcome| outcome.number("gflop")),
    })
}
