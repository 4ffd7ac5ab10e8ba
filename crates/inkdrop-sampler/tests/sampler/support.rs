//! Data whose best predictions, and whose way from noise, are known.

use inkdrop_process::{Prediction, ProcessError};
use inkdrop_sampler::Denoiser;
use inkdrop_schedule::{NoiseLevel, SamplingSchedule, Schedule, ScheduleConfig, SolverStep};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_torch::{NoiseSource, NoiseTape, TorchNoise};

pub const F64: (Kind, Device) = (Kind::Double, Device::Cpu);

pub fn largest(x: &Tensor) -> f64 {
    f64::try_from(x.abs().max()).unwrap()
}

/// A mixture of Gaussians in every pixel: (weight, mean, deviation).
#[derive(Clone)]
pub struct Mixture(pub Vec<(f64, f64, f64)>);

impl Mixture {
    /// Two modes, unlike in all respects.
    pub fn two() -> Self {
        Self(vec![(0.4, -0.6, 0.25), (0.6, 0.5, 0.15)])
    }

    /// N(mean, deviation²).
    pub fn gaussian(mean: f64, deviation: f64) -> Self {
        Self(vec![(1.0, mean, deviation)])
    }

    /// Mean and variance of component k in x at a level.
    fn at(level: NoiseLevel, (_, mean, deviation): (f64, f64, f64)) -> (f64, f64) {
        let bar = level.alpha_cumprod;
        (bar.sqrt() * mean, bar * deviation * deviation + 1.0 - bar)
    }

    /// ln(weight·density) of each component at x.
    pub fn log_joint(&self, x: &Tensor, level: NoiseLevel) -> Vec<Tensor> {
        let one = |&part: &(f64, f64, f64)| {
            let (mean, variance) = Self::at(level, part);
            (x - mean).square() / (-2.0 * variance) + part.0.ln() - 0.5 * variance.ln()
        };
        self.0.iter().map(one).collect()
    }

    /// E[x0 | x].
    pub fn x0(&self, x: &Tensor, level: NoiseLevel) -> Tensor {
        let joint = Tensor::stack(&self.log_joint(x, level), 0).softmax(0, Kind::Double);
        let signal = level.signal();
        let mut sum = x.zeros_like();
        for (k, &part) in self.0.iter().enumerate() {
            let (mean, variance) = Self::at(level, part);
            let gain = signal * part.2.powi(2) / variance;
            sum += joint.get(k as i64) * ((x - mean) * gain + part.1);
        }
        sum
    }

    fn cdf(&self, x: f64, level: NoiseLevel) -> f64 {
        let erf = |z: f64| f64::try_from(Tensor::from(z).erf()).unwrap();
        let one = |&part: &(f64, f64, f64)| {
            let (mean, variance) = Self::at(level, part);
            part.0 * 0.5 * (1.0 + erf((x - mean) / (2.0 * variance).sqrt()))
        };
        self.0.iter().map(one).sum()
    }

    /// Where the probability flow takes x from one level to another: in one dimension it keeps
    /// every point's share of the mass below it.
    pub fn flow(&self, x: f64, from: NoiseLevel, to: NoiseLevel) -> f64 {
        let share = self.cdf(x, from);
        let (mut low, mut high) = (-10.0, 10.0);
        for _ in 0..200 {
            let middle = (low + high) / 2.0;
            if self.cdf(middle, to) < share { low = middle } else { high = middle }
        }
        (low + high) / 2.0
    }
}

impl Denoiser for Mixture {
    fn denoise(&self, x: &Tensor, step: &SolverStep) -> Result<Prediction, ProcessError> {
        let x0 = self.x0(x, step.from);
        let eps = (x - &x0 * step.from.signal()) / step.from.noise();
        let log_variance = Tensor::from(step.posterior_variance().ln());
        Ok(Prediction { x0, eps, log_variance, mean: None })
    }
}

pub fn schedule() -> Schedule {
    ScheduleConfig::linear(1000).build().unwrap()
}

/// A path over σ from `high` to `low`, both included, that does not go on to no noise.
pub fn levels(sigmas: impl IntoIterator<Item = f64>) -> SamplingSchedule {
    let schedule = schedule();
    let levels: Vec<NoiseLevel> =
        sigmas.into_iter().map(|sigma| schedule.level_at_sigma(sigma)).collect();
    SamplingSchedule::from_levels(&levels).unwrap()
}

/// Standard normal numbers of a generator of its own: tests run side by side.
pub fn normal(seed: i64, shape: &[i64]) -> Tensor {
    let mut noise = TorchNoise::seeded(seed).unwrap();
    noise.normal(shape, Device::Cpu).unwrap().to_kind(Kind::Double)
}

/// A tape of standard normal draws.
pub fn tape(draws: i64, shape: &[i64]) -> NoiseTape {
    let shape: Vec<i64> = [draws].iter().chain(shape).copied().collect();
    NoiseTape::new(normal(17, &shape))
}

/// A tape that nothing may be drawn from.
pub fn silence() -> NoiseTape {
    NoiseTape::new(Tensor::zeros([0, 1], F64))
}

/// The slope of log error against log steps, by least squares.
pub fn slope(points: &[(usize, f64)]) -> f64 {
    let points: Vec<(f64, f64)> = points.iter().map(|&(n, e)| ((n as f64).ln(), e.ln())).collect();
    let n = points.len() as f64;
    let (sx, sy) = points.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
    let sxy: f64 = points.iter().map(|(x, y)| x * y).sum();
    let sxx: f64 = points.iter().map(|(x, _)| x * x).sum();
    (n * sxy - sx * sy) / (n * sxx - sx * sx)
}
