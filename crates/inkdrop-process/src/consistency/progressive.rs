//! Progressive distillation (Salimans & Ho 2022, "Progressive Distillation for Fast Sampling of Diffusion
//! Models").

use inkdrop_schedule::{LevelSpacing, NoiseLevel};
use inkdrop_torch::tch::Tensor;
use serde::{Deserialize, Serialize};

use super::grid::MOST_LEVELS;
use super::numbers;
use crate::ProcessError;

/// A denoiser of images √ᾱ·x0 + √(1−ᾱ)·ε: D(x; σ), with one σ for each image, which may be infinite.
pub type DenoiseScaled<'a> = &'a dyn Fn(&Tensor, &[f64]) -> Result<Tensor, ProcessError>;

/// Progressive distillation: one DDIM step of the student leads where two steps of the teacher lead, so that
/// the student needs half as many (Salimans & Ho 2022, algorithm 2).
///
/// In a config: `loss = { progressive-distillation = { steps = 8 } }`.
///
/// ```
/// use inkdrop_process::ProgressiveDistillation;
///
/// let [four, two] = [4, 2].map(|steps| ProgressiveDistillation { steps, ..Default::default() });
/// let (range, teacher) = ((0.002, 80.0), four.sigmas((0.002, 80.0)));
/// assert_eq!(two.sigmas(range), [teacher[0], teacher[2], 0.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProgressiveDistillation {
    /// Number of sampling steps of the student; ≥ 1. The teacher has twice as many.
    pub steps: usize,
    /// ρ of the spacing; > 0, 7 by default (Karras et al. 2022, eq. 5). Flows are spaced evenly in time.
    pub rho: f64,
}

impl Default for ProgressiveDistillation {
    /// Eight steps.
    fn default() -> Self {
        Self { steps: 8, rho: 7.0 }
    }
}

impl ProgressiveDistillation {
    /// Validates the numbers.
    pub(super) fn check(&self) -> Result<(), ProcessError> {
        let Self { steps, rho } = *self;
        let refuse = |field, given, expected| Err(ProcessError::Field { field, given, expected });
        if !(1..MOST_LEVELS).contains(&steps) {
            return refuse("steps", steps as f64, "1 to 65535");
        }
        if !(rho > 0.0 && rho.is_finite()) {
            return refuse("rho", rho, "a finite number above 0");
        }
        Ok(())
    }

    /// The `steps + 1` noise levels of the student, the largest first and 0 at the end. Those of half as many
    /// steps are every second one of them.
    ///
    /// - range: σ_min and σ_max, which may be infinite
    pub fn sigmas(&self, range: (f64, f64)) -> Vec<f64> {
        let scale = Scale::new(self.rho, range);
        let level = |n: usize| scale.sigma(n as f64 / self.steps as f64);
        (0..self.steps).map(level).chain([0.0]).collect()
    }

    /// The spacing with which the student is sampled, by DDIM.
    ///
    /// - range: σ_min and σ_max, which may be infinite
    ///
    /// # Errors
    /// A number is out of range.
    pub fn spacing(&self, range: (f64, f64)) -> Result<LevelSpacing, ProcessError> {
        self.check()?;
        if range.1.is_infinite() {
            return Ok(LevelSpacing::Flow { steps: self.steps, shift: 1.0 });
        }
        let mut sigmas = self.sigmas(range);
        sigmas.truncate(self.steps);
        Ok(LevelSpacing::Sigmas(sigmas))
    }

    /// The loss of each image, `[B]`: the squared error of the student's x0 at noise level t against the x0
    /// whose DDIM step to level r arrives where two steps of the teacher arrive, weighted by 1/c_out².
    ///
    /// # Shapes
    /// - x: √ᾱ·x0 + √(1−ᾱ)·ε at the noise levels t, [B, C, H, W]
    /// - steps: t and r of each image, neighbours of [`ProgressiveDistillation::sigmas`]
    /// - weights: 1/c_out² at t, of the student's preconditioning
    ///
    /// # Errors
    /// Those of the denoisers.
    pub fn loss(
        &self,
        x: &Tensor,
        steps: &[(f64, f64)],
        range: (f64, f64),
        weights: &[f64],
        (student, teacher): (DenoiseScaled<'_>, DenoiseScaled<'_>),
    ) -> Result<Tensor, ProcessError> {
        let scale = Scale::new(self.rho, range);
        let middles: Vec<f64> = steps.iter().map(|&(t, r)| scale.middle(t, r)).collect();
        let (from, to): (Vec<f64>, Vec<f64>) = steps.iter().copied().unzip();
        let middle = ddim(x, &teacher(x, &from)?, &from, &middles)?;
        let end = ddim(&middle, &teacher(&middle, &middles)?, &middles, &to)?;
        let target = x0_of_step(x, &end, &from, &to)?;
        let squares = student(x, &from)?.f_sub(&target)?.f_square()?.f_flatten(1, -1)?;
        let error = squares.f_mean_dim([1i64].as_slice(), false, squares.kind())?;
        Ok(error.f_mul(&numbers(weights, &error)?.f_view_as(&error)?)?)
    }
}

/// The scale on which noise levels are evenly spaced: σ^(1/ρ), or the time σ/(1 + σ) of flows if σ_max is
/// infinite.
struct Scale {
    rho: Option<f64>,
    first: f64,
    last: f64,
}

impl Scale {
    fn new(rho: f64, (min, max): (f64, f64)) -> Self {
        match max.is_infinite() {
            true => Self { rho: None, first: 1.0, last: 0.0 },
            false => Self { rho: Some(rho), first: max.powf(1.0 / rho), last: min.powf(1.0 / rho) },
        }
    }

    /// - place: 0 at σ_max, 1 at σ_min
    fn sigma(&self, place: f64) -> f64 {
        self.unscaled(self.first + place * (self.last - self.first))
    }

    /// The level halfway between two, of which the lower may be 0, the end of sampling.
    fn middle(&self, from: f64, to: f64) -> f64 {
        self.unscaled(0.5 * (self.scaled(from) + self.scaled(to).max(self.last)))
    }

    fn scaled(&self, sigma: f64) -> f64 {
        match self.rho {
            Some(rho) => sigma.powf(1.0 / rho),
            None if sigma.is_infinite() => 1.0,
            None => sigma / (1.0 + sigma),
        }
    }

    fn unscaled(&self, value: f64) -> f64 {
        match self.rho {
            Some(rho) => value.powf(rho),
            None => value / (1.0 - value),
        }
    }
}

/// √ᾱ and √(1−ᾱ) at a σ.
fn signal_and_noise(sigma: f64) -> (f64, f64) {
    let level = NoiseLevel::from_sigma(sigma, 0.0);
    (level.signal(), level.noise())
}

/// DDIM's deterministic step (Song et al. 2021, eq. 12): x' = (b'/b)·x + (a' − a·b'/b)·x0 with a = √ᾱ and
/// b = √(1−ᾱ).
fn ddim(x: &Tensor, x0: &Tensor, from: &[f64], to: &[f64]) -> Result<Tensor, ProcessError> {
    let (of_x, of_x0) = coefs(from, to);
    Ok(x.f_mul(&numbers(&of_x, x)?)?.f_add(&x0.f_mul(&numbers(&of_x0, x)?)?)?)
}

/// The x0 whose DDIM step leads from x to `end`.
fn x0_of_step(x: &Tensor, end: &Tensor, from: &[f64], to: &[f64]) -> Result<Tensor, ProcessError> {
    let (of_x, of_x0) = coefs(from, to);
    let rest = end.f_sub(&x.f_mul(&numbers(&of_x, x)?)?)?;
    Ok(rest.f_div(&numbers(&of_x0, x)?)?)
}

/// The factors of x and of x0 in DDIM's step.
fn coefs(from: &[f64], to: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let pair = |(&from, &to): (&f64, &f64)| {
        let ((a, b), (a_next, b_next)) = (signal_and_noise(from), signal_and_noise(to));
        (b_next / b, a_next - a * b_next / b)
    };
    from.iter().zip(to).map(pair).unzip()
}
