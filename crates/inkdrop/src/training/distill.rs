//! Distillation: from a diffusion model of many steps to one of few.

use std::path::Path;

use inkdrop_process::{
    ConsistencyGrid, ConsistencyMidTraining, ConsistencyTuning, ContinuousConfig, DiffusionConfig,
    LossType, Preconditioning,
};
use inkdrop_train::{EmaDecay, OptimizerType, TrainConfig};
use serde_json::Value;

use super::{Init, Training};
use crate::config::{ConfigOverride, DataConfig, RunConfig};
use crate::error::{Context, bail, ensure, invalid};
use crate::model::{Model, ModelOverrides, stored_metadata};
use crate::{Error, Result};

/// A method of distillation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DistillationMethod {
    /// Consistency tuning (Geng et al. 2024): training continues with a consistency loss.
    #[default]
    ConsistencyTuning,
    /// Consistency mid-training (Hu et al. 2025), which prepares tuning: the model is also the teacher.
    ConsistencyMidTraining,
    /// Consistency distillation (Song et al. 2023): the model is also the teacher.
    ConsistencyDistillation,
}

impl std::str::FromStr for DistillationMethod {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "ect" => Ok(Self::ConsistencyTuning),
            "cmt" => Ok(Self::ConsistencyMidTraining),
            "cd" => Ok(Self::ConsistencyDistillation),
            _ => Err(invalid!("distillation method `{name}`: expected ect, cmt or cd")),
        }
    }
}

impl Training {
    /// Distills a model into a consistency model, which samples in one or two steps.
    ///
    /// The network, its weights and its data are those of the model. The recipe is that of Geng et al.
    /// 2024 with one stage: RAdam with a learning rate of 1e-4, q = 256, an average of 0.9993; for
    /// consistency distillation a grid of 18 noise levels in place of q; for mid-training (Hu et al. 2025)
    /// 2e-4, 0.999 and trajectories of 16 steps.
    ///
    /// - model: a file with an EDM process, such as the final.safetensors of `sprites-edm`, or a
    ///   consistency model to tune further
    ///
    /// ```no_run
    /// use inkdrop::{DistillationMethod, Training};
    ///
    /// let teacher = "runs/sprites-edm/final.safetensors";
    /// let method = DistillationMethod::ConsistencyTuning;
    /// let run = Training::distill(teacher, method)?.set("train.steps", 4000)?.run("runs/fast")?;
    /// run.pipeline()?.steps(2).sample(16)?.save("fast.png")?;
    /// # Ok::<(), inkdrop::Error>(())
    /// ```
    ///
    /// # Errors
    /// The model cannot be opened, or its process cannot be tuned.
    pub fn distill(model: impl AsRef<Path>, method: DistillationMethod) -> Result<Self> {
        let Model { name, metadata, weights, .. } =
            Model::open(&model, &ModelOverrides::default())?;
        let process = tuned(&metadata.process).with_context(|| name.clone())?;
        ensure!(
            method == DistillationMethod::ConsistencyTuning || process != metadata.process,
            "{name} is a consistency model already, expected a diffusion model as the teacher: tune it with the method ect"
        );
        let stored: Value = stored_metadata(&weights, "training")?.unwrap_or_default();
        let own = stored.get("data").cloned().unwrap_or_default();
        let own: Option<DataConfig> = serde_json::from_value(own).ok();
        let config = RunConfig {
            train: recipe(&stored, method, Path::new(&name)),
            data: own.clone().unwrap_or(DataConfig::Custom {}),
            validation: None,
            model: metadata.model,
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
        let init = Init { weights: Some(name.clone()), ..Init::default() };
        Ok(Self { init, ..Self::of_table(&name, table) })
    }
}

/// The process of a consistency model that is made from a model with an EDM process, or tuned further.
pub(super) fn tuned(process: &DiffusionConfig) -> Result<DiffusionConfig> {
    let DiffusionConfig::Continuous(config) = process else {
        bail!(
            "a consistency model starts from one of continuous noise levels with EDM's preconditioning, such as one of `inkdrop train sprites-edm`; this one has timesteps"
        )
    };
    let preconditioning = match config.preconditioning {
        // The network receives EDM's time, ¼·ln σ.
        Preconditioning::Edm { sigma_data } => {
            let (sigma_min, _) = config.sigma_range();
            Preconditioning::Consistency { sigma_data, sigma_min, time_scale: 1.0 }
        }
        consistency @ Preconditioning::Consistency { .. } => consistency,
        other => {
            bail!("a consistency model starts from EDM's preconditioning; this model has {other:?}")
        }
    };
    Ok(ContinuousConfig { preconditioning, ..*config }.into())
}

/// The recipe of the method's paper, with the batch, the label dropout and the seed of the model's own training.
fn recipe(stored: &Value, method: DistillationMethod, model: &Path) -> TrainConfig {
    let own = stored.get("train").cloned().unwrap_or_default();
    let own: TrainConfig = serde_json::from_value(own).unwrap_or_default();
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
        loss: LossType::ConsistencyTuning(ConsistencyTuning::default()),
        ..TrainConfig::default()
    };
    let teacher = Some(model.to_path_buf());
    match method {
        DistillationMethod::ConsistencyTuning => tuning,
        DistillationMethod::ConsistencyMidTraining => {
            let loss = ConsistencyMidTraining::default();
            TrainConfig {
                batch: own.batch.div_ceil(loss.steps),
                lr: 2e-4,
                ema: average(0.999),
                loss: LossType::ConsistencyMidTraining(loss),
                teacher,
                ..tuning
            }
        }
        DistillationMethod::ConsistencyDistillation => {
            let loss = LossType::ConsistencyDistillation(ConsistencyGrid::default());
            TrainConfig { loss, teacher, ..tuning }
        }
    }
}
