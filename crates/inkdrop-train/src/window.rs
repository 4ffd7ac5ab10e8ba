//! Means over the steps since the last line of the log.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::log::LogLine;
use crate::step::StepMetrics;

/// A mean that grows.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
    }

    fn get(self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

/// What was seen since the last line, as checkpoints keep it: a run that is stopped between two
/// lines loses none of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sums {
    loss: Mean,
    error: Mean,
    bound: Mean,
    quarters: [Mean; 4],
    norm: Mean,
}

/// Steps since the last line.
#[derive(Debug)]
pub(crate) struct MetricsAccumulator {
    begun: Instant,
    /// What the loader had waited then.
    waited: Duration,
    /// Steps of the process.
    steps: usize,
    /// Images since this start of the run.
    images: usize,
    pub sums: Sums,
}

impl MetricsAccumulator {
    pub(crate) fn new(steps: usize, waited: Duration) -> Self {
        Self { begun: Instant::now(), waited, steps, images: 0, sums: Sums::default() }
    }

    /// Leaves time out that was not spent on steps.
    pub(crate) fn skip(&mut self, time: Duration) {
        self.begun += time;
    }

    pub(crate) fn add(&mut self, seen: &StepMetrics) {
        self.images += seen.losses.len();
        let sums = &mut self.sums;
        sums.loss.add(seen.loss(), 1.0);
        if let Some([error, bound]) = seen.parts {
            sums.error.add(error, 1.0);
            sums.bound.add(bound, 1.0);
        }
        for ((&t, &loss), &weight) in seen.t.iter().zip(&seen.losses).zip(&seen.weights) {
            sums.quarters[4 * t / self.steps].add(loss, weight);
        }
        if seen.norm.is_finite() {
            sums.norm.add(seen.norm, 1.0);
        }
    }

    /// The line after step `step`; what the window does not know stays empty.
    pub(crate) fn line(&self, step: usize, lr: f64, waited: Duration, seconds: f64) -> LogLine {
        let took = self.begun.elapsed().as_secs_f64().max(1e-9);
        let sums = &self.sums;
        let [loss_q0, loss_q1, loss_q2, loss_q3] = sums.quarters.map(Mean::get);
        LogLine {
            step,
            loss: sums.loss.get().unwrap_or(0.0),
            error: sums.error.get(),
            bound: sums.bound.get(),
            loss_q0,
            loss_q1,
            loss_q2,
            loss_q3,
            grad_norm: sums.norm.get(),
            lr,
            loss_scale: None,
            validation: None,
            images_per_s: self.images as f64 / took,
            data_wait_fraction: (waited.saturating_sub(self.waited).as_secs_f64() / took).min(1.0),
            seconds,
        }
    }
}
