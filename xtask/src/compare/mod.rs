//! `cargo xtask bench --compare pytorch`: benchmarks inkdrop against PyTorch, after comparing the outputs.
//!
//! - All baselines read the same weights and inputs, in f32, with the same number of threads.
//! - Outputs are compared first. A baseline with different outputs is not timed.
//! - Both programs then run in pairs of new processes. The order is swapped in every other pair.
//! - A row is the median of the paired ratios. inkdrop against itself (A/A) measures the noise.
//! - The modes of PyTorch (eager, channels_last, compile) share one process; memory has one process for each.

mod comparison;
pub mod growth;
mod job;
mod machine;
mod outcome;
mod pairs;
mod programs;
mod report;
mod result;
mod rows;
mod statistics;
mod table;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use crate::online::python::Python;
use crate::workspace::Workspace;
use comparison::Comparison;
use job::Jobs;
use machine::Machine;
use programs::{Ours, Theirs};
use result::RowResult;
use rows::{BenchRow, Task};

/// Compare with PyTorch: outputs first, then time and memory.
///
/// Without --python, the first run makes a Python environment in .libtorch/live-python: about 3 GB to
/// download, 5 GB on disk. All rows take about an hour on two cores; nothing else should run.
#[derive(Parser)]
#[command(name = "cargo xtask bench --compare", bin_name = "cargo xtask bench")]
struct Options {
    /// Baseline to compare with
    #[arg(long, alias = "against", value_name = "BASELINE")]
    compare: BaselineName,
    /// Only rows whose name contains this, such as `forward/` or `context/64`
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Only these modes of PyTorch [default: all; eager is always included]
    #[arg(long, value_name = "MODE", value_delimiter = ',')]
    modes: Vec<String>,
    /// Pairs of processes per row
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = positive)]
    pairs: usize,
    /// Threads of each operation [default: the machine's cores]
    #[arg(long, value_name = "N", value_parser = positive)]
    threads: Option<usize>,
    /// Write all results as JSON, with the figures of every pair
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Use this Python interpreter
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
}

/// The baseline.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BaselineName {
    /// PyTorch, eager, in channels_last and compiled; numpy for schedules
    Pytorch,
}

/// Parses a number of at least 1.
fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err("expected a number of at least 1".to_owned()),
    }
}

/// Runs the rows. Fails if outputs differ or a process fails; a slower time is not a failure.
pub fn run(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    let program = OsString::from("bench");
    let options = Options::parse_from([program].iter().chain(args));
    let BaselineName::Pytorch = options.compare;
    let rows = options.rows()?;
    let libtorch = ws.need_libtorch()?;
    let threads = options.threads.unwrap_or_else(machine::cores);
    let python = Python::find(ws, options.python.as_deref())?;
    let jobs = jobs(ws, threads)?;
    let theirs = Theirs::new(ws, python, &jobs.folder, threads);
    let ours = Ours::build(ws, threads, rows.iter().any(|row| row.task == Task::FirstImage))?;
    let mut machine = Machine::here(ws, &libtorch, threads);
    machine.versions = theirs.versions(&jobs)?;
    println!("\n{}", machine.describe());
    let comparison = Comparison { jobs: &jobs, ours: &ours, theirs: &theirs, pairs: options.pairs };
    let mut all = Vec::new();
    for row in rows {
        all.push(comparison.run(row, &options.modes_of(row)));
        if let Some(path) = &options.json {
            report::write(path, &report::json(&machine, options.pairs, &all))?;
        }
    }
    println!("{}", table::markdown(&all));
    finish(&jobs, all.iter().any(RowResult::failed))
}

impl Options {
    fn rows(&self) -> Result<Vec<BenchRow>> {
        let rows = BenchRow::matching(&self.filter);
        let names = BenchRow::ALL.map(|row| row.name).join(", ");
        ensure!(!rows.is_empty(), "no row contains `{}`, expected one of {names}", self.filter);
        Ok(rows)
    }

    /// The baselines of a row. The first one is always included, since it is the reference.
    fn modes_of(&self, row: BenchRow) -> Vec<&'static str> {
        let selected =
            |mode: &str| self.modes.is_empty() || self.modes.iter().any(|own| own == mode);
        let all = row.modes().iter().copied().enumerate();
        all.filter(|&(number, mode)| number == 0 || selected(mode)).map(|(_, mode)| mode).collect()
    }
}

/// Creates an empty folder next to the binaries.
fn jobs(ws: &Workspace, threads: usize) -> Result<Jobs> {
    let beside = ws.bin_dir.parent().unwrap_or(&ws.bin_dir);
    let folder = beside.join(format!("compare-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let sprites = ws.root().join("crates/inkdrop/assets/sprites.safetensors");
    Ok(Jobs { folder, sprites, threads })
}

/// Removes the job files if the run succeeded.
fn finish(jobs: &Jobs, failed: bool) -> Result<u8> {
    if failed {
        println!("the jobs and their files are kept in {}", jobs.folder.display());
        return Ok(1);
    }
    fs::remove_dir_all(&jobs.folder)?;
    Ok(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(args: &str) -> Result<Options, clap::Error> {
        Options::try_parse_from(format!("bench {args}").split(' '))
    }

    #[test]
    fn nine_pairs_by_default() {
        let options = parse("--compare pytorch").unwrap();
        assert_eq!((options.pairs, options.threads), (9, None));
        assert_eq!(options.rows().unwrap().len(), BenchRow::ALL.len());
        assert!(parse("--against pytorch").is_ok(), "the option of earlier versions");
        assert!(parse("--compare pytorch --pairs 0").is_err());
        assert!(parse("--compare tensorflow").is_err());
    }

    #[test]
    fn a_filter_without_match_lists_all_rows() {
        let options = parse("--compare pytorch --filter nowhere").unwrap();
        let text = options.rows().unwrap_err().to_string();
        assert!(text.contains("`nowhere`") && text.contains("start/first_image"), "{text}");
    }

    #[test]
    fn the_reference_always_runs() {
        let options = parse("--compare pytorch --modes compile,other").unwrap();
        let row = BenchRow::matching("forward/context/1").remove(0);
        assert_eq!(options.modes_of(row), ["eager", "compile"]);
        assert_eq!(parse("--compare pytorch").unwrap().modes_of(row), row.modes());
    }
}
