//! Noise levels and timesteps of a diffusers scheduler.

use inkdrop_schedule::{NoiseLevel, SolverStep};

use super::arguments::Arguments;
use super::names::{BetaSchedule, Class, Interpolation, Last};
use super::numpy::{interp, linspace, single};
use super::tables::{Tables, log_line};
use crate::Result;
use crate::error::ensure;

/// The steps of a scheduler.
pub(super) struct SchedulerSteps {
    pub steps: Vec<SolverStep>,
    /// σ of every level, for classes with σ: at least one more than steps.
    pub sigmas: Option<Vec<f64>>,
}

/// Inputs for the computation of the steps.
pub(super) struct Planner<'a> {
    pub class: Class,
    pub arguments: &'a Arguments,
    pub tables: &'a Tables,
    /// num_inference_steps.
    pub count: usize,
    /// The timesteps of the case. They are used where a value within rounding of a whole number is
    /// truncated, since either neighbour may result.
    pub recorded: &'a [f64],
}

impl Planner<'_> {
    pub(super) fn steps(&self) -> Result<SchedulerSteps> {
        ensure!(self.count > 0, "num_inference_steps is 0: expected 1 or more");
        if self.class.by_index() { self.by_index() } else { self.by_sigma() }
    }

    /// Steps from each timestep to the next (DDPM), or to the timestep T//n earlier (DDIM, PNDM).
    fn by_index(&self) -> Result<SchedulerSteps> {
        let times = self.spaced();
        let total = self.tables.steps();
        for &time in &times {
            let inside = (0.0..total as f64).contains(&time);
            ensure!(inside, "timestep {time} of this spacing is not within 0 to {}", total - 1);
        }
        let stride = (total / self.count) as f64;
        let end = self.end();
        let step = |i: usize| {
            let to = match self.class {
                Class::Ddpm => times.get(i + 1).copied().unwrap_or(-1.0),
                _ => times[i] - stride,
            };
            SolverStep::new(self.level(times[i]), if to < 0.0 { end } else { self.level(to) })
        };
        Ok(SchedulerSteps { steps: (0..times.len()).map(step).collect(), sigmas: None })
    }

    /// The level after timestep 0: noiseless, or that of timestep 0.
    fn end(&self) -> NoiseLevel {
        match (self.class, self.arguments.set_alpha_to_one) {
            (Class::Ddpm, _) | (Class::Ddim, None | Some(true)) | (Class::Pndm, Some(true)) => {
                NoiseLevel::NOISELESS
            }
            _ => NoiseLevel { alpha_cumprod: self.tables.bars[0], timestep: -1.0 },
        }
    }

    fn level(&self, time: f64) -> NoiseLevel {
        NoiseLevel { alpha_cumprod: self.tables.bars[time as usize], timestep: time }
    }

    /// Steps along the list of σ; ends with the list of timesteps if that is shorter.
    fn by_sigma(&self) -> Result<SchedulerSteps> {
        let (mut sigmas, times) = self.sigmas_and_times()?;
        sigmas.push(self.last_sigma(&sigmas));
        let sigmas: Vec<f64> = sigmas.into_iter().map(single).collect();
        let times = self.network_times(&sigmas, times);
        let step = |i: usize| {
            // Rounding may put the last σ above the one before it: use that one.
            let (from, mut to) = (sigmas[i], sigmas[i + 1]);
            if to > from && to < from * (1.0 + 1e-6) {
                to = from;
            }
            let end = match to {
                0.0 => NoiseLevel::NOISELESS,
                _ => NoiseLevel::from_sigma(to, times.get(i + 1).copied().unwrap_or(-1.0)),
            };
            SolverStep::new(NoiseLevel::from_sigma(from, times[i]), end)
        };
        let steps = (0..times.len()).map(step).collect();
        Ok(SchedulerSteps { steps, sigmas: Some(sigmas) })
    }

    /// σ without the last one, and the timesteps before rounding.
    fn sigmas_and_times(&self) -> Result<(Vec<f64>, Vec<f64>)> {
        let (arguments, tables) = (self.arguments, self.tables);
        let times = self.spaced();
        let mut sigmas: Vec<f64> = times.iter().map(|&time| interp(time, &tables.sigmas)).collect();
        if self.class == Class::Euler && arguments.interpolation_type == Interpolation::LogLinear {
            let logs = &tables.log_sigmas;
            sigmas = log_line(logs[logs.len() - 1], logs[0], self.count + 1)?;
        }
        let Some(sigmas) = self.curve(self.range(&sigmas)) else { return Ok((sigmas, times)) };
        let cosine = arguments.beta_schedule == BetaSchedule::SquaredCosine;
        let evenly = arguments.use_exponential_sigmas == Some(true);
        let whole = match self.class {
            Class::DpmMultistep => !evenly && !cosine,
            Class::UniPc | Class::Kdpm2 => !evenly,
            _ => false,
        };
        let time = |&sigma: &f64| {
            let time = tables.timestep_of_sigma(sigma);
            if whole { time.round_ties_even() } else { time }
        };
        let times = sigmas.iter().map(time).collect();
        Ok((sigmas, times))
    }

    /// Karras noise levels, or σ evenly spaced in ln σ (which Lu's λ with ρ = 1 equals).
    fn curve(&self, (high, low): (f64, f64)) -> Option<Vec<f64>> {
        let is = |flag: Option<bool>| flag == Some(true);
        if is(self.arguments.use_karras_sigmas) {
            let root = |sigma: f64| sigma.powf(1.0 / 7.0);
            let on_line = |u: f64| root(high) + u * (root(low) - root(high));
            let ramp = linspace(0.0, 1.0, self.count);
            return Some(ramp.into_iter().map(|u| on_line(u).powf(7.0)).collect());
        }
        let lu = self.class == Class::DpmMultistep && is(self.arguments.use_lu_lambdas);
        (lu || is(self.arguments.use_exponential_sigmas))
            .then(|| linspace(high.ln(), low.ln(), self.count).into_iter().map(f64::exp).collect())
    }

    /// Largest and smallest σ of the curve.
    fn range(&self, visited: &[f64]) -> (f64, f64) {
        let all = &self.tables.sigmas;
        let (high, low) = match self.class {
            Class::DpmMultistep | Class::UniPc => (all[all.len() - 1], all[0]),
            _ => (visited[0], visited[visited.len() - 1]),
        };
        match self.class {
            Class::Euler => {
                (self.arguments.sigma_max.unwrap_or(high), self.arguments.sigma_min.unwrap_or(low))
            }
            _ => (high, low),
        }
    }

    fn last_sigma(&self, before: &[f64]) -> f64 {
        let chooses = matches!(self.class, Class::Euler | Class::DpmMultistep | Class::UniPc);
        if !chooses || self.arguments.final_sigmas_type == Last::Zero {
            return 0.0;
        }
        let curved = self.arguments.use_karras_sigmas == Some(true)
            || self.arguments.use_exponential_sigmas == Some(true);
        match self.class {
            Class::UniPc if curved => before[before.len() - 1],
            _ => self.tables.sigmas[0],
        }
    }
}
