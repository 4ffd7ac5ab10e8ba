//! `cargo xtask parity`: checks golden cases and prints a line for each comparison.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use inkdrop_parity::{Comparison, Distance, Status, check_file};

/// Checks golden cases of the PyTorch programs against the crates.
///
/// A case of a kind that is not covered fails if its file is an argument. Inside a folder it is only
/// reported.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask parity")]
struct Arguments {
    /// Case files, or folders of cases [default: the committed cases, and ../shared/parity if it exists]
    paths: Vec<PathBuf>,
}

#[derive(Debug, Default)]
struct Count {
    ok: usize,
    failed: usize,
    not_covered: usize,
    /// The largest error relative to its tolerance, and its place.
    nearest: Option<(f64, String)>,
}

fn main() -> ExitCode {
    let paths = Arguments::parse().paths;
    let paths = if paths.is_empty() { default_paths() } else { paths };
    println!("{:<28} {:<22} {:>7} {:>7} {:>5}", "case", "what", "abs", "rel", "tol");
    let mut count = Count::default();
    for path in &paths {
        match files(path) {
            Ok(files) => files.iter().for_each(|file| check(file, file == path, &mut count)),
            Err(error) => {
                println!("{error:#} FAIL");
                count.failed += 1;
            }
        }
    }
    let Count { ok, failed, not_covered, nearest } = count;
    println!("{ok} ok, {failed} failed, {not_covered} not covered yet");
    if let Some((share, place)) = nearest {
        println!("worst: {:.0} % of its tolerance, {place}", share * 100.0);
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check(file: &Path, named: bool, count: &mut Count) {
    match check_file(file) {
        Err(error) => {
            println!("{}: {error:#} FAIL", file.display());
            count.failed += 1;
        }
        Ok(rows) if rows.is_empty() => {
            println!("{}: it contains no tensor to compare FAIL", file.display());
            count.failed += 1;
        }
        Ok(rows) => rows.iter().for_each(|row| {
            println!("{row}");
            count.note(row);
            match row.status {
                Status::NotCovered if !named => count.not_covered += 1,
                _ if row.ok() => count.ok += 1,
                _ => count.failed += 1,
            }
        }),
    }
}

impl Count {
    fn note(&mut self, row: &Comparison) {
        if let Status::Compared(Distance { error, tolerance, .. }) = row.status
            && tolerance > 0.0
        {
            let share = error / tolerance;
            if self.nearest.as_ref().is_none_or(|(most, _)| share > *most) {
                self.nearest = Some((share, format!("{} {}", row.case, row.what)));
            }
        }
    }
}

/// The committed cases, and those next to the checkout.
fn default_paths() -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/parity");
    if shared.is_dir() {
        return vec![fixtures, shared];
    }
    println!("../shared/parity does not exist: the larger cases are skipped");
    vec![fixtures]
}

/// The file itself, or the cases of a folder, sorted by name.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let folder = path.read_dir().with_context(|| format!("cannot read {}", path.display()))?;
    let mut files: Vec<PathBuf> = folder
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "safetensors"))
        .collect();
    anyhow::ensure!(!files.is_empty(), "{} contains no .safetensors files", path.display());
    files.sort();
    Ok(files)
}
