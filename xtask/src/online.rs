//! `cargo xtask parity --online`: compares inkdrop with PyTorch on random configurations.
//!
//! The PyTorch modules are in `crates/inkdrop-parity/online`. They are checked against the golden
//! cases first, then generate new cases with random configurations.

use crate::python::Python;
use crate::tasks::{build, checker};
use crate::workspace::{Workspace, code, run as run_child};
use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// Compare with PyTorch on random configurations.
///
/// The first run creates a Python environment in .libtorch/live-python: about 3 GB to download, 5 GB on disk.
#[derive(Parser)]
#[command(name = "cargo xtask parity --online", bin_name = "cargo xtask parity")]
struct Options {
    /// Generate cases with PyTorch
    #[arg(long, alias = "live")]
    online: bool,
    /// Number of cases per family
    #[arg(long, value_name = "N", default_value_t = 4)]
    count: u32,
    /// Seed of the configurations and weights [default: the time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Only this family, or `layer`, `process`, `solver`, `train` or `curve`; may be given more than once
    #[arg(long, value_name = "NAME")]
    family: Vec<String>,
    /// Use this Python interpreter
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Skip the conversion check, which loads files of `inkdrop convert` in PyTorch
    #[arg(long)]
    no_convert: bool,
    /// More case files, and other arguments of inkdrop-parity
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// Runs all checks. Returns early if the PyTorch modules fail theirs; fails if any check fails.
pub fn run(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    let program = OsString::from("parity");
    let options = Options::parse_from([program].iter().chain(args));
    ws.need_libtorch()?;
    let online = Online { ws, python: Python::find(ws, options.python.clone())? };
    let beside = ws.bin_dir.parent().unwrap_or(&ws.bin_dir);
    let folder = beside.join(format!("live-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let code = online.steps(&options, &folder);
    if matches!(code, Ok(0)) {
        fs::remove_dir_all(&folder)?;
    } else {
        println!("the cases are kept in {}", folder.display());
    }
    code
}

/// The programs of the checks.
struct Online<'a> {
    ws: &'a Workspace,
    python: Python,
}

impl Online<'_> {
    /// A program of `crates/inkdrop-parity/online`.
    fn script(&self, name: &str) -> Command {
        let mut command = self.python.command();
        command.arg(self.ws.root().join("crates/inkdrop-parity/online").join(name));
        command
    }

    fn steps(&self, options: &Options, folder: &Path) -> Result<u8> {
        let golden = self.ws.root().join("../shared/parity");
        if golden.is_dir() {
            println!("\n==> checking the PyTorch modules against the golden cases");
            let failed = run_child(self.script("verify.py").arg(&golden))?;
            if failed != 0 {
                return Ok(failed);
            }
        } else {
            println!("the PyTorch modules are not checked: no golden cases in ../shared/parity");
        }
        let cases = folder.join("cases");
        let failed = self.export(options, &cases)?;
        if failed != 0 {
            return Ok(failed);
        }
        println!("\n==> comparing inkdrop with the PyTorch modules");
        let mut checker = checker(self.ws);
        let (tally, checked) = Tally::of(checker.arg(&cases).args(&options.rest))?;
        let converted = match options.no_convert {
            true => 0,
            false => self.convert(&cases, folder)?,
        };
        print!("\n{}", tally.summary());
        Ok(if checked != 0 { checked } else { converted })
    }

    /// Generates the cases with PyTorch.
    fn export(&self, options: &Options, cases: &Path) -> Result<u8> {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let seed = options.seed.unwrap_or_else(now);
        println!("\n==> generating cases; `--seed {seed}` repeats them");
        let mut export = self.script("export.py");
        export.arg("--out").arg(cases).args(["--seed", &seed.to_string()]);
        export.args(["--count", &options.count.to_string()]);
        for family in &options.family {
            export.args(["--family", family]);
        }
        run_child(&mut export)
    }

    /// Converts the checkpoint of every case and loads the results in PyTorch.
    fn convert(&self, cases: &Path, folder: &Path) -> Result<u8> {
        println!("\n==> loading inkdrop's files in PyTorch");
        let built = build(self.ws, "inkdrop", &[])? == 0;
        ensure!(built, "inkdrop cannot be built (see cargo's errors above)");
        let files = folder.join("files");
        let mut checkpoints = self.script("raw_checkpoints.py");
        let code = run_child(checkpoints.arg(cases).arg("--out").arg(&files))?;
        ensure!(code == 0, "the checkpoints could not be written (see the errors above)");
        let jobs = files.join("jobs.tsv");
        let text = fs::read_to_string(&jobs).context("cannot read jobs.tsv")?;
        if text.trim().is_empty() {
            println!("no networks among the cases");
            return Ok(0);
        }
        let mut failed = 0;
        for line in text.lines().filter(|line| !line.is_empty()) {
            failed += u32::from(self.job(line)? != 0);
        }
        println!("{failed} conversions failed");
        let code = run_child(self.script("check_files.py").arg(&jobs))?;
        Ok(if failed > 0 { 1 } else { code })
    }

    /// Runs a line of jobs.tsv: input, output, config or `-`, case.
    fn job(&self, line: &str) -> Result<u8> {
        let columns: Vec<_> = line.split('\t').collect();
        let [input, output, config, _case] = columns[..] else {
            bail!("expected four columns in each line of jobs.tsv, found: {line}");
        };
        let mut convert = self.ws.binary("inkdrop");
        convert.args(["convert", input, output]).stdout(Stdio::null());
        if config != "-" {
            convert.args(["--config", config]);
        }
        run_child(&mut convert)
    }
}

/// Counts of the checker's output by family.
#[derive(Debug, Default)]
struct Tally {
    families: BTreeMap<String, Family>,
}

#[derive(Debug, Default)]
struct Family {
    cases: BTreeSet<String>,
    not_covered: usize,
    failed: usize,
    /// Largest absolute error of an output.
    worst: Option<f64>,
}

impl Tally {
    /// Runs the checker, prints its lines and counts them. Returns the exit status, too.
    fn of(checker: &mut Command) -> Result<(Self, u8)> {
        let mut child = checker.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
        let mut tally = Tally::default();
        let lines = child.stdout.take().context("the checker has no output")?;
        for line in BufReader::new(lines).lines() {
            let line = line?;
            println!("{line}");
            tally.add(&line);
        }
        Ok((tally, code(child.wait()?)))
    }

    /// Parses `live_ddpm_3  out  4.6e-7 8.1e-4 2e-05 ok`, or `live_ddpm_3  unet of ddpm  not covered yet`.
    fn add(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        let Some((name, rest)) = words.split_first() else { return };
        let Some((family, _)) = name.strip_prefix("live_").and_then(|name| name.rsplit_once('_'))
        else {
            return;
        };
        let family = self.families.entry(family.to_owned()).or_default();
        family.cases.insert((*name).to_owned());
        if rest.ends_with(&["not", "covered", "yet"]) {
            family.not_covered += 1;
        }
        if let [what @ .., absolute, _, _, verdict] = rest
            && let Ok(absolute) = absolute.parse::<f64>()
        {
            family.failed += usize::from(*verdict != "ok");
            if what.first() == Some(&"out") {
                family.worst = Some(family.worst.unwrap_or(0.0).max(absolute));
            }
        }
    }

    /// A line for each family.
    fn summary(&self) -> String {
        let mut text =
            String::from("family               cases failed  not covered  worst output\n");
        for (name, family) in &self.families {
            let Family { cases, not_covered, failed, worst } = family;
            let cases = cases.len();
            let worst = worst.map_or("-".to_owned(), |worst| format!("{worst:.1e}"));
            text += &format!("{name:<20} {cases:>5} {failed:>6} {not_covered:>12}  {worst:>12}\n");
        }
        text
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(args: &str) -> Options {
        Options::try_parse_from(format!("parity {args}").split(' ')).unwrap()
    }

    #[test]
    fn unknown_arguments_are_passed_to_the_checker() {
        let options = parse("--online --count 2 --seed 7 --family ddpm --family layer one --two");
        assert_eq!((options.count, options.seed), (2, Some(7)));
        assert_eq!(options.family, ["ddpm", "layer"]);
        assert_eq!(options.rest, ["one", "--two"]);
        assert_eq!(parse("--online --two").rest, ["--two"]);
        assert!(parse("--live").online, "the option of earlier versions");
    }

    #[test]
    fn lines_add_up_by_family() {
        let mut tally = Tally::default();
        for line in [
            "case                         what                       abs     rel   tol",
            "live_improved_super_res_0    out                     4.6e-7  8.1e-4 2e-05 ok",
            "live_improved_super_res_0    grad:*                  1.0e+0  8.1e-4 1e-04 FAIL",
            "live_improved_super_res_1    out in f64              5.0e-7  8.1e-4 1e-06 ok",
            "live_unet2d_0                unet of unet2d             not covered yet",
            "context_eval                 out                     9.9e-7  8.1e-4 2e-05 ok",
            "3 ok, 1 failed, 1 not covered yet",
        ] {
            tally.add(line);
        }
        let text = tally.summary();
        let words = |i: usize| text.lines().nth(i).unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(words(1), ["improved_super_res", "2", "1", "0", "5.0e-7"], "{text}");
        assert_eq!(words(2), ["unet2d", "1", "0", "1", "-"], "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}
