//! Noise levels and timesteps of a diffusers scheduler.

use inkdrop_schedule::{FlowPath, MAX_STEPS, NoiseLevel, SolverStep};

use super::TimestepOptions;
use super::arguments::Arguments;
use super::beta;
use super::names::{BetaSchedule, Class, Interpolation, Last, Space};
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
    /// Other arguments of set_timesteps.
    pub given: &'a TimestepOptions,
    /// The timesteps of the case. They are used where a value within rounding of a whole number is
    /// truncated, since either neighbour may result.
    pub recorded: &'a [f64],
}

impl Planner<'_> {
    pub(super) fn steps(&self) -> Result<SchedulerSteps> {
        self.check_given()?;
        self.check_count(MAX_STEPS)?;
        match self.class {
            Class::EdmEuler | Class::EdmDpmMultistep => self.edm(),
            Class::Consistency => self.consistency(),
            Class::Ipndm => self.ipndm(),
            Class::FlowEuler | Class::FlowHeun => self.flow(),
            Class::Lcm | Class::Tcd => self.distilled(),
            class if class.by_index() => self.by_index(),
            _ => self.by_sigma(),
        }
    }

    /// Checks the number of steps.
    pub(super) fn check_count(&self, most: usize) -> Result<()> {
        let n = self.count;
        ensure!((1..=most).contains(&n), "num_inference_steps {n}: expected 1 to {most}");
        Ok(())
    }

    /// Checks that the class has the arguments of set_timesteps that are given.
    fn check_given(&self) -> Result<()> {
        let TimestepOptions { timesteps, sigmas, mu, strength, original_inference_steps } =
            self.given;
        let class = self.class;
        let distilled = matches!(class, Class::Lcm | Class::Tcd);
        let listed = distilled
            || matches!(
                class,
                Class::Ddpm | Class::DpmSinglestep | Class::Consistency | Class::FlowEuler
            );
        for (name, given, known) in [
            ("timesteps", timesteps.is_some(), listed),
            ("sigmas", sigmas.is_some(), matches!(class, Class::EdmEuler | Class::FlowEuler)),
            ("mu", mu.is_some(), class == Class::FlowEuler),
            ("strength", strength.is_some(), distilled),
            ("original_inference_steps", original_inference_steps.is_some(), distilled),
        ] {
            ensure!(known || !given, "{name}: not covered for this scheduler class");
        }
        for (name, list) in [("timesteps", timesteps), ("sigmas", sigmas)] {
            let Some(list) = list else { continue };
            ensure!(!list.is_empty(), "{name}: the list is empty");
            ensure!(list.iter().all(|value| value.is_finite()), "{name}: expected finite numbers");
        }
        Ok(())
    }

    /// Checks that given timesteps decrease and lie within the process.
    pub(super) fn check_descending(&self, times: &[f64], total: usize) -> Result<()> {
        let falls = times.windows(2).all(|pair| pair[0] > pair[1]);
        let inside = times.iter().all(|time| (0.0..total as f64).contains(time));
        ensure!(
            falls && inside,
            "timesteps {times:?}: expected descending numbers from 0 to {}",
            total - 1
        );
        Ok(())
    }

    /// Steps from each timestep to the next (DDPM), or to the timestep T//n earlier (DDIM, PNDM).
    fn by_index(&self) -> Result<SchedulerSteps> {
        let total = self.tables.steps();
        self.check_count(total)?;
        let times = self.spaced()?;
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
        Ok(self.along(sigmas, &times))
    }

    /// The steps along a list of σ, one more than timesteps.
    pub(super) fn along(&self, sigmas: Vec<f64>, times: &[f64]) -> SchedulerSteps {
        let flow = self.arguments.space(self.class) == Space::Flow;
        let level = |sigma: f64, timestep: f64| match flow {
            true => NoiseLevel { timestep, ..FlowPath::Linear.level(sigma) },
            false => NoiseLevel::from_sigma(sigma, timestep),
        };
        // Rounding may put the last σ above the one before it: use that one.
        let slack = if self.class == Class::EdmDpmMultistep { 1e-5 } else { 1e-6 };
        let step = |i: usize| {
            let (from, mut to) = (sigmas[i], sigmas[i + 1]);
            if to > from && to < from * (1.0 + slack) {
                to = from;
            }
            let end = match to {
                0.0 => NoiseLevel::NOISELESS,
                _ => level(to, times.get(i + 1).copied().unwrap_or(-1.0)),
            };
            SolverStep::new(level(from, times[i]), end)
        };
        let steps = (0..times.len()).map(step).collect();
        SchedulerSteps { steps, sigmas: Some(sigmas) }
    }

    /// σ without the last one, and the timesteps before rounding.
    fn sigmas_and_times(&self) -> Result<(Vec<f64>, Vec<f64>)> {
        let (arguments, tables) = (self.arguments, self.tables);
        let times = self.spaced()?;
        if self.arguments.use_flow_sigmas == Some(true) {
            return Ok(self.flow_sigmas_of_multistep());
        }
        let mut sigmas: Vec<f64> = times.iter().map(|&time| interp(time, &tables.sigmas)).collect();
        if self.class == Class::Euler && arguments.interpolation_type == Interpolation::LogLinear {
            let logs = &tables.log_sigmas;
            sigmas = log_line(logs[logs.len() - 1], logs[0], self.count + 1)?;
        }
        let Some(sigmas) = self.curve(self.range(&sigmas)) else { return Ok((sigmas, times)) };
        let cosine = arguments.beta_schedule == BetaSchedule::SquaredCosine;
        let evenly = arguments.is_curved() && arguments.use_karras_sigmas != Some(true);
        let whole = match self.class {
            Class::DpmMultistep => !evenly && !cosine,
            Class::UniPc | Class::Kdpm2 | Class::Kdpm2Ancestral => !evenly,
            Class::DpmSinglestep | Class::Deis | Class::SaSolver => !evenly,
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
    pub(super) fn curve(&self, (high, low): (f64, f64)) -> Option<Vec<f64>> {
        let is = |flag: Option<bool>| flag == Some(true);
        if is(self.arguments.use_karras_sigmas) {
            let root = |sigma: f64| sigma.powf(1.0 / 7.0);
            let on_line = |u: f64| root(high) + u * (root(low) - root(high));
            let ramp = linspace(0.0, 1.0, self.count);
            return Some(ramp.into_iter().map(|u| on_line(u).powf(7.0)).collect());
        }
        if is(self.arguments.use_beta_sigmas) {
            let shares =
                linspace(0.0, 1.0, self.count).into_iter().map(|u| beta::quantile(1.0 - u));
            return Some(shares.map(|share| low + share * (high - low)).collect());
        }
        let lu = self.class == Class::DpmMultistep && is(self.arguments.use_lu_lambdas);
        (lu || is(self.arguments.use_exponential_sigmas))
            .then(|| linspace(high.ln(), low.ln(), self.count).into_iter().map(f64::exp).collect())
    }

    /// Largest and smallest σ of the curve.
    fn range(&self, visited: &[f64]) -> (f64, f64) {
        let all = &self.tables.sigmas;
        let (high, low) = match self.class {
            class if class.is_multistep() => (all[all.len() - 1], all[0]),
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
        let repeats = matches!(self.class, Class::Deis | Class::SaSolver);
        let chooses = matches!(
            self.class,
            Class::Euler | Class::DpmMultistep | Class::UniPc | Class::DpmSinglestep
        );
        let zero = self.arguments.final_sigmas_type == Last::Zero;
        if !repeats && (!chooses || zero) {
            return 0.0;
        }
        let curved = self.arguments.is_curved() || self.arguments.use_flow_sigmas == Some(true);
        match self.class {
            Class::UniPc | Class::Deis | Class::SaSolver if curved => before[before.len() - 1],
            _ => self.tables.sigmas[0],
        }
    }
}
