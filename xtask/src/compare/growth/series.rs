//! What grows: batch, side or steps, and in which sizes.

use anyhow::{Result, ensure};

/// One thing that grows.
#[derive(Debug, Clone, Copy)]
pub struct Series {
    /// Its name, which filters look at.
    pub name: &'static str,
    /// `forward` or `sampling`.
    pub what: &'static str,
    /// A preset.
    pub model: &'static str,
    /// What grows.
    pub grows: Grows,
    /// From what to what.
    pub sizes: &'static [usize],
}

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grows {
    /// Images at once.
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

/// One size of a series.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// Which.
    pub size: usize,
    /// Of a repetition.
    pub seconds: f64,
    /// The most that was resident.
    pub peak_mib: Option<f64>,
    /// Of one image's pass.
    pub gflop: Option<f64>,
}

/// Those whose name contains a text.
pub fn chosen(filter: &str) -> Result<Vec<Series>> {
    let chosen: Vec<Series> =
        ALL.into_iter().filter(|series| series.name.contains(filter)).collect();
    let names = ALL.map(|series| series.name).join(", ");
    ensure!(!chosen.is_empty(), "nothing that grows contains `{filter}`, expected one of {names}");
    Ok(chosen)
}

impl Grows {
    /// The table's first column.
    pub fn head(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Side => "side",
            Self::Steps => "steps",
        }
    }

    /// What time is counted by: how many there are, and their name.
    pub fn units(self, size: usize) -> (f64, &'static str) {
        match self {
            Self::Batch => (size as f64, "image"),
            Self::Side => ((size * size) as f64, "pixel"),
            Self::Steps => (size as f64, "step"),
        }
    }
}

impl Point {
    /// 10⁹ additions and multiplications in all.
    pub fn work(&self, series: Series) -> Option<f64> {
        let images = if series.grows == Grows::Batch { self.size } else { 1 };
        self.gflop.map(|gflop| gflop * images as f64)
    }
}

/// Seconds of a unit, and how they compare with those of the first point.
pub fn rate(series: Series, point: &Point, first: &Point) -> (f64, f64) {
    let of = |point: &Point| point.seconds / series.grows.units(point.size).0;
    (of(point), of(point) / of(first))
}
