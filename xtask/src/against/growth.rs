//! `cargo xtask bench --growth`: how do time and memory grow with batch, resolution and steps?
//!
//! Each figure is of fresh processes, with drawn weights; inkdrop alone, so no Python is needed.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::{Value, json};

use super::job::{Jobs, Pace};
use super::machine::{Machine, cores};
use super::programs::Ours;
use super::rows::Work;
use super::statistics::Summary;
use super::table::{ratio, seconds};
use super::{finish, jobs, positive, report};
use crate::workspace::Workspace;

/// Time and peak memory against batch, resolution and steps.
#[derive(Parser)]
#[command(name = "cargo xtask bench --growth", bin_name = "cargo xtask bench")]
struct Options {
    /// Measure growth
    #[arg(long)]
    growth: bool,
    /// Only rows whose name contains this: `batch/context`, `batch/ddpm_cifar10`, `pixels`, `steps`
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Fresh processes of every figure, of which the median is shown
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    repeats: usize,
    /// Threads of each operation [default: the machine's cores]
    #[arg(long, value_name = "N", value_parser = positive)]
    threads: Option<usize>,
    /// Write everything
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One thing that grows.
#[derive(Debug, Clone, Copy)]
struct Series {
    name: &'static str,
    what: &'static str,
    model: &'static str,
    grows: Grows,
    sizes: &'static [usize],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grows {
    Batch,
    Side,
    Steps,
}

const ALL: [Series; 4] = [
    series("batch/context", "forward", "sprites", Grows::Batch, &[1, 2, 4, 8, 16, 32, 64, 128]),
    series("batch/ddpm_cifar10", "forward", "ddpm_cifar10", Grows::Batch, &[1, 2, 4, 8]),
    series("pixels/ddpm_cifar10", "forward", "ddpm_cifar10", Grows::Side, &[16, 32, 64]),
    series("steps/context", "sampling", "sprites", Grows::Steps, &[10, 20, 40, 80]),
];

const fn series(
    name: &'static str,
    what: &'static str,
    model: &'static str,
    grows: Grows,
    sizes: &'static [usize],
) -> Series {
    Series { name, what, model, grows, sizes }
}

/// One size of a series.
#[derive(Debug, Clone, Copy)]
struct Point {
    size: usize,
    seconds: f64,
    peak_mib: Option<f64>,
    /// Of one image's pass.
    gflop: Option<f64>,
}

/// Runs the series and prints a table of each.
pub fn run(ws: &Workspace, args: &[OsString]) -> Result<u8> {
    let program = OsString::from("bench");
    let options = Options::parse_from([program].iter().chain(args));
    let chosen = chosen(&options.filter)?;
    let libtorch = ws.need_libtorch()?;
    let threads = options.threads.unwrap_or_else(cores);
    let (jobs, ours) = (jobs(ws, threads)?, Ours::build(ws, threads, false)?);
    let machine = Machine::here(ws, &libtorch, threads);
    println!("\n{}", machine.words());
    let mut all = Vec::new();
    for series in chosen {
        let mut points = Vec::new();
        for &size in series.sizes {
            eprintln!("{}: {size}", series.name);
            points.push(point(&ours, &jobs, series, size, options.repeats)?);
        }
        println!("{}", table(series, &points));
        all.push(as_json(series, &points));
    }
    if let Some(path) = &options.json {
        report::write(path, &json!({ "machine": machine.json(), "growth": all }))?;
    }
    finish(&jobs, false)
}

fn chosen(filter: &str) -> Result<Vec<Series>> {
    let chosen: Vec<Series> =
        ALL.into_iter().filter(|series| series.name.contains(filter)).collect();
    let names = ALL.map(|series| series.name).join(", ");
    ensure!(!chosen.is_empty(), "nothing that grows contains `{filter}`, expected one of {names}");
    Ok(chosen)
}

/// The medians of some fresh processes.
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
        seconds: seconds.context("contender says no figures")?,
        peak_mib: median(outcomes.iter().map(|outcome| outcome.number("peak_mib")).collect()),
        gflop: outcomes.first().and_then(|outcome| outcome.number("gflop")),
    })
}

impl Grows {
    /// The table's first column.
    fn head(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Side => "side",
            Self::Steps => "steps",
        }
    }

    /// What time is counted by: how many there are, and their name.
    fn units(self, size: usize) -> (f64, &'static str) {
        match self {
            Self::Batch => (size as f64, "image"),
            Self::Side => ((size * size) as f64, "pixel"),
            Self::Steps => (size as f64, "step"),
        }
    }
}

/// Markdown; a ratio to linear is the time of a unit over that of the first line.
fn table(series: Series, points: &[Point]) -> String {
    let unit = series.grows.units(1).1;
    let mut text = format!(
        "{}\n\n| {} | time | per {unit} | to linear | GFLOP | per GFLOP | to linear | peak |\n\
         |---|---|---|---|---|---|---|---|\n",
        series.name,
        series.grows.head()
    );
    for point in points {
        let (time, by_units) = rate(series, point, &points[0]);
        let flops = match (point.work(series), points[0].work(series)) {
            (Some(work), Some(first)) => {
                let (rate, start) = (point.seconds / work, points[0].seconds / first);
                format!("{work:.2} | {} | {}", seconds(rate), ratio(rate / start))
            }
            _ => "– | – | –".to_owned(),
        };
        let peak = point.peak_mib.map_or("–".to_owned(), |peak| format!("{peak:.0} MiB"));
        text += &format!(
            "| {} | {} | {} | {} | {flops} | {peak} |\n",
            point.size,
            seconds(point.seconds),
            per(time),
            ratio(by_units)
        );
    }
    text
}

/// Seconds of a unit, and how they compare with those of the first point.
fn rate(series: Series, point: &Point, first: &Point) -> (f64, f64) {
    let of = |point: &Point| point.seconds / series.grows.units(point.size).0;
    (of(point), of(point) / of(first))
}

/// A time that may be shorter than a microsecond.
fn per(value: f64) -> String {
    if value < 1e-6 { format!("{:.0} ns", value * 1e9) } else { seconds(value) }
}

impl Point {
    /// 10⁹ additions and multiplications in all.
    fn work(&self, series: Series) -> Option<f64> {
        let images = if series.grows == Grows::Batch { self.size } else { 1 };
        self.gflop.map(|gflop| gflop * images as f64)
    }
}

fn as_json(series: Series, points: &[Point]) -> Value {
    let point = |point: &Point| {
        let (unit, to_linear) = rate(series, point, &points[0]);
        json!({
            "size": point.size, "seconds": point.seconds, "seconds_per_unit": unit,
            "to_linear": to_linear, "gflop": point.work(series), "peak_mib": point.peak_mib,
        })
    };
    let unit = series.grows.units(1).1;
    json!({ "name": series.name, "unit": unit, "points": points.iter().map(point).collect::<Vec<_>>() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn point(size: usize, seconds: f64, gflop: Option<f64>) -> Point {
        Point { size, seconds, peak_mib: Some(300.0), gflop }
    }

    #[test]
    fn linear_growth_is_one() {
        let points = [point(1, 0.002, Some(0.3)), point(8, 0.012, Some(0.3))];
        let text = table(chosen("batch/context").unwrap()[0], &points);
        assert!(
            text.contains("| 1 | 2.00 ms | 2.00 ms | 1.00 | 0.30 | 6.67 ms | 1.00 | 300 MiB |")
        );
        assert!(
            text.contains("| 8 | 12.0 ms | 1.50 ms | 0.75 | 2.40 | 5.00 ms | 0.75 | 300 MiB |")
        );
    }

    #[test]
    fn pixels_are_squares_and_flops_are_of_the_plan() {
        let points = [point(16, 0.01, Some(3.0)), point(32, 0.05, Some(13.0))];
        let series = chosen("pixels").unwrap()[0];
        assert_eq!(rate(series, &points[1], &points[0]).1, 1.25);
        let text = table(series, &points);
        assert!(text.contains("| 16 | 10.0 ms | 39.1 µs |"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= super::super::table::WIDTH));
    }

    #[test]
    fn steps_have_no_flops() {
        let series = chosen("steps").unwrap()[0];
        assert!(table(series, &[point(10, 0.02, None)]).contains("| – | – | – |"));
        assert!(chosen("nowhere").is_err());
    }
}
