//! Which step of the process each image of a batch is trained on.

use std::collections::VecDeque;

use inkdrop_checkpoint::{CheckpointError, Weights};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::TrainError;

/// How the steps are drawn, as configs spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimestepConfig {
    /// Each as often as the others.
    #[default]
    Uniform,
    /// In proportion to the root of the mean square of its last ten losses, from when all steps
    /// have ten (Nichol & Dhariwal 2021, eq. 18).
    LossSecondMoment,
}

/// The steps of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledTimesteps {
    /// One for each image, 0 to T − 1.
    pub t: Vec<usize>,
    /// What each loss counts, so that the mean stays that of even draws.
    pub weights: Vec<f64>,
}

/// Draws steps, and learns from the losses which ones to draw.
#[derive(Debug)]
pub struct TimestepSampler {
    steps: usize,
    /// The last losses of each step, the oldest first; none where draws are even.
    history: Option<Vec<VecDeque<f64>>>,
}

impl TimestepSampler {
    /// How many losses of a step are remembered.
    pub const HISTORY: usize = 10;
    /// The share of draws that stay even.
    pub const EVEN: f64 = 0.001;

    /// A sampler of the steps 0 to `steps` − 1.
    pub fn new(config: TimestepConfig, steps: usize) -> Self {
        let history = match config {
            TimestepConfig::Uniform => None,
            TimestepConfig::LossSecondMoment => Some(vec![VecDeque::new(); steps]),
        };
        Self { steps, history }
    }

    /// How likely each step is drawn; the sum is 1.
    pub fn probabilities(&self) -> Vec<f64> {
        let even = 1.0 / self.steps as f64;
        let history = self.history.as_ref();
        let full = |history: &&Vec<VecDeque<f64>>| history.iter().all(|h| h.len() == Self::HISTORY);
        let Some(history) = history.filter(full) else { return vec![even; self.steps] };
        let mean_square = |losses: &VecDeque<f64>| losses.iter().map(|l| l * l).sum::<f64>();
        let weights = history.iter().map(|h| (mean_square(h) / Self::HISTORY as f64).sqrt());
        let weights: Vec<f64> = weights.collect();
        let sum: f64 = weights.iter().sum();
        if sum <= 0.0 {
            return vec![even; self.steps];
        }
        weights.iter().map(|w| w / sum * (1.0 - Self::EVEN) + Self::EVEN * even).collect()
    }

    /// The steps of a batch: a function of the seed and of the losses so far.
    pub fn draw(&self, batch: usize, seed: u64) -> SampledTimesteps {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let probabilities = self.probabilities();
        let mut sums: Vec<f64> = Vec::with_capacity(self.steps);
        for p in &probabilities {
            sums.push(sums.last().copied().unwrap_or(0.0) + p);
        }
        let total = sums.last().copied().unwrap_or(1.0);
        let mut one = || {
            // 53 bits make an even f64 in [0, 1).
            let share = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            sums.partition_point(|&sum| sum <= share * total).min(self.steps - 1)
        };
        let t: Vec<usize> = (0..batch).map(|_| one()).collect();
        let weight = |&t: &usize| 1.0 / (self.steps as f64 * probabilities[t]);
        let weights = t.iter().map(weight).collect();
        SampledTimesteps { t, weights }
    }

    /// Takes in the losses of a batch, before any weights.
    pub fn learn(&mut self, t: &[usize], losses: &[f64]) {
        let Some(history) = &mut self.history else { return };
        for (&t, &loss) in t.iter().zip(losses) {
            let past = &mut history[t];
            if past.len() == Self::HISTORY {
                past.pop_front();
            }
            past.push_back(loss);
        }
    }

    /// Puts the memory among a checkpoint's tensors.
    pub(crate) fn save(&self, weights: &mut Weights) -> Result<(), TrainError> {
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

    /// Takes the memory of a checkpoint; one of an even sampler has none.
    pub(crate) fn restore(&mut self, weights: &Weights) -> Result<(), TrainError> {
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
            return Err(TrainError::Checkpoint(CheckpointError::Metadata {
                key: "timesteps".to_string(),
                problem: format!(
                    "losses of {} steps, expected {}; the checkpoint is of another process",
                    counts.len(),
                    self.steps
                ),
            }));
        }
        for ((past, losses), count) in
            history.iter_mut().zip(losses.chunks(Self::HISTORY)).zip(counts)
        {
            *past = losses.iter().copied().take(count as usize).collect();
        }
        Ok(())
    }
}
