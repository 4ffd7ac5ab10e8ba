//! The process: which schedule, which steps of it, and in which units a network sees time.

use inkdrop_schedule::{Schedule, ScheduleConfig, Spacing};
use inkdrop_torch::tch::{Device, Kind, Tensor};
use ndarray::Array1;
use serde::{Deserialize, Serialize};

use crate::ProcessError;

/// A diffusion process, as configs and checkpoints spell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessConfig {
    /// How much noise each step adds.
    pub schedule: ScheduleConfig,
    /// What the network is given as t.
    pub time: TimeInput,
    /// How much noise an ancestral step puts back.
    pub variance: Variance,
    /// Whether the predicted image is held in [−1, 1] before a step is taken from it, and the
    /// noise derived anew from that (`clip_denoised` of improved-diffusion, `clip_sample` of
    /// diffusers). nanodiffusion and the sprites notebook do not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clip: bool,
}

/// What a network is given as t at step i of T, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeInput {
    /// i, the step's number in the full process.
    Index,
    /// i·1000/T, so that networks see the same range whatever T (improved-diffusion).
    Rescaled,
    /// (i + 1)/T in (0, 1] (the sprites notebook).
    Fraction,
}

/// Variance of an ancestral step (Ho et al. 2020, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variance {
    /// That of q(x_{t−1} | x_t, x_0).
    FixedSmall,
    /// β.
    FixedLarge,
}

/// How training images get their noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noising {
    /// √ᾱ·x0 + √(1−ᾱ)·ε (Ho et al. 2020, eq. 4).
    #[default]
    Exact,
    /// √ᾱ·x0 + (1−ᾱ)·ε, as the sprites notebook was published, without the root.
    Published,
}

impl ProcessConfig {
    /// The sprites notebook's process: 500 steps, t/T, β as variance.
    pub fn sprites() -> Self {
        Self {
            schedule: ScheduleConfig::SPRITES,
            time: TimeInput::Fraction,
            variance: Variance::FixedLarge,
            clip: false,
        }
    }
}

/// A process with its tables on a device.
#[derive(Debug)]
pub struct Process {
    config: ProcessConfig,
    schedule: Schedule,
    kept: Vec<usize>,
    sqrt_alphas_cumprod: Tensor,
    one_minus_alphas_cumprod: Tensor,
    times: Tensor,
}

impl Process {
    /// The full process of a config.
    ///
    /// # Errors
    /// The schedule cannot be.
    pub fn new(config: &ProcessConfig, device: Device) -> Result<Self, ProcessError> {
        let schedule = config.schedule.build()?;
        let kept = (0..schedule.steps()).collect();
        Self::with_tables(config, schedule, kept, device)
    }

    /// The same process in fewer steps; the network still sees the times it was trained with.
    ///
    /// [`Spacing::All`] gives this very process back, with its own β.
    ///
    /// # Errors
    /// The spacing asks for steps that there are not.
    pub fn respaced(&self, spacing: &Spacing) -> Result<Self, ProcessError> {
        let picks = spacing.picks(self.schedule.steps())?;
        let schedule = if picks.len() == self.schedule.steps() {
            self.schedule.clone()
        } else {
            self.schedule.respaced(&picks)?
        };
        let kept = picks.iter().map(|&pick| self.kept[pick]).collect();
        Self::with_tables(&self.config, schedule, kept, self.times.device())
    }

    fn with_tables(
        config: &ProcessConfig,
        schedule: Schedule,
        kept: Vec<usize>,
        device: Device,
    ) -> Result<Self, ProcessError> {
        let table = |values: &Array1<f64>| -> Result<Tensor, ProcessError> {
            Ok(Tensor::f_from_slice(&values.to_vec())?.f_to_device(device)?)
        };
        let total = config.schedule.steps() as f64;
        let time = |&step: &usize| match config.time {
            TimeInput::Index => step as f64,
            TimeInput::Rescaled => step as f64 * (1000.0 / total),
            TimeInput::Fraction => (step + 1) as f64 / total,
        };
        Ok(Self {
            sqrt_alphas_cumprod: table(&schedule.sqrt_alphas_cumprod())?,
            one_minus_alphas_cumprod: table(&schedule.alphas_cumprod().mapv(|bar| 1.0 - bar))?,
            times: table(&kept.iter().map(time).collect())?,
            config: config.clone(),
            schedule,
            kept,
        })
    }

    /// What the process was made from.
    pub fn config(&self) -> &ProcessConfig {
        &self.config
    }

    /// The tables, in f64.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Which steps of the full process these are, rising.
    pub fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// x after step t of the forward process (Ho et al. 2020, eq. 4).
    ///
    /// # Shapes
    /// - x0, noise: [B, C, H, W]
    /// - t: `[B]`, i64 in 0..T
    /// - returns [B, C, H, W]
    ///
    /// # Errors
    /// Shapes that do not fit, or t outside the process.
    pub fn q_sample(
        &self,
        x0: &Tensor,
        t: &Tensor,
        noise: &Tensor,
        noising: Noising,
    ) -> Result<Tensor, ProcessError> {
        let signal = gather(&self.sqrt_alphas_cumprod, t, x0)?;
        let variance = self.one_minus_alphas_cumprod.f_index_select(0, t)?;
        let spread = match noising {
            Noising::Exact => variance.f_sqrt()?,
            Noising::Published => variance,
        };
        let spread = like(&spread, x0)?;
        Ok(signal.f_mul(x0)?.f_add(&spread.f_mul(noise)?)?)
    }

    /// What the network is given as t.
    ///
    /// # Shapes
    /// - t: `[B]`, i64 in 0..T
    /// - returns `[B]` in f32
    ///
    /// # Errors
    /// t outside the process.
    pub fn network_time(&self, t: &Tensor) -> Result<Tensor, ProcessError> {
        Ok(self.times.f_index_select(0, t)?.f_to_kind(Kind::Float)?)
    }

    /// [`Process::network_time`] of one step for a whole batch, `[B]` in f32.
    ///
    /// # Errors
    /// libtorch cannot allocate it.
    pub fn network_time_at(&self, index: usize, batch: i64) -> Result<Tensor, ProcessError> {
        let time = self.times.f_narrow(0, index as i64, 1)?;
        Ok(time.f_to_kind(Kind::Float)?.f_expand([batch], false)?)
    }

    /// Standard deviation of the noise that an ancestral step at this index puts back.
    pub fn ancestral_std(&self, index: usize) -> f64 {
        let variance = match self.config.variance {
            Variance::FixedLarge if index > 0 => self.schedule.betas()[index],
            _ => self.schedule.posterior_log_variance_clipped()[index].exp(),
        };
        variance.sqrt()
    }
}

/// Entries t of a table in f64, as [B, 1, 1, 1] of x's kind.
fn gather(table: &Tensor, t: &Tensor, x: &Tensor) -> Result<Tensor, ProcessError> {
    like(&table.f_index_select(0, t)?, x)
}

/// `[B]` as [B, 1, …] with as many axes as x, in x's kind.
fn like(values: &Tensor, x: &Tensor) -> Result<Tensor, ProcessError> {
    let mut shape = vec![1i64; x.dim()];
    shape[0] = -1;
    Ok(values.f_to_kind(x.kind())?.f_view(&shape[..])?)
}
