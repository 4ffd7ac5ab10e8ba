//! The recipe of a training run.

mod check;
mod rate;

use inkdrop_process::{LossType, Noising, ObjectiveConfig, Weighting};
use serde::{Deserialize, Serialize};

pub use rate::LrSchedule;

use crate::{AdamConfig, EmaDecay, GroupConfig, Precision, TimestepConfig};

/// How a network is trained, as configs spell it.
///
/// Batch, learning rate and label dropout default to the sprites notebook's; it takes
/// 28,608 steps, lowers the learning rate once per epoch and keeps no average.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// How many optimiser steps the run takes.
    pub steps: usize,
    /// Images per step.
    pub batch: usize,
    /// Images that are in the network at once: a batch of more is taken in parts, which gives the
    /// same gradients in less memory (but for dropout's draws and the statistics of BatchNorm,
    /// which are those of the parts).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub microbatch: Option<usize>,
    /// Adam's learning rate at its highest.
    pub lr: f64,
    /// How the rate falls over the steps.
    pub lr_schedule: LrSchedule,
    /// Steps over which the rate first rises on a straight line; 0 for none.
    pub warm_up: usize,
    /// How much Adam's means of the gradient and of its square keep.
    pub betas: [f64; 2],
    /// Adam's ε.
    pub eps: f64,
    /// Share of its weights that a step of rate lr takes off, over lr (AdamW); 0 for Adam.
    pub weight_decay: f64,
    /// Weights with a rate or a decay of their own.
    pub groups: Vec<GroupConfig>,
    /// The longest gradient, of all weights together, that is not scaled down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Rules of the moving averages; samples are made with the first.
    pub ema: Vec<EmaDecay>,
    /// Precision of the convolutions and of attention.
    pub precision: Precision,
    /// Probability that an image is trained without its label, for classifier-free guidance.
    pub label_dropout: f64,
    /// How the steps of the process are drawn.
    pub timesteps: TimestepConfig,
    /// Which loss.
    pub loss: LossType,
    /// How much each step of the process counts in it.
    pub weighting: Weighting,
    /// How training images get their noise.
    pub noising: Noising,
    /// Whether images are mirrored, left to right, in half of their visits.
    pub flip: bool,
    /// Whether images that are larger than the network takes are cropped, each visit at another
    /// place.
    pub crop: bool,
    /// Side of the small images that a super-resolution network is shown: each image, averaged
    /// over squares (improved-diffusion's `small_size`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low_res: Option<i64>,
    /// Seed of the initial weights, the order of the images and all noise.
    pub seed: u64,
    /// Steps between checkpoints.
    pub checkpoint_every: usize,
    /// How many checkpoints are kept; older ones are removed.
    pub checkpoints_kept: usize,
    /// Steps between checkpoints that are never removed; 0 for none.
    pub keep_every: usize,
    /// Steps between sample grids; 0 for none.
    pub sample_every: usize,
    /// Steps between looks at the validation images, if there are any.
    pub validate_every: usize,
    /// How many validation images are looked at.
    pub validation_images: usize,
    /// Steps between lines of log.jsonl.
    pub log_every: usize,
    /// Threads that read images ahead of the step; 0 to read within the step.
    pub workers: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        let adam = AdamConfig::default();
        Self {
            steps: 16_000,
            batch: 100,
            microbatch: None,
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
            loss: LossType::Mse,
            weighting: Weighting::None,
            noising: Noising::Exact,
            flip: false,
            crop: false,
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

impl TrainConfig {
    /// What is made small.
    pub fn objective(&self) -> ObjectiveConfig {
        ObjectiveConfig { loss: self.loss, weighting: self.weighting, noising: self.noising }
    }

    /// How the weights are changed.
    pub fn adam(&self) -> AdamConfig {
        AdamConfig {
            betas: self.betas,
            eps: self.eps,
            weight_decay: self.weight_decay,
            groups: self.groups.clone(),
        }
    }

    /// The learning rate of a step, counted from 0.
    pub fn lr_at(&self, step: usize) -> f64 {
        let warm = match self.warm_up {
            0 => 1.0,
            steps => ((step + 1) as f64 / steps as f64).min(1.0),
        };
        self.lr * warm * self.lr_schedule.factor(step as f64 / self.steps as f64)
    }
}
