//! The training configuration, as configs spell it.

use std::f64::consts::PI;

use inkdrop_process::{ForwardNoise, LossType, NoiseDistribution, ObjectiveConfig, Weighting};
use serde::{Deserialize, Serialize};

use crate::batch::{BatchOptions, step_seed};
use crate::run_folder::CheckpointPolicy;
use crate::{
    AdamConfig, AugmentConfig, EmaDecay, GroupConfig, OptimizerType, Precision, TimestepConfig,
    TrainError,
};

/// Hyperparameters of a training run.
///
/// The defaults of batch, learning rate and label dropout are those of the sprites notebook. The
/// notebook takes 28,608 steps, lowers the learning rate once per epoch and has no EMA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Number of optimizer steps.
    pub steps: usize,
    /// Batch size: images per optimizer step.
    pub batch: usize,
    /// Gradient accumulation: the largest number of images in one forward pass.
    ///
    /// Larger batches are split into microbatches. Gradients are the same with less memory, dropout
    /// included, except for BatchNorm's statistics, which are per microbatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub microbatch: Option<usize>,
    /// Synchronised batch normalisation (SyncBatchNorm): several processes use the statistics of the whole
    /// batch, so that their number does not matter. No effect on a single process.
    #[serde(skip_serializing_if = "is_true")]
    pub sync_batch_norm: bool,
    /// The optimizer; Adam by default.
    #[serde(skip_serializing_if = "is_adam")]
    pub optimizer: OptimizerType,
    /// Optimizer state sharding (ZeRO stage 1): each of several processes keeps Adam's moments of its share of
    /// the weights. The result is the same; a step sends the weights once more. No effect on a single
    /// process.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shard_optimizer: bool,
    /// Peak learning rate.
    pub lr: f64,
    /// Decay of the learning rate over the steps.
    pub lr_schedule: LrSchedule,
    /// Linear learning rate warmup, in steps; 0 for none.
    pub warm_up: usize,
    /// Adam's decay rates β₁, β₂ of the first and second moment estimates, in [0, 1).
    pub betas: [f64; 2],
    /// Adam's ε; > 0.
    pub eps: f64,
    /// Decoupled weight decay (AdamW). 0 gives plain Adam.
    pub weight_decay: f64,
    /// Parameter groups with their own learning rate or weight decay.
    pub groups: Vec<GroupConfig>,
    /// Gradient clipping: the largest global gradient norm; `None` for no clipping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Decays of the exponential moving averages (EMA); samples come from the first.
    pub ema: Vec<EmaDecay>,
    /// Mixed precision: the dtype of convolutions and attention.
    pub precision: Precision,
    /// Probability that an image loses its label, for classifier-free guidance; in [0, 1].
    pub label_dropout: f64,
    /// Distribution of the timesteps: uniform, or importance sampling of timesteps.
    pub timesteps: TimestepConfig,
    /// Distribution of the noise level in training, for processes of continuous noise levels; that of
    /// the preconditioning's paper by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_distribution: Option<NoiseDistribution>,
    /// The loss function.
    pub loss: LossType,
    /// Model file of the teacher, for distillation. The caller opens it
    /// ([`TrainerBuilder::teacher`](crate::TrainerBuilder::teacher)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<std::path::PathBuf>,
    /// Scale of classifier-free guidance of the teacher; the student learns the guided model. `None` for no
    /// guidance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher_guidance: Option<f64>,
    /// Loss weight of each timestep.
    pub weighting: Weighting,
    /// Formula that adds noise to training images.
    #[serde(alias = "noising")]
    pub forward_noise: ForwardNoise,
    /// Offset noise: standard deviation of further noise that all pixels of a channel share, so that the
    /// brightness of whole images is learned (Guttenberg 2023); 0 for none, 0.05 to 0.1 is usual.
    #[serde(skip_serializing_if = "is_zero")]
    pub offset_noise: f64,
    /// Immiscible diffusion: noise is assigned to the images of a batch by optimal transport (Li et al.
    /// 2024). For a single process.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub immiscible: bool,
    /// Self-conditioning, for networks that take an earlier prediction: probability of a step whose batch
    /// gets one, from a call without gradient (Chen et al. 2022); in [0, 1]. Other steps train without.
    #[serde(skip_serializing_if = "is_half")]
    pub self_condition: f64,
    /// Data augmentation: mirrors each image left to right with probability 0.5.
    pub flip: bool,
    /// Data augmentation: crops images that are larger than the network's input at random places.
    pub crop: bool,
    /// Non-leaky augmentation, for networks that take augmentation labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augment: Option<AugmentConfig>,
    /// Side of the low-resolution input of a super-resolution network, by average pooling
    /// (improved-diffusion's `small_size`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low_res: Option<i64>,
    /// Seed of the initial weights, the order of the images and all noise.
    pub seed: u64,
    /// Checkpointing interval, in steps.
    pub checkpoint_every: usize,
    /// Number of newest checkpoints to keep; older ones are deleted.
    pub checkpoints_kept: usize,
    /// Interval of checkpoints that are never deleted, in steps; 0 for none.
    pub keep_every: usize,
    /// Sampling interval, in steps; 0 for no sample grids.
    pub sample_every: usize,
    /// Validation interval, in steps.
    pub validate_every: usize,
    /// Largest number of validation images.
    pub validation_images: usize,
    /// Logging interval, in steps.
    pub log_every: usize,
    /// Data loader threads that prefetch batches; 0 loads in the training thread.
    pub workers: usize,
}

fn is_adam(value: &OptimizerType) -> bool {
    *value == OptimizerType::Adam
}

fn is_half(value: &f64) -> bool {
    *value == 0.5
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_true(value: &bool) -> bool {
    *value
}

impl Default for TrainConfig {
    fn default() -> Self {
        let adam = AdamConfig::default();
        Self {
            steps: 16_000,
            batch: 100,
            microbatch: None,
            sync_batch_norm: true,
            optimizer: OptimizerType::Adam,
            shard_optimizer: false,
            lr: 1e-3,
            lr_schedule: LrSchedule::Linear,
            warm_up: 0,
            betas: adam.betas,
            eps: adam.eps,
            weight_decay: adam.weight_decay,
            groups: adam.groups,
            clip_norm: None,
            ema: vec![EmaDecay::with_warmup(0.999)],
            precision: Precision::F32,
            label_dropout: 0.1,
            timesteps: TimestepConfig::Uniform,
            noise_distribution: None,
            loss: LossType::Mse,
            teacher: None,
            teacher_guidance: None,
            weighting: Weighting::None,
            forward_noise: ForwardNoise::Standard,
            offset_noise: 0.0,
            immiscible: false,
            self_condition: 0.5,
            flip: false,
            crop: false,
            augment: None,
            low_res: None,
            seed: 0,
            checkpoint_every: 500,
            checkpoints_kept: 2,
            keep_every: 0,
            sample_every: 1000,
            validate_every: 1000,
            validation_images: 1000,
            log_every: 10,
            workers: 1,
        }
    }
}

/// Decay of the learning rate over the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LrSchedule {
    /// No decay (Ho et al. 2020).
    Constant,
    /// Linear decay to 0 (improved-diffusion, the sprites notebook).
    #[default]
    Linear,
    /// Cosine decay to 0 (Loshchilov & Hutter 2017).
    Cosine,
    /// √(from/step) after a constant start (Karras et al. 2024, eq. 67).
    InverseSqrt {
        /// Number of steps before the decay; ≥ 1, 70,000 in the paper.
        from: usize,
    },
}

impl LrSchedule {
    /// The factor of the learning rate, 1 to 0.
    ///
    /// - step: counted from 0, of `steps`
    fn factor(self, step: usize, steps: usize) -> f64 {
        let progress = step as f64 / steps as f64;
        match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - progress,
            Self::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
            Self::InverseSqrt { from } => (step as f64 / from as f64).max(1.0).sqrt().recip(),
        }
    }
}

impl TrainConfig {
    /// The loss, its weighting and its noise.
    pub fn objective(&self) -> ObjectiveConfig {
        ObjectiveConfig {
            loss: self.loss,
            weighting: self.weighting,
            forward_noise: self.forward_noise,
            noise_distribution: self.noise_distribution,
        }
    }

    /// True if a step trains with self-conditioning: one draw for the whole batch, from (seed, step).
    pub(crate) fn self_conditions(&self, step: usize) -> bool {
        // 53 bits of a seed of its own: no other random number of the step moves.
        let bits = step_seed(step_seed(self.seed, step), 1) >> 11;
        (bits as f64) < self.self_condition * (1u64 << 53) as f64
    }

    /// The settings of a batch.
    pub(crate) fn batch_options(&self) -> BatchOptions {
        let Self { low_res, offset_noise, augment, .. } = *self;
        BatchOptions { low_res, offset_noise, augment, ..BatchOptions::default() }
    }

    /// The optimizer's hyperparameters.
    pub fn adam(&self) -> AdamConfig {
        AdamConfig {
            betas: self.betas,
            eps: self.eps,
            weight_decay: self.weight_decay,
            groups: self.groups.clone(),
            optimizer: self.optimizer,
        }
    }

    /// The learning rate of a step, with warmup and decay.
    ///
    /// - step: counted from 0
    pub fn lr_at(&self, step: usize) -> f64 {
        let warmup = match self.warm_up {
            0 => 1.0,
            steps => ((step + 1) as f64 / steps as f64).min(1.0),
        };
        self.lr * warmup * self.lr_schedule.factor(step, self.steps)
    }

    /// When checkpoints are saved and which are kept.
    pub(crate) fn checkpoints(&self) -> CheckpointPolicy {
        CheckpointPolicy {
            every: self.checkpoint_every,
            newest: self.checkpoints_kept,
            keep_every: self.keep_every,
        }
    }

    /// Validates every field.
    ///
    /// # Errors
    /// The first field that is out of range, with its value and the expected range.
    pub fn check(&self) -> Result<(), TrainError> {
        self.check_counts()?;
        self.check_rates()?;
        self.check_groups()?;
        EmaDecay::check_all(&self.ema)
    }

    fn check_counts(&self) -> Result<(), TrainError> {
        for (name, given) in [
            ("train.steps", self.steps),
            ("train.batch", self.batch),
            ("train.microbatch", self.microbatch.unwrap_or(1)),
            ("train.checkpoint_every", self.checkpoint_every),
            ("train.checkpoints_kept", self.checkpoints_kept),
            ("train.validate_every", self.validate_every),
            ("train.validation_images", self.validation_images),
            ("train.log_every", self.log_every),
        ] {
            field(given > 0, name, given, "at least 1")?;
        }
        let side = self.low_res.unwrap_or(1);
        field(side > 0, "train.low_res", side, "at least 1")?;
        let (keep, every) = (self.keep_every, self.checkpoint_every);
        let whole = "0, or a multiple of train.checkpoint_every";
        field(keep.is_multiple_of(every), "train.keep_every", keep, whole)?;
        field(self.workers <= 256, "train.workers", self.workers, "at most 256")
    }

    fn check_rates(&self) -> Result<(), TrainError> {
        let above = |number: f64| number > 0.0 && number.is_finite();
        let share = |number: f64| (0.0..1.0).contains(&number);
        field(above(self.lr), "train.lr", self.lr, "a number above 0")?;
        if let LrSchedule::InverseSqrt { from } = self.lr_schedule {
            field(from > 0, "train.lr_schedule.inverse-sqrt.from", from, "at least 1")?;
        }
        let clip = self.clip_norm.unwrap_or(1.0);
        field(above(clip), "train.clip_norm", clip, "a number above 0")?;
        for beta in self.betas {
            field(share(beta), "train.betas", beta, "0 to below 1")?;
        }
        field(above(self.eps), "train.eps", self.eps, "a number above 0")?;
        let offset = self.offset_noise;
        field((0.0..=1.0).contains(&offset), "train.offset_noise", offset, "0 to 1")?;
        let decay = self.weight_decay;
        field(decay >= 0.0 && decay.is_finite(), "train.weight_decay", decay, "0 or more")?;
        let scale = self.teacher_guidance.unwrap_or(1.0);
        let fits = scale >= 0.0 && scale.is_finite();
        field(fits, "train.teacher_guidance", scale, "0 or more")?;
        let guides = self.teacher_guidance.is_none() || self.teacher.is_some();
        field(
            guides,
            "train.teacher",
            "none",
            "a model file, since train.teacher_guidance is set",
        )?;
        self.augment.map_or(Ok(()), |augment| augment.check())?;
        let dropout = self.label_dropout;
        field((0.0..=1.0).contains(&dropout), "train.label_dropout", dropout, "0 to 1")?;
        let condition = self.self_condition;
        field((0.0..=1.0).contains(&condition), "train.self_condition", condition, "0 to 1")
    }

    fn check_groups(&self) -> Result<(), TrainError> {
        for group in &self.groups {
            let named = !group.names.is_empty();
            field(named, "train.groups.names", "[]", "at least one name of a weight")?;
            for (name, given) in [
                ("train.groups.lr", group.lr),
                ("train.groups.weight_decay", group.weight_decay.unwrap_or(0.0)),
            ] {
                field(given >= 0.0 && given.is_finite(), name, given, "0 or more")?;
            }
        }
        Ok(())
    }
}

fn field(
    fits: bool,
    field: &'static str,
    given: impl ToString,
    expected: &'static str,
) -> Result<(), TrainError> {
    match fits {
        true => Ok(()),
        false => Err(TrainError::Field { field, given: given.to_string(), expected }),
    }
}
