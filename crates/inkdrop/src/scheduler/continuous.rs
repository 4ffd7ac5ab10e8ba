//! Noise levels of the schedulers without betas: EDM, consistency models, iPNDM.

use inkdrop_schedule::{NoiseLevel, SolverStep};
use inkdrop_torch::tch::Tensor;

use super::names::{Class, Last, SigmaSchedule};
use super::numpy::{linspace, single};
use super::steps::{Planner, SchedulerSteps};
use super::tables::{SINGLE, log_line, values};
use crate::Result;
use crate::error::ensure;

impl Planner<'_> {
    /// Karras et al. 2022, eq. 5, or even spacing in ln σ. The network's time is ¼·ln σ.
    pub(super) fn edm(&self) -> Result<SchedulerSteps> {
        let (min, max) = self.arguments.sigma_range();
        let count = self.given.sigmas.as_ref().map_or(self.count, Vec::len);
        let mut sigmas = match (self.arguments.sigma_schedule, self.class) {
            (SigmaSchedule::Exponential, _) => {
                let mut rising = log_line(min.ln(), max.ln(), count)?;
                rising.reverse();
                rising
            }
            (SigmaSchedule::Karras, Class::EdmEuler) => {
                let ramp = self.given.sigmas.clone();
                let ramp = ramp.unwrap_or_else(|| linspace(0.0, 1.0, count));
                ensure!(
                    ramp.iter().all(|u| (0.0..=1.0).contains(u)),
                    "sigmas {ramp:?}: EDMEulerScheduler takes places on its curve, from 0 to 1"
                );
                ramp.into_iter().map(|u| single(self.karras(u))).collect()
            }
            (SigmaSchedule::Karras, _) => self.karras_in_single(count)?,
        };
        let times: Vec<f64> = values(&singles(&sigmas)?.f_log()?)?;
        let times: Vec<f64> = times.into_iter().map(|log| single(0.25 * log)).collect();
        sigmas.push(match (self.arguments.final_sigmas_type, self.class) {
            (Last::Zero, _) => 0.0,
            (Last::SigmaMin, Class::EdmEuler) => sigmas[sigmas.len() - 1],
            (Last::SigmaMin, _) => single(min),
        });
        Ok(self.along(sigmas, &times))
    }

    /// σ at a place on Karras's curve, 0 at σ_max to 1 at σ_min.
    fn karras(&self, u: f64) -> f64 {
        let ((min, max), rho) = (self.arguments.sigma_range(), self.arguments.rho);
        let (low, high) = (min.powf(1.0 / rho), max.powf(1.0 / rho));
        (high + u * (low - high)).powf(rho)
    }

    /// The curve in f32.
    fn karras_in_single(&self, count: usize) -> Result<Vec<f64>> {
        let ((min, max), rho) = (self.arguments.sigma_range(), self.arguments.rho);
        let (low, high) = (min.powf(1.0 / rho), max.powf(1.0 / rho));
        let ramp = Tensor::f_linspace(0.0, 1.0, count as i64, SINGLE)?;
        let root = ramp.f_mul_scalar(low - high)?.f_add_scalar(high)?;
        values(&root.f_pow_tensor_scalar(rho)?)
    }

    /// Every N//n-th level of the N on Karras's curve, down to σ_min. The network's time is 250·ln σ.
    pub(super) fn consistency(&self) -> Result<SchedulerSteps> {
        let total = self.arguments.num_train_timesteps;
        let indices: Vec<f64> = match &self.given.timesteps {
            Some(times) => {
                self.check_descending(times, total)?;
                times.iter().rev().map(|time| time.trunc()).collect()
            }
            None => {
                self.check_count(total)?;
                let n = self.count;
                (0..n).map(|i| (i * (total / n)) as f64).collect()
            }
        };
        let place = |index: f64| index / (total - 1) as f64;
        let curve: Vec<f64> = indices.into_iter().map(|i| self.karras(place(i))).collect();
        let times: Vec<f64> = curve.iter().map(|sigma| 250.0 * (sigma + 1e-44).ln()).collect();
        let mut sigmas: Vec<f64> = curve.into_iter().map(single).collect();
        sigmas.push(single(self.arguments.sigma_range().0));
        Ok(self.along(sigmas, &times))
    }

    /// x = α·x0 + β·ε with β = sin²(πs/2) at even s from 1 to 0, or given betas. The network's time is
    /// 2/π·atan(β/α).
    pub(super) fn ipndm(&self) -> Result<SchedulerSteps> {
        let betas = match &self.arguments.trained_betas {
            Some(betas) => singles(betas)?,
            None => {
                let line = Tensor::f_linspace(1.0, 0.0, self.count as i64 + 1, SINGLE)?;
                let angle = line.f_mul_scalar(std::f64::consts::PI)?.f_div_scalar(2.0)?;
                angle.f_sin()?.f_square()?
            }
        };
        let alphas = betas.f_square()?.f_neg()?.f_add_scalar(1.0)?.f_sqrt()?;
        let times =
            betas.f_atan2(&alphas)?.f_div_scalar(std::f64::consts::PI)?.f_mul_scalar(2.0)?;
        let (betas, alphas, times) = (values(&betas)?, values(&alphas)?, values(&times)?);
        ensure!(betas.len() > 1, "trained_betas: expected 2 or more");
        // ᾱ from the larger of the two, whose rounding matters less.
        let level = |i: usize| NoiseLevel {
            alpha_cumprod: match betas[i] < 0.5 {
                true => 1.0 - betas[i] * betas[i],
                false => alphas[i] * alphas[i],
            },
            timestep: times[i],
        };
        let last = betas.len() - 1;
        let end =
            |i: usize| NoiseLevel { timestep: if i == last { -1.0 } else { times[i] }, ..level(i) };
        let steps = (0..last).map(|i| SolverStep::new(level(i), end(i + 1))).collect();
        Ok(SchedulerSteps { steps, sigmas: None })
    }
}

/// A tensor of f32.
fn singles(values: &[f64]) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(values)?.f_to_kind(SINGLE.0)?)
}
