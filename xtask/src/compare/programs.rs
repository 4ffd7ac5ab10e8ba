//! Starts the programs that are compared, each call in a new process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::job::{Jobs, Pace};
use super::outcome::Outcome;
use super::rows::Work;
use crate::online::python::Python;
use crate::pass;
use crate::workspace::{Workspace, code, run as run_child};

/// Environment variables that set the number of threads of libtorch and its libraries.
const THREADS: [&str; 2] = ["OMP_NUM_THREADS", "MKL_NUM_THREADS"];

/// Starts inkdrop's programs.
pub struct Ours<'a> {
    ws: &'a Workspace,
    threads: usize,
}

impl<'a> Ours<'a> {
    /// Builds the benchmark program.
    ///
    /// - whole: build the program `inkdrop`, too
    pub fn build(ws: &'a Workspace, threads: usize, whole: bool) -> Result<Self> {
        let mut cargo = ws.cargo();
        cargo.args(["build", "--release", "--package", "inkdrop-benches", "--bin", "compare_ours"]);
        // Two builds: one build of both packages would unify their features and compile everything again.
        let built = run_child(&mut cargo)? == 0 && (!whole || pass::build(ws)? == 0);
        ensure!(built, "inkdrop cannot be built (see cargo's errors above)");
        Ok(Self { ws, threads })
    }

    /// Runs a job.
    pub fn job(&self, job: &Path) -> Result<Outcome> {
        outcome(limited(self.ws.binary("compare_ours").arg(job), self.threads), self.threads)
    }

    /// Seconds from the start of the process to the first image.
    pub fn first_image(&self, out: &Path) -> Result<f64> {
        let mut sample = self.ws.binary("inkdrop");
        sample.args(["sample", "sprites", "-n", "1", "--steps", "25", "--out"]).arg(out);
        wall(limited(&mut sample, self.threads), out)
    }
}

/// Starts PyTorch's programs.
pub struct Theirs {
    python: Python,
    scripts: PathBuf,
    compiled: PathBuf,
    threads: usize,
}

impl Theirs {
    /// - folder: the cache of compiled kernels, shared by all processes
    pub fn new(ws: &Workspace, python: Python, folder: &Path, threads: usize) -> Self {
        let (scripts, compiled) = (ws.root().join("benches/compare"), folder.join("compiled"));
        Self { python, scripts, compiled, threads }
    }

    /// Versions of PyTorch and its libraries, as text.
    pub fn versions(&self, jobs: &Jobs) -> Result<String> {
        let work = Work { what: "forward", model: "sprites", batch: 1, steps: 1 };
        let mut job = jobs.fields("versions", work, Pace::NONE);
        job["modes"] = ["import"].into_iter().collect();
        Ok(self.job(&jobs.write("versions", &job)?)?.versions())
    }

    /// Writes the weights and inputs of a job unless they exist.
    pub fn prepare(&self, job: &Path) -> Result<()> {
        printed(self.script("prepare.py").arg(job)).map(drop)
    }

    /// Runs a job.
    pub fn job(&self, job: &Path) -> Result<Outcome> {
        outcome(self.script("baseline.py").arg(job), self.threads)
    }

    /// Seconds from the start of the process to the first image.
    pub fn first_image(&self, weights: &Path, out: &Path) -> Result<f64> {
        let threads = self.threads.to_string();
        wall(self.script("first_image.py").arg(weights).arg(threads).arg(out), out)
    }

    fn script(&self, name: &str) -> Command {
        let mut command = self.python.program(&self.scripts.join(name));
        command.env("TORCHINDUCTOR_CACHE_DIR", &self.compiled);
        limited(&mut command, self.threads);
        command
    }
}

/// Sets the number of threads of a command.
fn limited(command: &mut Command, threads: usize) -> &mut Command {
    THREADS.iter().fold(command, |command, name| command.env(name, threads.to_string()))
}

/// Runs a program and returns its standard output; its standard error is inherited.
fn printed(command: &mut Command) -> Result<String> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let code = code(output.status);
    ensure!(code == 0, "{program} ended with status {code} (see its output above)");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a job and checks that it used the requested number of threads.
fn outcome(command: &mut Command, threads: usize) -> Result<Outcome> {
    let outcome = Outcome::parse(&printed(command)?)?;
    let used = outcome.number("threads").unwrap_or(0.0);
    ensure!(
        used == threads as f64,
        "{} used {used} threads, expected {threads}: choose another number with --threads",
        Path::new(command.get_program()).display()
    );
    Ok(outcome)
}

/// Wall time in seconds of a process that writes an image.
fn wall(command: &mut Command, out: &Path) -> Result<f64> {
    std::fs::remove_file(out).ok();
    let begun = Instant::now();
    printed(command)?;
    let seconds = begun.elapsed().as_secs_f64();
    let picture = std::fs::read(out).with_context(|| format!("no image in {}", out.display()))?;
    ensure!(picture.starts_with(b"\x89PNG"), "{} is not a PNG file", out.display());
    Ok(seconds)
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn another_number_of_threads_is_refused() {
        let mut command = sh("echo \"{\\\"threads\\\": $OMP_NUM_THREADS}\"");
        assert!(outcome(limited(&mut command, 3), 3).is_ok());
        let text = outcome(&mut sh("echo '{\"threads\": 1}'"), 2).unwrap_err().to_string();
        assert!(text.contains("1 threads, expected 2"), "{text}");
    }

    #[test]
    fn a_failed_program_is_named() {
        let text = printed(&mut sh("exit 3")).unwrap_err().to_string();
        assert!(text.contains("sh ended with status 3"), "{text}");
    }

    #[test]
    fn a_picture_has_to_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a.png");
        assert!(wall(&mut sh("true"), &out).is_err());
        let mut paint = sh(&format!("printf '\\211PNG' > '{}'", out.display()));
        assert!(wall(&mut paint, &out).unwrap() > 0.0);
    }
}
