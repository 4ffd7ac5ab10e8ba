//! Distillation: from a diffusion model of many steps to one of few.

use std::path::Path;

use inkdrop_process::{
    ConsistencyGrid, ConsistencyMidTraining, ConsistencyPhases, ConsistencyRange,
    ConsistencyTuning, ContinuousConfig, DiffusionConfig, LossType, MeanFlow, Preconditioning,
    Process, ProcessConfig, ProgressiveDistillation, SigmaProcess,
};
use inkdrop_schedule::{FlowPath, LevelSpacing};
use inkdrop_torch::tch::Device;
use inkdrop_train::{EmaDecay, LrSchedule, OptimizerType, TrainConfig};
use serde_json::Value;

use super::{Init, Training};
use crate::config::{ConfigOverride, DataConfig, RunConfig};
use crate::error::{Context, bail, ensure, invalid};
use crate::model::{Model, ModelMetadata, ModelOverrides, stored_metadata};
use crate::{Error, Result};

/// A method of distillation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DistillationMethod {
    /// Mid-training for an eighth of the steps, then tuning, in one run. A consistency model is tuned from the
    /// first step.
    #[default]
    MidTrainingAndTuning,
    /// Consistency tuning (Geng et al. 2024): training continues with a consistency loss.
    ConsistencyTuning,
    /// Consistency mid-training (Hu et al. 2025), which prepares tuning: the model is also the teacher.
    ConsistencyMidTraining,
    /// Consistency distillation (Song et al. 2023): the model is also the teacher.
    ConsistencyDistillation,
    /// Progressive distillation (Salimans & Ho 2022): half as many DDIM steps; the model is also the
    /// teacher.
    Progressive,
    /// Mean velocities (MeanFlow, Geng et al. 2025): a rectified flow becomes a model of one or two steps, and
    /// is also the teacher.
    MeanFlow,
}

impl std::str::FromStr for DistillationMethod {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "cmt-ect" => Ok(Self::MidTrainingAndTuning),
            "ect" => Ok(Self::ConsistencyTuning),
            "cmt" => Ok(Self::ConsistencyMidTraining),
            "cd" => Ok(Self::ConsistencyDistillation),
            "progressive" => Ok(Self::Progressive),
            "meanflow" => Ok(Self::MeanFlow),
            _ => Err(invalid!(
                "distillation method `{name}`: expected cmt-ect, ect, cmt, cd, progressive or meanflow"
            )),
        }
    }
}

impl Training {
    /// Distills a model into one that samples in fewer steps: a consistency model of one or two, or one with
    /// half as many as before.
    ///
    /// The network, its weights and its data are those of the model. The recipe of tuning is that of Geng et
    /// al. 2024 with one stage: RAdam with a learning rate of 1e-4, q = 256, an average of 0.9993; for
    /// consistency distillation a grid of 18 noise levels in place of q; for mid-training (Hu et al. 2025)
    /// 2e-4, 0.999 and trajectories of 16 steps. With both in one run, the learning rate starts at the 2e-4
    /// of mid-training, and the average is that of tuning. Unlike the papers', the learning rate falls linearly
    /// to 0 (`train.lr_schedule`). Labels are dropped as often as in the model's own training, and never if its
    /// file does not say. Progressive distillation goes from a model of continuous noise levels to eight steps,
    /// and from its own results to half as many, with a learning rate that falls from 2e-4 to 0. MeanFlow does
    /// the same with a rectified flow, whose network gets an embedding of the time interval.
    ///
    /// - model: a file with an EDM process, such as the final.safetensors of `sprites-edm`, or a process with
    ///   timesteps, such as `sprites`, or a consistency model to tune further; for progressive distillation
    ///   any process of continuous noise levels
    ///
    /// ```no_run
    /// use inkdrop::{DistillationMethod, Training};
    ///
    /// let teacher = "runs/sprites-edm/final.safetensors";
    /// let method = DistillationMethod::default();
    /// let run = Training::distill(teacher, method)?.set("train.steps", 4000)?.run("runs/fast")?;
    /// run.pipeline()?.steps(2).sample(16)?.save("fast.png")?;
    /// # Ok::<(), inkdrop::Error>(())
    /// ```
    ///
    /// # Errors
    /// The model cannot be opened, or its process cannot be tuned.
    pub fn distill(model: impl AsRef<Path>, method: DistillationMethod) -> Result<Self> {
        let Model { name, metadata, weights, is_training_checkpoint, .. } =
            Model::open(&model, &ModelOverrides::default())?;
        let method = method.of_model(&metadata.process);
        let process = method.process(&metadata.process).with_context(|| name.clone())?;
        let loss = method.loss(&metadata).with_context(|| name.clone())?;
        let stored: Value = stored_metadata(&weights, "training")?.unwrap_or_default();
        let own = stored.get("data").cloned().unwrap_or_default();
        let own: Option<DataConfig> = serde_json::from_value(own).ok();
        let model = match method {
            DistillationMethod::MeanFlow => {
                metadata.model.with_interval().with_context(|| name.clone())?
            }
            _ => metadata.model,
        };
        ensure!(
            metadata.condition.is_none(),
            "{name} is conditioned on an image: such models cannot be distilled"
        );
        let config = RunConfig {
            condition: None,
            train: recipe(&stored, loss, Path::new(&name)),
            data: own.clone().unwrap_or(DataConfig::Custom {}),
            validation: None,
            model,
            process,
        };
        let mut table = RunConfig::table(&name, &config.to_toml()?)?;
        if own.is_none() {
            // A file that does not say: pictures, whose path is missing until it is given.
            let side = config.model.image_shape()[1];
            let folder = toml::toml! { kind = "folder" };
            table.insert("data".to_string(), folder.into());
            ConfigOverride::set("data.size", side).apply(&mut table)?;
        }
        // The student starts as the teacher: from the average of a checkpoint, too.
        let part = is_training_checkpoint.then(|| "ema".to_string());
        let init = Init { weights: Some(name.clone()), part, ..Init::default() };
        Ok(Self { init, ..Self::of_table(&name, table) })
    }
}

/// The process of a consistency model that is made from a diffusion model, or tuned further.
pub(super) fn tuned(process: &DiffusionConfig) -> Result<DiffusionConfig> {
    let config = match process {
        DiffusionConfig::Continuous(config) => config,
        DiffusionConfig::Timesteps(config) => {
            let own = ConsistencyRange::of(&config.schedule.build()?);
            let consistency = Some(config.consistency.unwrap_or(own));
            let student = ProcessConfig { consistency, ..config.clone() };
            SigmaProcess::try_from(Process::new(&student, Device::Cpu)?)?; // refuses what is no denoiser
            return Ok(student.into());
        }
    };
    let preconditioning = match config.preconditioning {
        // The network receives EDM's time, ¼·ln σ.
        Preconditioning::Edm { sigma_data } => {
            let (sigma_min, _) = config.sigma_range();
            Preconditioning::Consistency { sigma_data, sigma_min, time_scale: 1.0 }
        }
        consistency @ Preconditioning::Consistency { .. } => consistency,
        other => {
            bail!(
                "a consistency model starts from EDM's preconditioning, or from a model with timesteps; this model has {other:?}"
            )
        }
    };
    Ok(ContinuousConfig { preconditioning, ..*config }.into())
}

/// The process of mean velocities that is made from a rectified flow.
pub(super) fn mean_velocities(process: &DiffusionConfig) -> Result<DiffusionConfig> {
    match process {
        DiffusionConfig::Continuous(
            config @ ContinuousConfig {
                preconditioning: Preconditioning::Flow { path: FlowPath::Linear, time_scale },
                ..
            },
        ) => {
            let preconditioning = Preconditioning::MeanFlow { time_scale: *time_scale };
            Ok(ContinuousConfig { preconditioning, ..*config }.into())
        }
        _ => bail!(
            "MeanFlow starts from a rectified flow (linear path), such as one of `inkdrop train sprites-flow`"
        ),
    }
}

impl DistillationMethod {
    /// The method for a model: a consistency model has no probability flow to be mid-trained on.
    fn of_model(self, process: &DiffusionConfig) -> Self {
        match self {
            Self::MidTrainingAndTuning if process.consistency().is_some() => {
                Self::ConsistencyTuning
            }
            method => method,
        }
    }

    /// The process of the student.
    fn process(self, teacher: &DiffusionConfig) -> Result<DiffusionConfig> {
        match self {
            Self::MidTrainingAndTuning | Self::ConsistencyTuning => tuned(teacher),
            Self::ConsistencyMidTraining | Self::ConsistencyDistillation => {
                ensure!(
                    teacher.consistency().is_none(),
                    "it is a consistency model already, expected a diffusion model as the teacher: tune it with the method ect"
                );
                tuned(teacher)
            }
            Self::Progressive => {
                ensure!(
                    teacher.timesteps().is_none()
                        && teacher.consistency().is_none()
                        && !teacher.is_mean_flow(),
                    "progressive distillation starts from a diffusion model of continuous noise levels, such as one of `inkdrop train sprites-flow`; this is one with timesteps, a consistency model or one of mean velocities"
                );
                Ok(teacher.clone())
            }
            Self::MeanFlow => mean_velocities(teacher),
        }
    }

    /// The loss for a model.
    fn loss(self, metadata: &ModelMetadata) -> Result<LossType> {
        Ok(match self {
            Self::MidTrainingAndTuning => LossType::ConsistencyPhases(ConsistencyPhases::default()),
            Self::ConsistencyTuning => LossType::ConsistencyTuning(ConsistencyTuning::default()),
            Self::ConsistencyMidTraining => {
                LossType::ConsistencyMidTraining(ConsistencyMidTraining::default())
            }
            Self::ConsistencyDistillation => {
                LossType::ConsistencyDistillation(ConsistencyGrid::default())
            }
            Self::Progressive => LossType::ProgressiveDistillation(halved(metadata)?),
            Self::MeanFlow => LossType::MeanFlow(MeanFlow::default()),
        })
    }
}

/// Half the steps of a model that was distilled before, or eight.
fn halved(metadata: &ModelMetadata) -> Result<ProgressiveDistillation> {
    let eight = ProgressiveDistillation::default();
    let own = metadata.sampling.spacing.as_deref().map(str::parse).transpose()?;
    let steps = match own {
        Some(LevelSpacing::Sigmas(sigmas)) => sigmas.len(),
        Some(LevelSpacing::Flow { steps, .. }) => steps,
        _ => return Ok(eight),
    };
    ensure!(
        steps.is_multiple_of(2),
        "it samples in {steps} step{}: expected a model of an even number of steps to halve",
        if steps == 1 { "" } else { "s" }
    );
    Ok(ProgressiveDistillation { steps: steps / 2, ..eight })
}

/// The recipe of the method's paper, with the batch, the label dropout and the seed of the model's own training.
fn recipe(stored: &Value, loss: LossType, model: &Path) -> TrainConfig {
    let own = stored.get("train").cloned().unwrap_or_default();
    // A file that does not say may have been trained without dropped labels.
    let unknown = || TrainConfig { label_dropout: 0.0, ..TrainConfig::default() };
    let own: TrainConfig = serde_json::from_value(own).unwrap_or_else(|_| unknown());
    let average = |decay| vec![EmaDecay::Constant { decay, start: 0, warmup: false }];
    let tuning = TrainConfig {
        steps: 8000,
        batch: own.batch,
        lr: 1e-4,
        optimizer: OptimizerType::Radam,
        ema: average(0.9993),
        label_dropout: own.label_dropout,
        flip: own.flip,
        crop: own.crop,
        seed: own.seed,
        loss,
        ..TrainConfig::default()
    };
    let teacher = Some(model.to_path_buf());
    match loss {
        LossType::ConsistencyMidTraining(mid_training) => TrainConfig {
            batch: own.batch.div_ceil(mid_training.steps),
            lr: 2e-4,
            ema: average(0.999),
            teacher,
            ..tuning
        },
        LossType::ConsistencyPhases(_) => TrainConfig { lr: 2e-4, teacher, ..tuning },
        LossType::ConsistencyDistillation(_) => TrainConfig { teacher, ..tuning },
        LossType::ProgressiveDistillation(_) | LossType::MeanFlow(_) => TrainConfig {
            lr: 2e-4,
            lr_schedule: LrSchedule::Cosine,
            optimizer: own.optimizer,
            ema: average(0.999),
            teacher,
            ..tuning
        },
        _ => tuning,
    }
}
