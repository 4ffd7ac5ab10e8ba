//! Timesteps of the schedulers of distilled models: LCM and TCD.

use inkdrop_schedule::{NoiseLevel, SolverStep};

use super::names::Class;
use super::numpy::linspace;
use super::steps::{Planner, SchedulerSteps};
use crate::Result;
use crate::error::ensure;

impl Planner<'_> {
    /// Steps from each timestep to the next. The last one of LCM leads to clean data, that of TCD to
    /// timestep 0.
    pub(super) fn distilled(&self) -> Result<SchedulerSteps> {
        let (times, cut) = self.distilled_timesteps()?;
        let end = match self.class {
            // With strength below 1, diffusers takes the last timestep of a list for an inner one.
            Class::Lcm if cut => self.bar(times[times.len() - 1]),
            Class::Lcm => NoiseLevel::NOISELESS,
            _ => self.bar(0.0),
        };
        let ends = times.iter().skip(1).map(|&time| self.bar(time)).chain([end]);
        let steps = times.iter().zip(ends).map(|(&time, end)| SolverStep::new(self.bar(time), end));
        Ok(SchedulerSteps { steps: steps.collect(), sigmas: None })
    }

    fn bar(&self, time: f64) -> NoiseLevel {
        NoiseLevel { alpha_cumprod: self.tables.bars[time as usize], timestep: time }
    }

    /// The timesteps, falling, and true if the first ones of a given list are left out.
    fn distilled_timesteps(&self) -> Result<(Vec<f64>, bool)> {
        let (total, n) = (self.tables.steps(), self.count);
        let strength = self.given.strength.unwrap_or(1.0);
        ensure!(
            strength > 0.0 && strength <= 1.0,
            "strength {strength}: expected above 0, up to 1"
        );
        if let Some(times) = &self.given.timesteps {
            self.check_descending(times, total)?;
            let kept = (times.len() as f64 * strength) as usize;
            ensure!(kept > 0, "strength {strength} leaves none of {} timesteps", times.len());
            let left = times[times.len() - kept..].iter().map(|time| time.trunc()).collect();
            return Ok((left, kept < times.len()));
        }
        let original = self.distillation_timesteps(strength)?;
        ensure!(
            n <= original.len(),
            "num_inference_steps {n}: expected 1 to {}, the timesteps of the distillation times strength",
            original.len()
        );
        // linspace(0, length, n, endpoint=False), rounded down.
        let places = linspace(0.0, original.len() as f64, n + 1);
        Ok((places[..n].iter().map(|place| original[place.floor() as usize]).collect(), false))
    }

    /// The timesteps of the distillation, falling.
    fn distillation_timesteps(&self, strength: f64) -> Result<Vec<f64>> {
        let total = self.tables.steps();
        let steps = self.given.original_inference_steps;
        let count = steps.unwrap_or(self.arguments.original_inference_steps);
        ensure!(
            (1..=total).contains(&count) && self.count <= count,
            "original_inference_steps {count}: expected {} to {total}",
            self.count
        );
        if self.class == Class::Tcd && steps.is_some() {
            let all = (total as f64 * strength) as usize;
            return Ok((0..all).rev().map(|time| time as f64).collect());
        }
        let (stride, all) = (total / count, (count as f64 * strength) as usize);
        Ok((1..=all).rev().map(|i| (i * stride - 1) as f64).collect())
    }
}
