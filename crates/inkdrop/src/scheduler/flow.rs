//! Noise levels of the flow matching schedulers: t of x = (1 − t)·x0 + t·ε.

use inkdrop_schedule::SolverStep;

use super::names::TimeShift;
use super::numpy::{linspace, single};
use super::steps::{Planner, SchedulerSteps};
use crate::Result;
use crate::error::{Context, ensure};

impl Planner<'_> {
    /// Even t, shifted towards noise (Esser et al. 2024, eq. 23), stretched, or on a curve.
    pub(super) fn flow(&self) -> Result<SchedulerSteps> {
        let total = self.arguments.num_train_timesteps as f64;
        let mut sigmas = self.shifted(self.even())?;
        if let Some(end) = self.arguments.shift_terminal.filter(|end| *end != 0.0) {
            let scale = (1.0 - sigmas[sigmas.len() - 1]) / (1.0 - end);
            sigmas = sigmas.into_iter().map(|sigma| 1.0 - (1.0 - sigma) / scale).collect();
        }
        let sigmas: Vec<f64> = self.on_curve(sigmas).into_iter().map(single).collect();
        let mut times: Vec<f64> = match &self.given.timesteps {
            Some(times) => times.iter().map(|&time| single(time)).collect(),
            None => sigmas.iter().map(|sigma| single(sigma * total)).collect(),
        };
        ensure!(
            sigmas.iter().all(|sigma| (0.0..=1.0).contains(sigma)),
            "sigmas {sigmas:?}: expected 0 to 1 after the shift"
        );
        if !self.arguments.invert_sigmas {
            let with_end: Vec<f64> = sigmas.into_iter().chain([0.0]).collect();
            return Ok(self.along(with_end, &times));
        }
        // The list and the network's time run from data to noise; the levels are the same.
        let inverted: Vec<f64> = sigmas.iter().map(|sigma| single(1.0 - sigma)).collect();
        times = inverted.iter().map(|sigma| single(sigma * total)).collect();
        let noise = inverted.iter().map(|sigma| 1.0 - sigma).chain([0.0]).collect();
        let SchedulerSteps { steps, .. } = self.along(noise, &times);
        Ok(SchedulerSteps { steps, sigmas: Some(inverted.into_iter().chain([1.0]).collect()) })
    }

    /// t before the shift of set_timesteps. The constructor has shifted the ends already.
    fn even(&self) -> Vec<f64> {
        let total = self.arguments.num_train_timesteps as f64;
        if let Some(sigmas) = &self.given.sigmas {
            return sigmas.iter().map(|&sigma| single(sigma)).collect();
        }
        if let Some(times) = &self.given.timesteps {
            return times.iter().map(|&time| single(time) / total).collect();
        }
        let ends = [1.0, 1.0 / total].map(|sigma| match self.arguments.use_dynamic_shifting {
            true => single(sigma),
            false => single(shift(self.arguments.shift, single(sigma))),
        });
        let line = linspace(ends[0] * total, ends[1] * total, self.count);
        line.into_iter().map(|time| time / total).collect()
    }

    fn shifted(&self, sigmas: Vec<f64>) -> Result<Vec<f64>> {
        if !self.arguments.use_dynamic_shifting {
            let by = self.arguments.shift;
            return Ok(sigmas.into_iter().map(|sigma| shift(by, sigma)).collect());
        }
        let mu = self.given.mu.context("use_dynamic_shifting: the argument mu is missing")?;
        let factor = match self.arguments.time_shift_type {
            TimeShift::Exponential => mu.exp(),
            TimeShift::Linear => mu,
        };
        ensure!(factor > 0.0 && factor.is_finite(), "mu {mu}: expected a finite positive shift");
        Ok(sigmas.into_iter().map(|sigma| factor / (factor + (1.0 / sigma - 1.0))).collect())
    }

    /// Karras's, exponential or beta sigmas between the first and the last.
    fn on_curve(&self, sigmas: Vec<f64>) -> Vec<f64> {
        let ends = (sigmas[0], sigmas[sigmas.len() - 1]);
        Planner { count: sigmas.len(), ..*self }.curve(ends).unwrap_or(sigmas)
    }

    /// The flow sigmas of the multistep classes, without the last, and the timesteps before truncation.
    pub(super) fn flow_sigmas_of_multistep(&self) -> (Vec<f64>, Vec<f64>) {
        let (total, by) = (self.tables.steps() as f64, self.arguments.flow_shift);
        let alphas = linspace(1.0, 1.0 / total, self.count + 1);
        let sigmas = alphas.into_iter().skip(1).rev().map(|alpha| shift(by, 1.0 - alpha));
        let sigmas: Vec<f64> = sigmas.collect();
        let times = sigmas.iter().map(|sigma| sigma * total).collect();
        (sigmas, times)
    }
}

/// t shifted towards noise: s·t/(1 + (s − 1)·t).
fn shift(by: f64, sigma: f64) -> f64 {
    by * sigma / (1.0 + (by - 1.0) * sigma)
}

/// The first σ of a step on the path, and σ at its end.
pub(super) fn on_path(step: &SolverStep) -> [f64; 2] {
    [step.from, step.to].map(|level| level.noise() / (level.signal() + level.noise()))
}
