//! Which noise levels a scheduler visits, and what it tells the network there.

use anyhow::{Result, ensure};
use inkdrop_schedule::{Leg, Level};

use super::arguments::{
    Algorithm, Arguments, BetaSchedule, Class, Interpolation, Last, Predicts, Spacing, TimestepType,
};
use super::numpy::{falling, interp, linspace, single};
use super::tables::{Tables, log_line};

/// The way that a scheduler goes.
pub(super) struct Route {
    pub legs: Vec<Leg>,
    /// σ of every level, where the class has any: one more than there are steps, or more.
    pub sigmas: Option<Vec<f64>>,
}

/// What a route is planned from.
pub(super) struct Planner<'a> {
    pub class: Class,
    pub arguments: &'a Arguments,
    pub tables: &'a Tables,
    /// num_inference_steps.
    pub count: usize,
    /// The timesteps that the case holds. They are taken where a fraction that lies within
    /// rounding of a whole number is cut off: which of the two neighbours it becomes is open.
    pub recorded: &'a [f64],
}

impl Planner<'_> {
    pub(super) fn route(&self) -> Result<Route> {
        ensure!(self.count > 0, "num_inference_steps is 0: expected 1 or more");
        if self.class.by_index() { self.by_index() } else { self.by_sigma() }
    }

    /// From each timestep to the next (DDPM), or to one T//n earlier whatever the next is.
    fn by_index(&self) -> Result<Route> {
        let times = self.spaced();
        let total = self.tables.steps();
        for &time in &times {
            let inside = (0.0..total as f64).contains(&time);
            ensure!(
                inside,
                "timestep {time} lies outside 0 to {}: the spacing asks for it",
                total - 1
            );
        }
        let stride = (total / self.count) as f64;
        let end = match (self.class, self.arguments.set_alpha_to_one) {
            (Class::Ddpm, _) | (Class::Ddim, None | Some(true)) | (Class::Pndm, Some(true)) => {
                Level::CLEAN
            }
            _ => Level { alpha_cumprod: self.tables.bars[0], time: -1.0 },
        };
        let leg = |i: usize| {
            let to = match self.class {
                Class::Ddpm => times.get(i + 1).copied().unwrap_or(-1.0),
                _ => times[i] - stride,
            };
            Leg::new(self.level(times[i]), if to < 0.0 { end } else { self.level(to) })
        };
        let legs = (0..times.len()).map(leg).collect();
        Ok(Route { legs, sigmas: None })
    }

    fn level(&self, time: f64) -> Level {
        Level { alpha_cumprod: self.tables.bars[time as usize], time }
    }

    /// Along a row of σ; where it is longer than that of the timesteps, the rest is not visited.
    fn by_sigma(&self) -> Result<Route> {
        let (mut sigmas, times) = self.sigmas_and_times()?;
        sigmas.push(self.last_sigma(&sigmas));
        let sigmas: Vec<f64> = sigmas.into_iter().map(single).collect();
        let times = self.network_times(&sigmas, times);
        let leg = |i: usize| {
            // A last σ that rounding puts above the one before it is that one.
            let (from, mut to) = (sigmas[i], sigmas[i + 1]);
            if to > from && to < from * (1.0 + 1e-6) {
                to = from;
            }
            let end = match to {
                0.0 => Level::CLEAN,
                _ => Level::of_sigma(to, times.get(i + 1).copied().unwrap_or(-1.0)),
            };
            Leg::new(Level::of_sigma(from, times[i]), end)
        };
        let legs = (0..times.len()).map(leg).collect();
        Ok(Route { legs, sigmas: Some(sigmas) })
    }

    /// σ without the last one, and timesteps as computed.
    fn sigmas_and_times(&self) -> Result<(Vec<f64>, Vec<f64>)> {
        let (arguments, tables) = (self.arguments, self.tables);
        let is = |flag: Option<bool>| flag == Some(true);
        let karras = is(arguments.use_karras_sigmas);
        let lu = is(arguments.use_lu_lambdas);
        let exponential = is(arguments.use_exponential_sigmas);
        let times = self.spaced();
        let mut sigmas: Vec<f64> = times.iter().map(|&time| interp(time, &tables.sigmas)).collect();
        if self.class == Class::Euler && arguments.interpolation_type == Interpolation::LogLinear {
            let logs = &tables.log_sigmas;
            sigmas = log_line(logs[logs.len() - 1], logs[0], self.count + 1)?;
        }
        if !(karras || lu || exponential) {
            return Ok((sigmas, times));
        }
        let (high, low) = self.range(&sigmas);
        let sigmas = if karras {
            let root = |sigma: f64| sigma.powf(1.0 / 7.0);
            let ramp = linspace(0.0, 1.0, self.count);
            let on_line = |u: f64| root(high) + u * (root(low) - root(high));
            ramp.into_iter().map(|u| on_line(u).powf(7.0)).collect()
        } else {
            let logs = linspace(high.ln(), low.ln(), self.count);
            logs.into_iter().map(f64::exp).collect::<Vec<f64>>()
        };
        let times: Vec<f64> = sigmas.iter().map(|&sigma| tables.time_of_sigma(sigma)).collect();
        let cosine = arguments.beta_schedule == BetaSchedule::SquaredCosine;
        let whole = match self.class {
            Class::DpmMultistep => (karras || lu) && !cosine,
            Class::UniPc | Class::Kdpm2 => karras,
            _ => false,
        };
        let times = times.into_iter().map(|t| if whole { t.round_ties_even() } else { t });
        Ok((sigmas, times.collect()))
    }

    /// The largest and the smallest σ of a curve over them.
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

    /// What the network is given: f32, whole numbers, or ¼·ln σ.
    fn network_times(&self, sigmas: &[f64], times: Vec<f64>) -> Vec<f64> {
        let arguments = self.arguments;
        let continuous = arguments.timestep_type == TimestepType::Continuous
            && arguments.prediction_type == Predicts::VPrediction;
        match self.class {
            Class::Euler if continuous => {
                sigmas[..sigmas.len() - 1].iter().map(|sigma| single(0.25 * sigma.ln())).collect()
            }
            Class::DpmMultistep | Class::UniPc => {
                times.iter().enumerate().map(|(i, &time)| self.cut_off(i, time)).collect()
            }
            _ => times.into_iter().map(single).collect(),
        }
    }

    /// The whole part of a time.
    fn cut_off(&self, i: usize, time: f64) -> f64 {
        let near = time.round();
        match self.recorded.get(i) {
            Some(&recorded) if (time - near).abs() < 1e-4 && near - recorded == 1.0 => recorded,
            _ if (time - near).abs() < 1e-4 => near,
            _ => time.trunc(),
        }
    }

    /// The timesteps by their spacing, the noisiest first.
    fn spaced(&self) -> Vec<f64> {
        let (total, n) = (self.tables.steps(), self.count);
        // DPM-Solver and UniPC leave out the last of n + 1.
        let inner = matches!(self.class, Class::DpmMultistep | Class::UniPc);
        let last = if self.class == Class::DpmMultistep { self.last_timestep() } else { total };
        let points = if inner { n + 1 } else { n };
        let mut times: Vec<f64> = match self.arguments.spacing(self.class) {
            Spacing::Linspace => {
                let line = linspace(0.0, (last - 1) as f64, points);
                let whole = inner || self.class.by_index();
                let fit = |t: f64| if whole { t.round_ties_even() } else { single(t) };
                line.into_iter().rev().map(fit).collect()
            }
            Spacing::Leading => {
                let stride = last / points;
                let offset = self.arguments.steps_offset;
                (0..points).rev().map(|i| (i * stride + offset) as f64).collect()
            }
            Spacing::Trailing => {
                let times = falling(last as f64, total as f64 / n as f64);
                return times.into_iter().map(|time| time.round_ties_even() - 1.0).collect();
            }
        };
        if inner {
            times.truncate(n);
        }
        times
    }

    /// How many steps have a λ of at least `lambda_min_clipped`.
    fn last_timestep(&self) -> usize {
        let least = self.arguments.lambda_min_clipped.unwrap_or(f64::NEG_INFINITY);
        self.tables.lambdas.iter().filter(|&&lambda| lambda >= single(least)).count()
    }
}

impl Arguments {
    /// Whether DPM-Solver takes fresh noise.
    pub(super) fn stochastic(&self) -> bool {
        matches!(self.algorithm_type, Algorithm::SdeDpmsolver | Algorithm::SdeDpmsolverPp)
    }
}
