//! Checks that PyTorch loads the files of `inkdrop convert`.

use super::python::Python;
use crate::pass;
use crate::workspace::{Workspace, run as run_child};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// Converts the checkpoint of every case and loads the results in PyTorch.
pub fn run(ws: &Workspace, python: &Python, cases: &Path, folder: &Path) -> Result<u8> {
    println!("\n==> loading inkdrop's files in PyTorch");
    ensure!(pass::build(ws)? == 0, "inkdrop cannot be built (see cargo's errors above)");
    let files = folder.join("files");
    let code = run_child(python.script("raw_checkpoints.py").arg(cases).arg("--out").arg(&files))?;
    ensure!(code == 0, "the checkpoints could not be written (see the errors above)");
    let jobs = files.join("jobs.tsv");
    let text = fs::read_to_string(&jobs).context("cannot read jobs.tsv")?;
    if text.trim().is_empty() {
        println!("no networks among the cases");
        return Ok(0);
    }
    let mut failed = 0;
    for line in text.lines().filter(|line| !line.is_empty()) {
        failed += u32::from(job(ws, line)? != 0);
    }
    println!("{failed} conversions failed");
    let code = run_child(python.script("check_files.py").arg(&jobs))?;
    Ok(if failed > 0 { 1 } else { code })
}

/// Runs a line of jobs.tsv: input, output, config or `-`, case.
fn job(ws: &Workspace, line: &str) -> Result<u8> {
    let columns: Vec<_> = line.split('\t').collect();
    let [input, output, config, _case] = columns[..] else {
        anyhow::bail!("expected four columns in each line of jobs.tsv, found: {line}");
    };
    let mut convert = ws.binary("inkdrop");
    convert.args(["convert", input, output]).stdout(Stdio::null());
    if config != "-" {
        convert.args(["--config", config]);
    }
    run_child(&mut convert)
}
