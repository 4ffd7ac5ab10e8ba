//! The recipe of a training run.

use inkdrop_process::{LossType, Noising, ObjectiveConfig, Weighting};
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// How a network is trained, as configs spell it.
///
/// Batch, learning rate and context dropout default to the sprites notebook's; it takes
/// 28,608 steps, lowers the learning rate once per epoch and keeps no average.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// How many optimiser steps the run takes.
    pub steps: usize,
    /// Images per step.
    pub batch: usize,
    /// Adam's learning rate at its highest.
    pub lr: f64,
    /// How the rate falls over the steps.
    pub lr_schedule: LrSchedule,
    /// Steps over which the rate first rises on a straight line; 0 for none.
    pub warm_up: usize,
    /// The longest gradient, of all weights together, that is not scaled down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Share of its weights that a step of rate lr takes off, over lr (AdamW); 0 for Adam.
    pub weight_decay: f64,
    /// Share of the old average that each step keeps, in [0, 1).
    pub ema_decay: f64,
    /// Whether the first steps keep less: (1 + step)/(10 + step).
    pub ema_warm_up: bool,
    /// Probability that an image keeps its context; the rest are trained with zeros.
    pub context_keep: f64,
    /// Which loss.
    pub loss: LossType,
    /// How much each step of the process counts in it.
    pub weighting: Weighting,
    /// How training images get their noise.
    pub noising: Noising,
    /// Seed of the initial weights, the order of the images and all noise.
    pub seed: u64,
    /// Steps between checkpoints.
    pub checkpoint_every: usize,
    /// How many checkpoints are kept; older ones are removed.
    pub checkpoints_kept: usize,
    /// Steps between sample grids; 0 for none.
    pub sample_every: usize,
    /// Steps between lines of log.jsonl.
    pub log_every: usize,
}

/// How the learning rate falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LrSchedule {
    /// Not at all (Ho et al. 2020).
    Constant,
    /// On a straight line to 0 (improved-diffusion's annealing, the sprites notebook).
    #[default]
    Linear,
    /// Along half a cosine to 0 (Loshchilov & Hutter 2017).
    Cosine,
}

impl LrSchedule {
    /// The factor at a share of the steps, 1 to 0.
    fn factor(self, share: f64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - share,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * share).cos()),
        }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 16_000,
            batch: 100,
            lr: 1e-3,
            lr_schedule: LrSchedule::Linear,
            warm_up: 0,
            clip_norm: None,
            weight_decay: 0.0,
            ema_decay: 0.999,
            ema_warm_up: true,
            context_keep: 0.9,
            loss: LossType::Mse,
            weighting: Weighting::None,
            noising: Noising::Exact,
            seed: 0,
            checkpoint_every: 500,
            checkpoints_kept: 2,
            sample_every: 1000,
            log_every: 10,
        }
    }
}

impl TrainConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that cannot be, its value and what it can be.
    pub fn check(&self) -> Result<(), TrainError> {
        let field = |ok: bool, field, given: String, expected| {
            if ok { Ok(()) } else { Err(TrainError::Field { field, given, expected }) }
        };
        let counts = [
            ("train.steps", self.steps),
            ("train.batch", self.batch),
            ("train.checkpoint_every", self.checkpoint_every),
            ("train.checkpoints_kept", self.checkpoints_kept),
            ("train.log_every", self.log_every),
        ];
        for (name, given) in counts {
            field(given > 0, name, given.to_string(), "at least 1")?;
        }
        let lr = self.lr;
        field(lr > 0.0 && lr.is_finite(), "train.lr", lr.to_string(), "a number above 0")?;
        let clip = self.clip_norm.unwrap_or(1.0);
        let named = "train.clip_norm";
        field(clip > 0.0 && clip.is_finite(), named, clip.to_string(), "a number above 0")?;
        let decay = self.weight_decay;
        let named = "train.weight_decay";
        field(decay >= 0.0 && decay.is_finite(), named, decay.to_string(), "0 or more")?;
        let decay = self.ema_decay;
        field((0.0..1.0).contains(&decay), "train.ema_decay", decay.to_string(), "0 to below 1")?;
        let keep = self.context_keep;
        field((0.0..=1.0).contains(&keep), "train.context_keep", keep.to_string(), "0 to 1")
    }

    /// What is made small.
    pub fn objective(&self) -> ObjectiveConfig {
        ObjectiveConfig { loss: self.loss, weighting: self.weighting, noising: self.noising }
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
