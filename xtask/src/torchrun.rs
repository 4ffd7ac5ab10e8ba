//! `cargo xtask torchrun`: PyTorch's launcher starts, kills and restarts a training run of inkdrop.
//!
//! The run must end with the bytes of an undisturbed one that `inkdrop launch` started.

use crate::python::Python;
use crate::tasks::build;
use crate::workspace::{Workspace, run as run_child};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Options of the check.
#[derive(clap::Args)]
pub struct Options {
    /// Use this Python interpreter, which has the packages of `parity --online`
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
}

/// A run of about ten seconds with a checkpoint after each step.
const TRAIN: [&str; 14] = [
    "train",
    "sprites-classes",
    "--steps",
    "40",
    "--set",
    "model.features=16",
    "--set",
    "train.batch=4",
    "--set",
    "data.count=40",
    "--set",
    "train.checkpoint_every=1",
    "--unset",
    "validation",
];

/// Files that must be equal.
const COMPARED: [&str; 2] = ["final.safetensors", "checkpoints/step-0000040.safetensors"];

/// Limit of a run.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs the check; an error names the file that differs.
pub fn run(ws: &Workspace, options: &Options) -> Result<u8> {
    let python = Python::find(ws, options.python.clone())?;
    if build(ws, "inkdrop", &[])? != 0 {
        return Ok(1);
    }
    let folder = ws.bin_dir.join(format!("torchrun-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let checked = check(ws, &python, &folder);
    fs::remove_dir_all(&folder)?;
    checked.map(|()| 0)
}

fn check(ws: &Workspace, python: &Python, folder: &Path) -> Result<()> {
    let train = |command: &mut Command, out: &Path| {
        command.args(TRAIN).arg("--out").arg(out).env("OMP_NUM_THREADS", "1");
    };
    let (whole, killed) = (folder.join("whole"), folder.join("killed"));
    let mut launch = ws.binary("inkdrop");
    launch.args(["launch", "-n", "2"]);
    train(&mut launch, &whole);
    ensure!(run_child(&mut launch)? == 0, "inkdrop launch failed");
    let mut torchrun = python.command();
    torchrun.args(["-m", "torch.distributed.run", "--no-python", "--standalone"]);
    torchrun.args(["--max-restarts", "2", "--nproc-per-node", "2"]);
    torchrun.arg(ws.binary("inkdrop").get_program());
    train(&mut torchrun, &killed);
    disturbed(torchrun.spawn().context("cannot run torchrun")?, &killed)?;
    for name in COMPARED {
        let [one, other] = [&whole, &killed].map(|run| fs::read(run.join(name)));
        ensure!(one? == other?, "{name} of torchrun differs from that of inkdrop launch");
        println!("{name} is equal after a kill and a restart");
    }
    Ok(())
}

/// Kills worker 1 after the first checkpoint, and waits for the end of the restarted run.
fn disturbed(mut torchrun: Child, out: &Path) -> Result<()> {
    let killed = wait(&mut torchrun, || {
        out.join("checkpoints").read_dir().is_ok_and(|mut files| files.next().is_some())
    });
    let killed = killed.and_then(|()| kill_worker(out));
    if killed.is_err() {
        torchrun.kill().context("cannot end torchrun")?;
    }
    let status = torchrun.wait()?;
    killed?;
    ensure!(status.success(), "torchrun ended with {status}");
    Ok(())
}

fn wait(child: &mut Child, ready: impl Fn() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !ready() {
        ensure!(child.try_wait()?.is_none(), "torchrun ended before the first checkpoint");
        ensure!(begun.elapsed() < LIMIT, "torchrun saved no checkpoint in {LIMIT:?}");
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Kills the process of rank 1 that writes to this run directory.
fn kill_worker(out: &Path) -> Result<()> {
    for process in fs::read_dir("/proc").context("the check needs Linux")?.flatten() {
        let read = |name| fs::read(process.path().join(name)).unwrap_or_default();
        let has = |bytes: Vec<u8>, part: &[u8]| bytes.split(|byte| *byte == 0).any(|p| p == part);
        if has(read("cmdline"), out.as_os_str().as_encoded_bytes())
            && has(read("environ"), b"RANK=1")
        {
            let pid = process.file_name();
            let code = run_child(Command::new("kill").arg("-KILL").arg(&pid))?;
            ensure!(code == 0, "cannot kill {}", pid.to_string_lossy());
            return Ok(());
        }
    }
    bail!("no worker of rank 1 was found")
}
