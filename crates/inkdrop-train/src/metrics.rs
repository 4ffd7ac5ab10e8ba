//! Metrics of steps: losses, gradient norm, throughput; their means in the log.

use std::time::{Duration, Instant};

use inkdrop_process::LossTerms;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use serde::{Deserialize, Serialize};

use crate::batch::{Share, TrainingBatch};
use crate::data_parallel::{AllReduce, Processes};
use crate::{SampledTimesteps, TrainError};

/// The metrics of one optimizer step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepMetrics {
    /// The step, from 1.
    pub step: usize,
    /// Learning rate of the step.
    pub lr: f64,
    /// Loss of the batch before the step: the mean over its images, with importance weights.
    pub loss: f64,
    /// Loss of each image, without importance weights.
    pub losses: Vec<f64>,
    /// Timestep and importance weight of each image.
    pub timesteps: SampledTimesteps,
    /// Mean error and mean term of the variational lower bound, if the loss is their sum (the hybrid
    /// loss).
    pub error_and_bound: Option<[f64; 2]>,
    /// Global gradient norm before gradient clipping.
    pub grad_norm: f64,
}

impl StepMetrics {
    /// Number of images in the step.
    pub fn images(&self) -> usize {
        self.losses.len()
    }
}

/// The loss of a batch, on the device.
pub(crate) struct BatchLoss {
    /// Loss of each image, `[B]`.
    losses: Tensor,
    /// Means of error and bound, if the loss is their sum.
    error_and_bound: Option<[Tensor; 2]>,
}

/// Collects the losses of the microbatches.
#[derive(Default)]
pub(crate) struct BatchLossBuilder {
    losses: Vec<Tensor>,
    errors: Vec<Tensor>,
    bounds: Vec<Tensor>,
}

impl BatchLossBuilder {
    /// - importance_weights: one for each image of the microbatch
    pub(crate) fn add(
        &mut self,
        terms: LossTerms,
        importance_weights: &Tensor,
    ) -> Result<(), TrainError> {
        self.losses.push(terms.loss.f_detach()?);
        if let (Some(error), Some(bound)) = (terms.error, terms.bound) {
            self.errors.push(error.f_detach()?.f_mul(importance_weights)?);
            self.bounds.push(bound.f_detach()?.f_mul(importance_weights)?);
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<BatchLoss, TrainError> {
        let mean = |parts: &[Tensor]| Tensor::f_cat(parts, 0)?.f_mean(Kind::Double);
        let error_and_bound = match self.errors.is_empty() {
            true => None,
            false => Some([mean(&self.errors)?, mean(&self.bounds)?]),
        };
        Ok(BatchLoss { losses: Tensor::f_cat(&self.losses, 0)?, error_and_bound })
    }
}

impl BatchLoss {
    /// The losses of the whole batch, from those of each process's share.
    pub(crate) fn gather(
        self,
        batch: &TrainingBatch,
        processes: &Processes,
    ) -> Result<Self, TrainError> {
        if processes.count() == 1 {
            return Ok(self);
        }
        let all = batch.global_len() as i64;
        let mut values = Tensor::f_zeros([all + 2], (Kind::Double, Device::Cpu))?;
        let Share { positions, counts } = batch.share();
        if *counts {
            TrainingBatch::part(&values, positions)?.f_copy_(&self.losses)?;
            let weight = positions.len() as f64 / all as f64;
            for (place, mean) in self.error_and_bound.iter().flatten().enumerate() {
                let weighted = mean.f_to_device(Device::Cpu)?.f_mul_scalar(weight)?;
                values.f_get(all + place as i64)?.f_copy_(&weighted)?;
            }
        }
        values = processes.sum(values)?;
        let mean = |place: i64| values.f_get(all + place);
        let error_and_bound = match self.error_and_bound {
            Some(_) => Some([mean(0)?, mean(1)?]),
            None => None,
        };
        Ok(Self { losses: values.f_narrow(0, 0, all)?, error_and_bound })
    }
}

/// The metrics of a step that are still on the device.
#[derive(Debug)]
pub(crate) struct PendingMetrics {
    step: usize,
    lr: f64,
    timesteps: SampledTimesteps,
    has_terms: bool,
    /// Loss of each image, gradient norm, means of error and bound; f64.
    values: Tensor,
}

impl PendingMetrics {
    /// - step: from 1
    pub(crate) fn new(
        step: usize,
        lr: f64,
        timesteps: &SampledTimesteps,
        loss: &BatchLoss,
        grad_norm: &Tensor,
    ) -> Result<Self, TrainError> {
        let flat = |tensor: &Tensor| tensor.f_to_kind(Kind::Double)?.f_view([-1]);
        let grad_norm = flat(grad_norm)?.f_to_device(loss.losses.device())?;
        let mut all = vec![flat(&loss.losses)?, grad_norm];
        for mean in loss.error_and_bound.iter().flatten() {
            all.push(flat(mean)?);
        }
        // One tensor, so that reading it is one copy from the device.
        let values = Tensor::f_cat(&all, 0)?;
        let has_terms = loss.error_and_bound.is_some();
        Ok(Self { step, lr, timesteps: timesteps.clone(), has_terms, values })
    }

    /// Copies the metrics to the host; waits for the device.
    pub(crate) fn read(self) -> Result<StepMetrics, TrainError> {
        let all = Vec::<f64>::try_from(&self.values.f_to_device(Device::Cpu)?)?;
        let (losses, rest) = all.split_at(self.timesteps.t.len());
        let weighted = losses.iter().zip(&self.timesteps.importance_weights);
        let sum: f64 = weighted.map(|(loss, weight)| loss * weight).sum();
        Ok(StepMetrics {
            step: self.step,
            lr: self.lr,
            loss: sum / losses.len() as f64,
            losses: losses.to_vec(),
            grad_norm: rest[0],
            error_and_bound: self.has_terms.then(|| [rest[1], rest[2]]),
            timesteps: self.timesteps,
        })
    }

    /// One f32 on the device: 1 if any value is NaN or infinite, else 0.
    pub(crate) fn not_finite(&self) -> Result<Tensor, TrainError> {
        let sum = self.values.f_sum(Kind::Double)?;
        Ok(sum.f_isfinite()?.f_logical_not()?.f_to_kind(Kind::Float)?)
    }
}

/// A running mean.
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

/// Running means of the metrics since the last log line.
///
/// Checkpoints hold it, so that a run that stops between two log lines loses no step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct MetricsAccumulator {
    loss: Mean,
    error: Mean,
    bound: Mean,
    /// Loss by quarter of the timesteps, least noise first.
    quarters: [Mean; 4],
    #[serde(rename = "norm")]
    grad_norm: Mean,
}

impl MetricsAccumulator {
    /// Adds a step.
    ///
    /// - process_steps: T, the number of timesteps
    pub(crate) fn add(&mut self, metrics: &StepMetrics, process_steps: usize) {
        self.loss.add(metrics.loss, 1.0);
        if let Some([error, bound]) = metrics.error_and_bound {
            self.error.add(error, 1.0);
            self.bound.add(bound, 1.0);
        }
        let SampledTimesteps { t, importance_weights } = &metrics.timesteps;
        for ((&t, &loss), &weight) in t.iter().zip(&metrics.losses).zip(importance_weights) {
            self.quarters[4 * t / process_steps].add(loss, weight);
        }
        if metrics.grad_norm.is_finite() {
            self.grad_norm.add(metrics.grad_norm, 1.0);
        }
    }

    /// The means as a log line; throughput and the fields of the trainer's state are left empty.
    pub(crate) fn log_line(&self, step: usize, lr: f64) -> LogLine {
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
            grad_norm: self.grad_norm.get(),
            lr,
            loss_scale: None,
            validation: None,
            images_per_s: 0.0,
            data_wait_fraction: 0.0,
            all_reduce_bytes: None,
            all_reduce_seconds: None,
            all_reduce_hidden_fraction: None,
            seconds: 0.0,
        }
    }
}

/// Measures images per second, the fraction of time spent on waiting for data, and the averaging of
/// gradients over processes.
#[derive(Debug)]
pub(crate) struct Throughput {
    started: Instant,
    /// The data loader's total wait when the measurement began.
    data_wait: Duration,
    images: usize,
    all_reduces: AllReduceTotals,
}

/// Totals of the all-reduces of gradients of some steps.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct AllReduceTotals {
    steps: usize,
    bytes: u64,
    /// Time in which at least one all-reduce was running.
    busy: Duration,
    /// The part of it after the last gradient was there, for which the step waits.
    waited: Duration,
}

impl AllReduceTotals {
    /// Adds a step. The last all-reduce starts when the backward pass has computed its last gradient.
    ///
    /// - all: in the order of their starts
    fn add(&mut self, all: &[AllReduce]) {
        let Some(last) = all.last() else { return };
        self.steps += 1;
        let mut until = all[0].start;
        for one in all {
            self.bytes += one.bytes;
            self.busy += one.end.saturating_duration_since(until.max(one.start));
            until = until.max(one.end);
        }
        self.waited += until.saturating_duration_since(last.start);
    }

    /// Means over the steps; `None` without all-reduces.
    fn means(&self) -> Option<AllReduceMeans> {
        let steps = self.steps as f64;
        (self.steps > 0).then(|| AllReduceMeans {
            bytes: self.bytes as f64 / steps,
            seconds: self.busy.as_secs_f64() / steps,
            hidden: 1.0 - self.waited.as_secs_f64() / self.busy.as_secs_f64().max(1e-9),
        })
    }
}

/// Means of the all-reduces of gradients over steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct AllReduceMeans {
    /// Size of the gradients.
    pub bytes: f64,
    /// Seconds in which at least one all-reduce was running.
    pub seconds: f64,
    /// Fraction of these seconds in which the backward pass was still running.
    pub hidden: f64,
}

impl Throughput {
    pub(crate) fn start(data_wait: Duration) -> Self {
        let all_reduces = AllReduceTotals::default();
        Self { started: Instant::now(), data_wait, images: 0, all_reduces }
    }

    pub(crate) fn add(&mut self, images: usize) {
        self.images += images;
    }

    /// Adds the all-reduces of one step.
    pub(crate) fn add_all_reduces(&mut self, all: &[AllReduce]) {
        self.all_reduces.add(all);
    }

    /// Means of the all-reduces over the steps; `None` for one process alone.
    pub(crate) fn all_reduces(&self) -> Option<AllReduceMeans> {
        self.all_reduces.means()
    }

    /// Excludes time that was not spent on steps.
    pub(crate) fn exclude(&mut self, time: Duration) {
        self.started += time;
    }

    /// Images per second, and the fraction of time spent on waiting for data.
    ///
    /// - data_wait: the data loader's total wait now
    pub(crate) fn rates(&self, data_wait: Duration) -> (f64, f64) {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-9);
        let waited = data_wait.saturating_sub(self.data_wait).as_secs_f64();
        (self.images as f64 / seconds, (waited / seconds).min(1.0))
    }
}

/// One line of log.jsonl: means since the previous line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Number of steps done.
    pub step: usize,
    /// Mean loss.
    pub loss: f64,
    /// Mean error term, if the loss is error plus bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<f64>,
    /// Mean variational bound term in bits per dimension, scaled as the loss defines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<f64>,
    /// Mean loss over the first quarter of the timesteps: least noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_q0: Option<f64>,
    /// Mean loss over the second quarter of the timesteps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_q1: Option<f64>,
    /// Mean loss over the third quarter of the timesteps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_q2: Option<f64>,
    /// Mean loss over the last quarter of the timesteps: most noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_q3: Option<f64>,
    /// Mean gradient norm before gradient clipping, over steps with a finite norm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Log2 of the loss scale (f16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<f64>,
    /// Mean validation loss of the EMA network, if it was measured at this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    /// Images per second.
    pub images_per_s: f64,
    /// Fraction of time spent on waiting for the data loader.
    #[serde(default, alias = "waiting")]
    pub data_wait_fraction: f64,
    /// Several processes: mean size of the gradients that a step averages over them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_reduce_bytes: Option<f64>,
    /// Several processes: mean seconds of a step in which at least one all-reduce of gradients was
    /// running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_reduce_seconds: Option<f64>,
    /// Several processes: fraction of these seconds in which the backward pass was still running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_reduce_hidden_fraction: Option<f64>,
    /// Seconds since the run was started or resumed.
    pub seconds: f64,
}

impl LogLine {
    /// The values by tag, as TensorBoard groups them; missing values are left out.
    pub fn numbers(&self) -> impl Iterator<Item = (&'static str, f64)> + use<> {
        let numbers = [
            ("loss/all", Some(self.loss)),
            ("loss/error", self.error),
            ("loss/bound", self.bound),
            ("loss/q0", self.loss_q0),
            ("loss/q1", self.loss_q1),
            ("loss/q2", self.loss_q2),
            ("loss/q3", self.loss_q3),
            ("loss/validation", self.validation),
            ("gradient/norm", self.grad_norm),
            ("gradient/loss_scale", self.loss_scale),
            ("lr", Some(self.lr)),
            ("speed/images_per_s", Some(self.images_per_s)),
            ("speed/data_wait_fraction", Some(self.data_wait_fraction)),
            ("all_reduce/bytes", self.all_reduce_bytes),
            ("all_reduce/seconds", self.all_reduce_seconds),
            ("all_reduce/hidden_fraction", self.all_reduce_hidden_fraction),
        ];
        numbers.into_iter().filter_map(|(name, number)| Some((name, number?)))
    }
}

/// The loss over the run: one point per log line, in memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LossCurve {
    points: Vec<(usize, f64)>,
}

impl<'a> FromIterator<&'a LogLine> for LossCurve {
    fn from_iter<T: IntoIterator<Item = &'a LogLine>>(lines: T) -> Self {
        Self { points: lines.into_iter().map(|line| (line.step, line.loss)).collect() }
    }
}

impl LossCurve {
    pub(crate) fn push(&mut self, line: &LogLine) {
        self.points.push((line.step, line.loss));
    }

    /// At most `most` points (step, loss); each is the mean of a stretch of log lines.
    ///
    /// - most: at least 1
    pub fn downsampled(&self, most: usize) -> Vec<(usize, f64)> {
        let stretch = self.points.len().div_ceil(most.max(1)).max(1);
        let mean = |points: &[(usize, f64)]| {
            let sum: f64 = points.iter().map(|(_, loss)| loss).sum();
            (points.last().map_or(0, |(step, _)| *step), sum / points.len() as f64)
        };
        self.points.chunks(stretch).map(mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    fn step(t: &[usize], losses: &[f64], weights: &[f64]) -> StepMetrics {
        let timesteps = SampledTimesteps { t: t.to_vec(), importance_weights: weights.to_vec() };
        let loss = losses.iter().zip(weights).map(|(loss, weight)| loss * weight).sum::<f64>();
        StepMetrics {
            step: 1,
            lr: 0.1,
            loss: loss / losses.len() as f64,
            losses: losses.to_vec(),
            timesteps,
            error_and_bound: None,
            grad_norm: f64::INFINITY,
        }
    }

    /// Quarters of eight timesteps are pairs; an infinite norm is left out.
    #[test]
    fn log_lines_are_weighted_means() {
        let mut sums = MetricsAccumulator::default();
        assert_eq!((sums.log_line(0, 0.1).loss, sums.log_line(0, 0.1).grad_norm), (0.0, None));
        sums.add(&step(&[0, 1, 5], &[3.0, 9.0, 4.0], &[1.0, 0.5, 2.0]), 8);
        let second = step(&[7, 5, 7], &[1.0, 10.0, 2.0], &[1.0, 1.0, 3.0]);
        let terms = Some([0.5, 0.25]);
        sums.add(&StepMetrics { error_and_bound: terms, grad_norm: 6.0, ..second }, 8);
        let line = sums.log_line(2, 0.1);
        assert_eq!((line.step, line.lr), (2, 0.1));
        assert!((line.loss - (15.5 / 3.0 + 17.0 / 3.0) / 2.0).abs() < 1e-12);
        assert_eq!((line.error, line.bound, line.grad_norm), (Some(0.5), Some(0.25), Some(6.0)));
        let quarters = [line.loss_q0, line.loss_q1, line.loss_q2, line.loss_q3];
        assert_eq!(quarters, [Some(7.5 / 1.5), None, Some(18.0 / 3.0), Some(7.0 / 4.0)]);
    }

    /// Two all-reduces that overlap, a gap, and one that ends after the backward pass.
    #[test]
    fn all_reduces_are_hidden_until_the_last_one_starts() {
        let from = Instant::now();
        let one = |start, end| AllReduce {
            start: from + Duration::from_millis(start),
            end: from + Duration::from_millis(end),
            bytes: 10,
        };
        let mut totals = AllReduceTotals::default();
        assert_eq!(totals.means(), None);
        totals.add(&[]);
        assert_eq!(totals.means(), None, "a step without all-reduces does not count");
        totals.add(&[one(0, 20), one(10, 40), one(60, 120)]);
        totals.add(&[one(0, 100), one(40, 60)]);
        let means = totals.means().expect("two steps");
        assert_eq!(means.bytes, 25.0);
        assert!((means.seconds - 0.1).abs() < 1e-9, "{means:?}");
        assert!((means.hidden - 0.4).abs() < 1e-9, "{means:?}");
    }

    /// Bounds from the clock around it, which holds on a busy machine, too.
    #[test]
    fn rates_are_per_second_of_what_is_not_excluded() {
        let (whole, pause) = (Duration::from_millis(30), Duration::from_millis(10));
        let before = Instant::now();
        let mut throughput = Throughput::start(Duration::from_secs(5));
        let after = Instant::now();
        throughput.add(10);
        throughput.add(20);
        sleep(whole);
        throughput.exclude(pause);
        let least = after.elapsed() - pause;
        let waited = Duration::from_millis(5);
        let (rate, fraction) = throughput.rates(Duration::from_secs(5) + waited);
        let most = before.elapsed() - pause;
        let check = |value: f64, amount: f64| {
            let (low, high) = (amount / most.as_secs_f64(), amount / least.as_secs_f64());
            assert!((low..=high).contains(&value), "{low} {value} {high}");
        };
        check(rate, 30.0);
        check(fraction, waited.as_secs_f64());
        assert_eq!(throughput.rates(Duration::ZERO).1, 0.0, "the wait never falls");
        assert_eq!(throughput.rates(Duration::from_secs(500)).1, 1.0);
    }

    #[test]
    fn a_curve_is_downsampled_by_means_of_stretches() {
        let curve = LossCurve { points: (1..=5).map(|i| (10 * i, i as f64)).collect() };
        assert_eq!(curve.downsampled(9).len(), 5);
        assert_eq!(curve.downsampled(2), [(30, 2.0), (50, 4.5)]);
        assert_eq!(curve.downsampled(0), curve.downsampled(1));
        assert_eq!(LossCurve::default().downsampled(3), []);
    }

    #[test]
    fn numbers_of_a_line_have_their_tags() {
        let mut line = MetricsAccumulator::default().log_line(3, 0.25);
        line.loss_q2 = Some(0.5);
        let numbers: Vec<(&str, f64)> = line.numbers().collect();
        let speed = [("speed/images_per_s", 0.0), ("speed/data_wait_fraction", 0.0)];
        assert_eq!(numbers[..3], [("loss/all", 0.0), ("loss/q2", 0.5), ("lr", 0.25)]);
        assert_eq!(numbers[3..], speed);
    }
}
