//! The trait of all diffusion processes, and their configs.

use std::fmt;

use inkdrop_nn::{Conditioning, Mode, Network, TrainableNetwork};
use inkdrop_schedule::{
    LevelSpacing, NoiseLevels, Preconditioning, PredictionType, SamplingSchedule, ScheduleConfig,
    SolverStep,
};
use inkdrop_torch::tch::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::{
    ConsistencyRange, ContinuousConfig, ContinuousProcess, LossTerms, NetworkOutput,
    ObjectiveConfig, Prediction, Process, ProcessConfig, ProcessError, Teacher, TimeInput,
    Variance,
};

/// A diffusion process as samplers and trainers use it: [`Process`] with timesteps, or
/// [`ContinuousProcess`] with continuous noise levels.
pub trait DiffusionProcess: fmt::Debug + Send {
    /// The config of the process, that of the full one for a respaced process.
    fn config(&self) -> DiffusionConfig;

    /// Device of the process.
    fn device(&self) -> Device;

    /// Calls the network at the start of a step and converts its output, without clipping.
    ///
    /// # Shapes
    /// - x: [B, C, H, W], of unit variance
    ///
    /// # Errors
    /// The network does not accept x, or its output does not fit the process.
    fn predict(
        &self,
        network: &dyn Network,
        x: &Tensor,
        step: &SolverStep,
        conditioning: &Conditioning,
    ) -> Result<Prediction, ProcessError>;

    /// True if x0 is clipped to [−1, 1] in sampling.
    fn clips(&self) -> bool;

    /// What the network predicts, on which the rescaling and the projection of guidance act.
    fn network_output(&self) -> NetworkOutput;

    /// Noise levels between those of a schedule.
    fn noise_levels(&self) -> &dyn NoiseLevels;

    /// The sampling schedule of a spacing.
    ///
    /// # Errors
    /// The spacing does not fit the process.
    fn spaced(&self, spacing: &LevelSpacing) -> Result<SamplingSchedule, ProcessError>;

    /// The times that the network receives at the steps of a schedule, for embeddings that are computed
    /// in advance; empty if they are not known in advance.
    fn network_times(&self, schedule: &SamplingSchedule) -> Vec<f64>;

    /// Number of noise levels in training: T, or the quantiles of a continuous distribution.
    fn training_levels(&self) -> usize;

    /// The training objective.
    ///
    /// # Errors
    /// The config does not fit the process.
    fn objective(
        &self,
        config: &ObjectiveConfig,
    ) -> Result<Box<dyn TrainingObjective + Send>, ProcessError>;

    /// The diffusion process with timesteps; `None` if noise levels are continuous, and for consistency
    /// models.
    fn timesteps(&self) -> Option<&Process>;
}

/// The loss of a network for a process.
pub trait TrainingObjective: fmt::Debug {
    /// Tells the objective which step comes next, for losses that change in the course of a training.
    ///
    /// - step: counted from 0, of `steps`
    fn start_step(&mut self, step: usize, steps: usize) {
        let _ = (step, steps);
    }

    /// True if the loss is that of a student, which [`TrainingObjective::set_teacher`] gives its teacher.
    fn needs_teacher(&self) -> bool {
        false
    }

    /// Sets the teacher of a distillation.
    ///
    /// # Errors
    /// The loss has no teacher.
    fn set_teacher(&mut self, teacher: Teacher) -> Result<(), ProcessError> {
        drop(teacher);
        Err(ProcessError::UnusedTeacher)
    }

    /// The loss of a batch, image by image.
    ///
    /// # Shapes
    /// - x0, noise: [B, C, H, W]
    /// - t: `[B]`, i64 in 0..[`DiffusionProcess::training_levels`], the least noisy level first
    ///
    /// # Errors
    /// Shapes do not match, t is out of range, or the output channels do not match the process.
    fn terms(
        &self,
        network: &dyn TrainableNetwork,
        batch: (&Tensor, &Tensor, &Tensor),
        conditioning: &Conditioning,
        mode: Mode,
    ) -> Result<LossTerms, ProcessError>;

    /// A prediction of x0 without gradient and without clipping, for self-conditioning: what
    /// [`TrainingObjective::terms`] takes as [`Conditioning::self_condition`] (Chen et al. 2022,
    /// algorithm 1).
    ///
    /// # Shapes
    /// As [`TrainingObjective::terms`]; returns [B, C, H, W]
    ///
    /// # Errors
    /// As [`TrainingObjective::terms`], or the loss knows no self-conditioning.
    fn self_condition(
        &self,
        network: &dyn TrainableNetwork,
        batch: (&Tensor, &Tensor, &Tensor),
        conditioning: &Conditioning,
        mode: Mode,
    ) -> Result<Tensor, ProcessError> {
        let _ = (network, batch, conditioning, mode);
        Err(ProcessError::SelfCondition)
    }
}

impl From<Process> for Box<dyn DiffusionProcess> {
    fn from(process: Process) -> Self {
        Box::new(process)
    }
}

impl From<ContinuousProcess> for Box<dyn DiffusionProcess> {
    fn from(process: ContinuousProcess) -> Self {
        Box::new(process)
    }
}

/// The config of any diffusion process, as configs and checkpoints store it. One with a
/// `preconditioning` has continuous noise levels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, try_from = "Fields")]
pub enum DiffusionConfig {
    /// A process with timesteps.
    Timesteps(ProcessConfig),
    /// A process with continuous noise levels.
    Continuous(ContinuousConfig),
}

impl DiffusionConfig {
    /// Builds the process.
    ///
    /// # Errors
    /// Invalid noise schedule or preconditioning.
    pub fn build(&self, device: Device) -> Result<Box<dyn DiffusionProcess>, ProcessError> {
        Ok(match self {
            Self::Timesteps(config) => Process::new(config, device)?.into(),
            Self::Continuous(config) => ContinuousProcess::new(config, device)?.into(),
        })
    }

    /// The config with timesteps; `None` if noise levels are continuous.
    pub fn timesteps(&self) -> Option<&ProcessConfig> {
        match self {
            Self::Timesteps(config) => Some(config),
            Self::Continuous(_) => None,
        }
    }

    /// The noise levels σ_min and σ_max of a consistency model; `None` for a diffusion model.
    pub fn consistency(&self) -> Option<ConsistencyRange> {
        match self {
            Self::Timesteps(config) => config.consistency,
            Self::Continuous(config) => match config.preconditioning {
                Preconditioning::Consistency { sigma_min, .. } => {
                    Some(ConsistencyRange { sigma_min, sigma_max: config.sigma_range().1 })
                }
                _ => None,
            },
        }
    }

    /// True if the network predicts the mean velocity of a whole step (Geng et al. 2025), not a denoised image.
    pub fn is_mean_flow(&self) -> bool {
        let Self::Continuous(config) = self else { return false };
        matches!(config.preconditioning, Preconditioning::MeanFlow { .. })
    }

    /// The variance of an ancestral step.
    pub fn variance(&self) -> Variance {
        self.timesteps().map_or(Variance::FixedSmall, |config| config.variance)
    }
}

impl From<ProcessConfig> for DiffusionConfig {
    fn from(config: ProcessConfig) -> Self {
        Self::Timesteps(config)
    }
}

impl From<ContinuousConfig> for DiffusionConfig {
    fn from(config: ContinuousConfig) -> Self {
        Self::Continuous(config)
    }
}

/// The fields of both configs, so that errors name the field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    schedule: Option<ScheduleConfig>,
    time: Option<TimeInput>,
    #[serde(alias = "mean")]
    prediction: Option<PredictionType>,
    variance: Option<Variance>,
    #[serde(default)]
    clip: bool,
    consistency: Option<ConsistencyRange>,
    preconditioning: Option<Preconditioning>,
    sigma_min: Option<f64>,
    sigma_max: Option<f64>,
}

impl TryFrom<Fields> for DiffusionConfig {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let missing = |name: &str| format!("missing field `{name}`");
        let excess = |name: &str, other: &str| Err(format!("{name} does not go with {other}"));
        let Fields { schedule, time, prediction, variance, clip, consistency, .. } = fields;
        let (sigma_min, sigma_max) = (fields.sigma_min, fields.sigma_max);
        if let Some(preconditioning) = fields.preconditioning {
            let others = [
                ("schedule", schedule.is_some()),
                ("time", time.is_some()),
                ("prediction", prediction.is_some()),
                ("variance", variance.is_some()),
                ("consistency", consistency.is_some()),
            ];
            if let Some((name, _)) = others.iter().find(|(_, given)| *given) {
                return excess(name, "preconditioning");
            }
            let config = ContinuousConfig { preconditioning, sigma_min, sigma_max, clip };
            return Ok(Self::Continuous(config));
        }
        for (name, given) in [("sigma_min", sigma_min), ("sigma_max", sigma_max)] {
            if given.is_some() {
                return excess(name, "a schedule over timesteps, only with preconditioning");
            }
        }
        Ok(Self::Timesteps(ProcessConfig {
            schedule: schedule.ok_or_else(|| missing("schedule"))?,
            time: time.ok_or_else(|| missing("time"))?,
            prediction: prediction.unwrap_or_default(),
            variance: variance.ok_or_else(|| missing("variance"))?,
            clip,
            consistency,
        }))
    }
}
