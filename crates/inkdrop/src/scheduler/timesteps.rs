//! Timesteps of a diffusers scheduler.

use super::names::{Class, Predicts, TimestepSpacing, TimestepType};
use super::numpy::{falling, linspace, single};
use super::steps::Planner;
use crate::Result;
use crate::error::ensure;

impl Planner<'_> {
    /// The timesteps of the spacing, falling.
    pub(super) fn spaced(&self) -> Result<Vec<f64>> {
        let (total, n) = (self.tables.steps(), self.count);
        if let Some(times) = &self.given.timesteps {
            ensure!(
                !self.arguments.is_curved(),
                "timesteps beside use_karras_sigmas, use_exponential_sigmas or use_beta_sigmas"
            );
            self.check_descending(times, total)?;
            return Ok(times.iter().map(|time| time.trunc()).collect());
        }
        // The multistep classes drop the last of n + 1.
        let inner = self.class.is_multistep();
        let last = match self.class {
            Class::DpmMultistep | Class::DpmSinglestep | Class::SaSolver => self.last_timestep(),
            _ => total,
        };
        ensure!(last > 0, "lambda_min_clipped: it excludes all {total} timesteps");
        let points = if inner { n + 1 } else { n };
        let whole = inner || self.class.by_index();
        let fit = |t: f64| if whole { t.round_ties_even() } else { single(t) };
        let offset = self.arguments.steps_offset;
        Ok(match self.arguments.spacing(self.class) {
            TimestepSpacing::Linspace => {
                let line = linspace(0.0, (last - 1) as f64, points);
                line.into_iter().rev().take(n).map(fit).collect()
            }
            TimestepSpacing::Leading => {
                let most = if inner { last.saturating_sub(1) } else { last };
                self.check_count(most)?;
                let at = |i: usize| (i * (last / points) + offset) as f64;
                (0..points).rev().take(n).map(at).collect()
            }
            TimestepSpacing::Trailing => {
                let times = falling(last as f64, total as f64 / n as f64);
                times.into_iter().map(|time| time.round_ties_even() - 1.0).collect()
            }
        })
    }

    /// Number of timesteps with λ of at least `lambda_min_clipped`.
    fn last_timestep(&self) -> usize {
        let least = self.arguments.lambda_min_clipped.unwrap_or(f64::NEG_INFINITY);
        self.tables.lambdas.iter().filter(|&&lambda| lambda >= single(least)).count()
    }

    /// The network's time input: f32, whole numbers, or ¼·ln σ.
    pub(super) fn network_times(&self, sigmas: &[f64], times: Vec<f64>) -> Vec<f64> {
        let arguments = self.arguments;
        let continuous = arguments.timestep_type == TimestepType::Continuous
            && arguments.prediction_type == Predicts::VPrediction;
        match self.class {
            Class::Euler if continuous => {
                sigmas[..sigmas.len() - 1].iter().map(|sigma| single(0.25 * sigma.ln())).collect()
            }
            class if class.is_multistep() => {
                times.iter().enumerate().map(|(i, &time)| self.cut_off(i, time)).collect()
            }
            _ => times.into_iter().map(single).collect(),
        }
    }

    /// Truncates a timestep.
    fn cut_off(&self, i: usize, time: f64) -> f64 {
        let near = time.round();
        match self.recorded.get(i) {
            Some(&recorded) if (time - near).abs() < 1e-4 && near - recorded == 1.0 => recorded,
            _ if (time - near).abs() < 1e-4 => near,
            _ => time.trunc(),
        }
    }
}
