//! Consistency training and distillation over a grid of noise levels (Song et al. 2023).

use inkdrop_schedule::LevelSpacing;
use inkdrop_torch::tch::Tensor;
use inkdrop_torch::to_device_async;
use serde::{Deserialize, Serialize};

use super::{ConsistencyBatch, Denoise, numbers};
use crate::ProcessError;
use crate::tables::mean_flat;

/// The largest number of noise levels.
pub(super) const MOST_LEVELS: usize = 65_536;

/// The distance of two images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsistencyMetric {
    /// Mean absolute difference.
    L1,
    /// Mean squared difference.
    #[default]
    L2,
}

/// The weight λ of a noise level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsistencyWeighting {
    /// 1, as in the paper.
    #[default]
    Uniform,
    /// σ⁻².
    Snr,
    /// σ⁻² + 1.
    SnrPlusOne,
    /// σ⁻² + σ_data⁻².
    Karras,
    /// max(σ⁻², 1).
    TruncatedSnr,
}

impl ConsistencyWeighting {
    fn weight(self, sigma: f64, sigma_data: f64) -> f64 {
        let snr = sigma.powi(-2);
        match self {
            Self::Uniform => 1.0,
            Self::Snr => snr,
            Self::SnrPlusOne => snr + 1.0,
            Self::Karras => snr + sigma_data.powi(-2),
            Self::TruncatedSnr => snr.max(1.0),
        }
    }
}

/// The loss over a grid of noise levels: f at a level and at the next lower one are to agree. As a loss of
/// its own it is consistency distillation, whose teacher leads from one level to the next.
///
/// In a config: `loss = { consistency-distillation = { levels = 18 } }`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsistencyGrid {
    /// Number of levels, N; 2 to 65536, 18 or 40 in the paper.
    pub levels: usize,
    /// Number of segments of a multistep consistency model (Heek et al. 2024), a divisor of N − 1; 1 is a
    /// consistency model. The model leads to the end of a segment, so that it samples by DDIM in as many
    /// steps.
    pub segments: usize,
    /// ρ of the spacing; > 0, 7 in the paper.
    pub rho: f64,
    /// The distance.
    pub metric: ConsistencyMetric,
    /// The weights.
    pub weighting: ConsistencyWeighting,
}

impl Default for ConsistencyGrid {
    /// The settings of CIFAR-10 in the paper, with squared differences.
    fn default() -> Self {
        let (metric, weighting) = (ConsistencyMetric::default(), ConsistencyWeighting::default());
        Self { levels: 18, segments: 1, rho: 7.0, metric, weighting }
    }
}

impl ConsistencyGrid {
    /// Validates the numbers.
    pub(super) fn check(&self) -> Result<(), ProcessError> {
        let Self { levels, segments, rho, .. } = *self;
        let refuse = |field, given, expected| Err(ProcessError::Field { field, given, expected });
        if !(2..=MOST_LEVELS).contains(&levels) {
            return refuse("levels", levels as f64, "2 to 65536");
        }
        if segments == 0 || !(levels - 1).is_multiple_of(segments) {
            return refuse("segments", segments as f64, "a divisor of levels − 1");
        }
        if !(rho > 0.0 && rho.is_finite()) {
            return refuse("rho", rho, "a finite number above 0");
        }
        Ok(())
    }

    /// The levels, the largest first:
    /// (σ_max^(1/ρ) + n/(N − 1)·(σ_min^(1/ρ) − σ_max^(1/ρ)))^ρ.
    ///
    /// - range: σ_min and σ_max
    pub fn sigmas(&self, (min, max): (f64, f64)) -> Vec<f64> {
        let (from, to) = (max.powf(1.0 / self.rho), min.powf(1.0 / self.rho));
        let last = self.levels - 1;
        let level = |n: usize| (from + n as f64 / last as f64 * (to - from)).powf(self.rho);
        // The ends are exact.
        std::iter::once(max).chain((1..last).map(level)).chain([min]).collect()
    }

    /// The noise levels at which the segments begin, the largest first.
    fn segment_starts(&self, range: (f64, f64)) -> Vec<f64> {
        let segment = (self.levels - 1) / self.segments;
        self.sigmas(range)[..self.levels - 1].iter().step_by(segment).copied().collect()
    }

    /// The spacing with which a model of several segments is sampled, by DDIM.
    ///
    /// - range: σ_min and σ_max
    ///
    /// # Errors
    /// A number of the grid is out of range.
    pub fn spacing(&self, range: (f64, f64)) -> Result<LevelSpacing, ProcessError> {
        self.check()?;
        Ok(LevelSpacing::Sigmas(self.segment_starts(range)))
    }

    /// The loss of each image, `[B]`: λ(t)·d(f(x_t; t), f⁻(x_r; r)), where x_r is one step of the
    /// probability flow away from x_t (Song et al. 2023, eq. 7 and 10).
    ///
    /// - student, target: f and f⁻, the latter without gradient
    /// - teacher: a denoiser whose Heun step leads to x_r (distillation, algorithm 2); without one,
    ///   x_r = x0 + r·ε (training, algorithm 3)
    ///
    /// # Errors
    /// Those of the denoisers.
    pub fn loss(
        &self,
        batch: ConsistencyBatch<'_>,
        sigma_data: f64,
        (student, target): (Denoise<'_>, Denoise<'_>),
        teacher: Option<Denoise<'_>>,
    ) -> Result<Tensor, ProcessError> {
        let ConsistencyBatch { sigmas, targets, .. } = batch;
        let x = batch.noisy(sigmas)?;
        let next = match teacher {
            Some(teacher) => heun(teacher, &x, sigmas, targets)?,
            None => batch.noisy(targets)?,
        };
        let apart = student(&x, sigmas)?.f_sub(&target(&next, targets)?)?;
        let distance = mean_flat(&match self.metric {
            ConsistencyMetric::L1 => apart.f_abs()?,
            ConsistencyMetric::L2 => apart.f_square()?,
        })?;
        let weight = |&sigma: &f64| self.weighting.weight(sigma, sigma_data);
        let weights = Tensor::f_from_slice(&sigmas.iter().map(weight).collect::<Vec<f64>>())?;
        let weights = to_device_async(&weights.f_to_kind(distance.kind())?, distance.device())?;
        Ok(distance.f_mul(&weights)?)
    }
}

/// Where the segments of a batch end (Heek et al. 2024, "Multistep Consistency Models").
pub(super) struct SegmentEnds {
    /// Noise level e of the end, one for each image; 0, the clean image, in the last segment.
    sigmas: Vec<f64>,
    /// 1/(1 − e/t): the loss is that of x̂, as the paper's is.
    scales: Vec<f64>,
}

impl SegmentEnds {
    /// - levels: t, one for each image
    pub(super) fn new(grid: &ConsistencyGrid, levels: &[f64], range: (f64, f64)) -> Self {
        let starts = grid.segment_starts(range);
        let end = |t: &f64| starts.iter().copied().find(|start| start < t).unwrap_or(0.0);
        let sigmas: Vec<f64> = levels.iter().map(end).collect();
        let scales = sigmas.iter().zip(levels).map(|(end, t)| 1.0 / (1.0 - end / t)).collect();
        Self { sigmas, scales }
    }

    /// The end of the segment as D(x; σ) predicts it: a DDIM step from σ to e, scaled. At the end itself
    /// it is x.
    pub(super) fn of(
        &self,
        x: &Tensor,
        sigmas: &[f64],
        denoised: Tensor,
    ) -> Result<Tensor, ProcessError> {
        if self.sigmas.iter().all(|end| *end == 0.0) {
            return Ok(denoised);
        }
        let ratios: Vec<f64> = self.sigmas.iter().zip(sigmas).map(|(end, s)| end / s).collect();
        let end = denoised.f_lerp_tensor(x, &numbers(&ratios, x)?)?;
        Ok(end.f_mul(&numbers(&self.scales, x)?)?)
    }
}

/// Heun's step of dx/dσ = (x − D(x; σ))/σ from t to r (Karras et al. 2022, algorithm 1).
fn heun(
    denoiser: Denoise<'_>,
    x: &Tensor,
    sigmas: &[f64],
    targets: &[f64],
) -> Result<Tensor, ProcessError> {
    let slope = |x: &Tensor, at: &[f64]| -> Result<Tensor, ProcessError> {
        Ok(x.f_sub(&denoiser(x, at)?)?.f_div(&numbers(at, x)?)?)
    };
    let steps: Vec<f64> = sigmas.iter().zip(targets).map(|(t, r)| r - t).collect();
    let step = numbers(&steps, x)?;
    let first = slope(x, sigmas)?;
    let second = slope(&x.f_add(&first.f_mul(&step)?)?, targets)?;
    Ok(x.f_add(&first.f_add(&second)?.f_mul(&step)?.f_mul_scalar(0.5)?)?)
}

/// Consistency training from scratch, with a number of levels that grows (Song et al. 2023, algorithm 3).
///
/// In a config: `loss = { consistency-training = { last_levels = 150 } }`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsistencyTraining {
    /// s₀, the number of levels at the start; ≥ 2, 2 in the paper.
    pub first_levels: usize,
    /// s₁, the number of levels at the end; s₀ to 65536, 150 or 200 in the paper.
    pub last_levels: usize,
    /// ρ of the spacing; > 0, 7 in the paper.
    pub rho: f64,
    /// The distance.
    pub metric: ConsistencyMetric,
    /// The weights.
    pub weighting: ConsistencyWeighting,
}

impl Default for ConsistencyTraining {
    /// The settings of CIFAR-10 in the paper, with squared differences.
    fn default() -> Self {
        Self {
            first_levels: 2,
            last_levels: 150,
            rho: 7.0,
            metric: ConsistencyMetric::default(),
            weighting: ConsistencyWeighting::default(),
        }
    }
}

impl ConsistencyTraining {
    /// Validates the numbers.
    pub(super) fn check(&self) -> Result<(), ProcessError> {
        let Self { first_levels: first, last_levels: last, .. } = *self;
        let refuse = |field, given, expected| Err(ProcessError::Field { field, given, expected });
        if first < 2 {
            return refuse("first_levels", first as f64, "2 or more");
        }
        if !(first..=MOST_LEVELS).contains(&last) {
            return refuse("last_levels", last as f64, "first_levels to 65536");
        }
        self.grid(2).check()
    }

    /// The number of levels at a step, ⌈√(k/K·((s₁ + 1)² − s₀²) + s₀²) − 1⌉ + 1 of step k of K.
    pub fn levels(&self, step: usize, steps: usize) -> usize {
        let (first, last) = (self.first_levels as f64, self.last_levels as f64);
        let progress = step as f64 / steps as f64;
        let grown = (progress * ((last + 1.0).powi(2) - first.powi(2)) + first.powi(2)).sqrt();
        (grown - 1.0).ceil().max(1.0) as usize + 1
    }

    /// The decay of the target's average at a step, exp(s₀·ln μ₀/N) with N one below the number of levels.
    /// Training uses the student itself as its target, a decay of 0 (Song & Dhariwal 2024).
    ///
    /// - initial: μ₀, 0.9 or 0.95 in the paper
    pub fn target_decay(&self, initial: f64, step: usize, steps: usize) -> f64 {
        let levels = (self.levels(step, steps) - 1) as f64;
        (self.first_levels as f64 * initial.ln() / levels).exp()
    }

    /// The loss over a number of levels.
    pub fn grid(&self, levels: usize) -> ConsistencyGrid {
        let Self { rho, metric, weighting, .. } = *self;
        ConsistencyGrid { levels, segments: 1, rho, metric, weighting }
    }
}
