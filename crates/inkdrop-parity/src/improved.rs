//! The diffusion process of improved-diffusion, built from its own arguments.

use anyhow::{Context, Result, bail};
use inkdrop_process::{PredictionType, Process, ProcessConfig, TimeInput, Variance};
use inkdrop_schedule::{ScheduleConfig, TimestepSpacing};
use inkdrop_torch::tch::Device;
use serde::Deserialize;

/// Arguments of the schedule.
#[derive(Debug, Deserialize)]
pub(crate) struct Schedule {
    noise_schedule: String,
    pub diffusion_steps: usize,
    #[serde(default)]
    timestep_respacing: String,
}

impl Schedule {
    /// The schedule before respacing.
    pub(crate) fn full(&self) -> Result<ScheduleConfig> {
        schedule(&self.noise_schedule, self.diffusion_steps)
    }

    pub(crate) fn spacing(&self) -> Result<TimestepSpacing> {
        let text = &self.timestep_respacing;
        text.parse().with_context(|| format!("timestep_respacing `{text}`"))
    }
}

/// Arguments of SpacedDiffusion.
#[derive(Debug, Deserialize)]
pub(crate) struct Improved {
    #[serde(flatten)]
    schedule: Schedule,
    model_mean_type: PredictionType,
    model_var_type: Variance,
    #[serde(default)]
    clip_denoised: bool,
    rescale_timesteps: bool,
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
            schedule: self.schedule.full()?,
            time: if self.rescale_timesteps { TimeInput::Rescaled } else { TimeInput::Index },
            prediction: self.model_mean_type,
            variance: self.model_var_type,
            clip: self.clip_denoised,
            consistency: None,
        };
        Ok(Process::new(&config, Device::Cpu)?.respaced(&self.schedule.spacing()?)?)
    }
}
