//! Timestep sampling: uniform, or importance sampling by the loss (Nichol & Dhariwal 2021).

use std::collections::VecDeque;

use inkdrop_checkpoint::{CheckpointError, StateDict};
use inkdrop_torch::tch::Tensor;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// The distribution of the timesteps in a batch (the schedule sampler of improved-diffusion).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimestepConfig {
    /// All timesteps are equally likely.
    #[default]
    Uniform,
    /// Importance sampling of timesteps: p_t ∝ √(E L_t²) over the last ten losses of each timestep
    /// (Nichol & Dhariwal 2021, eq. 18). Uniform until every timestep has ten losses.
    LossSecondMoment,
}

/// The timesteps of a batch and their importance weights. In a process of continuous noise levels, a
/// timestep is a quantile of the noise distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledTimesteps {
    /// The timestep of each image, 0 to T − 1.
    pub t: Vec<usize>,
    /// 1/(T·p_t) for each image: the weighted mean loss is an unbiased estimate of the mean over
    /// uniform timesteps.
    pub importance_weights: Vec<f64>,
}

/// Samples timesteps, and updates their probabilities from the losses.
#[derive(Debug)]
pub struct TimestepSampler {
    steps: usize,
    /// The last losses of each timestep, the oldest first; `None` for uniform sampling.
    history: Option<Vec<VecDeque<f64>>>,
}

impl TimestepSampler {
    /// Number of losses kept per timestep.
    pub const HISTORY: usize = 10;
    /// Largest number of timesteps whose probabilities are tabulated; there are at most a million.
    const MAX_TABLE: usize = 1 << 20;
    /// Probability that a timestep is sampled uniformly in spite of the losses.
    pub const UNIFORM_PROB: f64 = 0.001;

    /// A sampler of the timesteps 0 to `steps` − 1.
    pub fn new(config: TimestepConfig, steps: usize) -> Self {
        let history = match config {
            TimestepConfig::Uniform => None,
            TimestepConfig::LossSecondMoment => Some(vec![VecDeque::new(); steps]),
        };
        Self { steps, history }
    }

    /// The probability of each timestep; the sum is 1.
    pub fn probabilities(&self) -> Vec<f64> {
        let uniform = 1.0 / self.steps as f64;
        let history = self.history.as_ref();
        let full = |history: &&Vec<VecDeque<f64>>| history.iter().all(|h| h.len() == Self::HISTORY);
        let Some(history) = history.filter(full) else { return vec![uniform; self.steps] };
        let mean_square = |losses: &VecDeque<f64>| losses.iter().map(|l| l * l).sum::<f64>();
        let weights = history.iter().map(|h| (mean_square(h) / Self::HISTORY as f64).sqrt());
        let weights: Vec<f64> = weights.collect();
        let sum: f64 = weights.iter().sum();
        if sum <= 0.0 {
            return vec![uniform; self.steps];
        }
        weights
            .iter()
            .map(|w| w / sum * (1.0 - Self::UNIFORM_PROB) + Self::UNIFORM_PROB * uniform)
            .collect()
    }

    /// Samples the timesteps of a batch; a function of the seed and of the losses so far.
    pub fn sample(&self, batch: usize, seed: u64) -> SampledTimesteps {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // 53 random bits give a uniform f64 in [0, 1).
        let mut uniform = || (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        if self.steps > Self::MAX_TABLE {
            let t = (0..batch).map(|_| (uniform() * self.steps as f64) as usize).collect();
            return SampledTimesteps { t, importance_weights: vec![1.0; batch] };
        }
        let probabilities = self.probabilities();
        let cumulative = cumulative_sums(&probabilities);
        let total = cumulative.last().copied().unwrap_or(1.0);
        let mut one = || {
            let uniform = uniform();
            cumulative.partition_point(|&sum| sum <= uniform * total).min(self.steps - 1)
        };
        let t: Vec<usize> = (0..batch).map(|_| one()).collect();
        let weight = |&t: &usize| 1.0 / (self.steps as f64 * probabilities[t]);
        let importance_weights = t.iter().map(weight).collect();
        SampledTimesteps { t, importance_weights }
    }

    /// Records the losses of a batch, without importance weights.
    pub fn update(&mut self, t: &[usize], losses: &[f64]) {
        let Some(history) = &mut self.history else { return };
        for (&t, &loss) in t.iter().zip(losses) {
            let past = &mut history[t];
            if past.len() == Self::HISTORY {
                past.pop_front();
            }
            past.push_back(loss);
        }
    }

    /// Adds the recorded losses to a checkpoint.
    pub(crate) fn save(&self, weights: &mut StateDict) -> Result<(), TrainError> {
        let Some(history) = &self.history else { return Ok(()) };
        let counts: Vec<i64> = history.iter().map(|past| past.len() as i64).collect();
        let padded = |past: &VecDeque<f64>| {
            let mut past: Vec<f64> = past.iter().copied().collect();
            past.resize(Self::HISTORY, 0.0);
            past
        };
        let losses: Vec<f64> = history.iter().flat_map(padded).collect();
        let shape = [self.steps as i64, Self::HISTORY as i64];
        weights.insert("timesteps.losses", Tensor::f_from_slice(&losses)?.f_view(shape)?);
        weights.insert("timesteps.counts", Tensor::f_from_slice(&counts)?);
        Ok(())
    }

    /// Restores the losses of a checkpoint, if this sampler records losses and the checkpoint has
    /// some.
    pub(crate) fn restore(&mut self, weights: &StateDict) -> Result<(), TrainError> {
        let Some(history) = &mut self.history else { return Ok(()) };
        let (Some(losses), Some(counts)) =
            (weights.get("timesteps.losses"), weights.get("timesteps.counts"))
        else {
            return Ok(());
        };
        let flat = |tensor: &Tensor| tensor.f_contiguous()?.f_view([-1]);
        let losses = Vec::<f64>::try_from(&flat(losses)?)?;
        let counts = Vec::<i64>::try_from(&flat(counts)?)?;
        let fits = counts.len() == self.steps && losses.len() == self.steps * Self::HISTORY;
        if !fits || counts.iter().any(|count| !(0..=Self::HISTORY as i64).contains(count)) {
            let (given, expected) = (counts.len(), self.steps);
            return Err(TrainError::Checkpoint(CheckpointError::Metadata {
                key: "timesteps".to_string(),
                problem: format!(
                    "losses of {given} steps, expected {expected}; the checkpoint is of another process"
                ),
            }));
        }
        let saved = losses.chunks(Self::HISTORY).zip(counts);
        for (past, (losses, count)) in history.iter_mut().zip(saved) {
            *past = losses.iter().copied().take(count as usize).collect();
        }
        Ok(())
    }
}

fn cumulative_sums(values: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    let mut add = |value: &f64| {
        sum += value;
        sum
    };
    values.iter().map(&mut add).collect()
}
