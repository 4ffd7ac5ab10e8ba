//! The scaling series: batch size, resolution or steps, and the sizes that are measured.

use anyhow::{Result, ensure};

/// A scaling series: one quantity and its sizes.
#[derive(Debug, Clone, Copy)]
pub struct Series {
    /// The name, matched by `--filter`.
    pub name: &'static str,
    /// `forward` or `sampling`.
    pub what: &'static str,
    /// Preset of the network.
    pub model: &'static str,
    /// The quantity that is varied.
    pub grows: Grows,
    /// Its sizes, rising.
    pub sizes: &'static [usize],
}

/// The quantity that a series varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grows {
    /// Images per batch.
    Batch,
    /// Height and width of the images.
    Side,
    /// Steps of the sampler.
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

/// The measurement of one size.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// The size.
    pub size: usize,
    /// Seconds per repetition.
    pub seconds: f64,
    /// Peak resident memory in MiB.
    pub peak_mib: Option<f64>,
    /// GFLOP of the forward pass of one image.
    pub gflop: Option<f64>,
}

/// The series whose name contains `filter`.
pub fn chosen(filter: &str) -> Result<Vec<Series>> {
    let chosen: Vec<Series> =
        ALL.into_iter().filter(|series| series.name.contains(filter)).collect();
    let names = ALL.map(|series| series.name).join(", ");
    ensure!(!chosen.is_empty(), "no series contains `{filter}`, expected one of {names}");
    Ok(chosen)
}

impl Grows {
    /// Header of the table's first column.
    pub fn head(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Side => "side",
            Self::Steps => "steps",
        }
    }

    /// The number of units (images, pixels or steps) at this size, and their name.
    pub fn units(self, size: usize) -> (f64, &'static str) {
        match self {
            Self::Batch => (size as f64, "image"),
            Self::Side => ((size * size) as f64, "pixel"),
            Self::Steps => (size as f64, "step"),
        }
    }
}

impl Point {
    /// GFLOP of the whole batch.
    pub fn work(&self, series: Series) -> Option<f64> {
        let images = if series.grows == Grows::Batch { self.size } else { 1 };
        self.gflop.map(|gflop| gflop * images as f64)
    }
}

/// Seconds per unit, and their ratio to those of the first point (1 is linear scaling).
pub fn rate(series: Series, point: &Point, first: &Point) -> (f64, f64) {
    let of = |point: &Point| point.seconds / series.grows.units(point.size).0;
    (of(point), of(point) / of(first))
}
