//! The diffusion process of improved-diffusion, built from its own arguments.

use anyhow::{Context, Result, bail};
use inkdrop_process::{PredictionType, Process, ProcessConfig, TimeInput, Variance};
use inkdrop_schedule::{ScheduleConfig, TimestepSpacing};
use inkdrop_torch::tch::Device;
use serde::Deserialize;

/// Arguments of SpacedDiffusion.
#[derive(Debug, Deserialize)]
pub(crate) struct Improved {
    noise_schedule: String,
    diffusion_steps: usize,
    #[serde(default)]
    timestep_respacing: String,
    model_mean_type: ModelMeanType,
    model_var_type: Var,
    #[serde(default)]
    clip_denoised: bool,
    rescale_timesteps: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ModelMeanType {
    Epsilon,
    #[serde(rename = "start_x")]
    Sample,
    #[serde(rename = "previous_x")]
    PosteriorMean,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Var {
    Learned,
    LearnedRange,
    FixedSmall,
    FixedLarge,
}

/// The noise schedule with improved-diffusion's name.
pub(crate) fn schedule(name: &str, steps: usize) -> Result<ScheduleConfig> {
    match name {
        "linear" => Ok(ScheduleConfig::linear(steps)),
        "cosine" => Ok(ScheduleConfig::cosine(steps)),
        other => bail!("noise_schedule `{other}`: expected linear or cosine"),
    }
}

impl Improved {
    /// The respaced process.
    pub(crate) fn process(&self) -> Result<Process> {
        let config = ProcessConfig {
            schedule: schedule(&self.noise_schedule, self.diffusion_steps)?,
            time: if self.rescale_timesteps { TimeInput::Rescaled } else { TimeInput::Index },
            prediction: match self.model_mean_type {
                ModelMeanType::Epsilon => PredictionType::Epsilon,
                ModelMeanType::Sample => PredictionType::Sample,
                ModelMeanType::PosteriorMean => PredictionType::PosteriorMean,
            },
            variance: match self.model_var_type {
                Var::Learned => Variance::Learned,
                Var::LearnedRange => Variance::LearnedRange,
                Var::FixedSmall => Variance::FixedSmall,
                Var::FixedLarge => Variance::FixedLarge,
            },
            clip: self.clip_denoised,
        };
        let text = &self.timestep_respacing;
        let spacing: TimestepSpacing =
            text.parse().with_context(|| format!("timestep_respacing `{text}`"))?;
        Ok(Process::new(&config, Device::Cpu)?.respaced(&spacing)?)
    }
}
