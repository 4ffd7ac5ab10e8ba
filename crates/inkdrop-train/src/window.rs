//! Means over the steps since the last line of the log.

use std::time::{Duration, Instant};

use crate::log::LogLine;
use crate::step::Seen;

/// A mean that grows.
#[derive(Debug, Clone, Copy, Default)]
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

/// Steps since the last line.
#[derive(Debug)]
pub(crate) struct Window {
    begun: Instant,
    /// What the loader had waited then.
    waited: Duration,
    /// Steps of the process.
    steps: usize,
    images: usize,
    loss: Mean,
    error: Mean,
    bound: Mean,
    quarters: [Mean; 4],
    norm: Mean,
}

impl Window {
    pub(crate) fn new(steps: usize, waited: Duration) -> Self {
        let mean = Mean::default();
        let (loss, error, bound, norm) = (mean, mean, mean, mean);
        let begun = Instant::now();
        let quarters = [mean; 4];
        Self { begun, waited, steps, images: 0, loss, error, bound, quarters, norm }
    }

    pub(crate) fn add(&mut self, seen: &Seen) {
        self.images += seen.losses.len();
        self.loss.add(seen.loss(), 1.0);
        if let Some([error, bound]) = seen.parts {
            self.error.add(error, 1.0);
            self.bound.add(bound, 1.0);
        }
        for ((&t, &loss), &weight) in seen.t.iter().zip(&seen.losses).zip(&seen.weights) {
            self.quarters[4 * t / self.steps].add(loss, weight);
        }
        if seen.norm.is_finite() {
            self.norm.add(seen.norm, 1.0);
        }
    }

    /// The line after step `step`; what the window does not know stays empty.
    pub(crate) fn line(&self, step: usize, lr: f64, waited: Duration, seconds: f64) -> LogLine {
        let took = self.begun.elapsed().as_secs_f64().max(1e-9);
        let [loss_q0, loss_q1, loss_q2, loss_q3] = self.quarters.map(Mean::get);
        LogLine {
            step,
            loss: self.loss.get().unwrap_or(0.0),
            error: self.error.get(),
            bound: self.bound.get(),
            loss_q0,
            loss_q1,
            loss_q2,
            loss_q3,
            grad_norm: self.norm.get(),
            lr,
            loss_scale: None,
            validation: None,
            images_per_s: self.images as f64 / took,
            waiting: (waited.saturating_sub(self.waited).as_secs_f64() / took).min(1.0),
            seconds,
        }
    }
}
