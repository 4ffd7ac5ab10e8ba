//! One step: gradients of a batch, the optimiser, the averages.

use inkdrop_nn::Mode;
use tch::{Device, Kind, Tensor};

use crate::batch::TrainingBatch;
use crate::{Gradients, LossScaler, Precision, TrainError, Trainer};

/// What a step has seen.
#[derive(Debug)]
pub(crate) struct StepMetrics {
    /// Which step, from 1, and its learning rate.
    pub step: usize,
    /// The step length.
    pub lr: f64,
    /// The step of the process of each image.
    pub t: Vec<usize>,
    /// What each image counts.
    pub weights: Vec<f64>,
    /// The loss of each image.
    pub losses: Vec<f64>,
    /// Mean error and mean bound, where the loss is their sum.
    pub parts: Option<[f64; 2]>,
    /// Length of the gradients before they were clipped.
    pub norm: f64,
}

impl StepMetrics {
    /// The batch's loss.
    pub(crate) fn loss(&self) -> f64 {
        let weighted = self.losses.iter().zip(&self.weights).map(|(loss, weight)| loss * weight);
        weighted.sum::<f64>() / self.losses.len() as f64
    }
}

/// A step whose numbers are still on the device.
#[derive(Debug)]
pub(crate) struct PendingMetrics {
    step: usize,
    lr: f64,
    t: Vec<usize>,
    weights: Vec<f64>,
    parted: bool,
    /// The loss of each image, the norm of the gradients and the means of the parts, in f64.
    numbers: Tensor,
}

impl PendingMetrics {
    /// Waits for the device.
    fn read(self) -> Result<StepMetrics, TrainError> {
        let all = Vec::<f64>::try_from(&self.numbers.f_to_device(Device::Cpu)?)?;
        let (losses, rest) = all.split_at(self.t.len());
        Ok(StepMetrics {
            step: self.step,
            lr: self.lr,
            losses: losses.to_vec(),
            norm: rest[0],
            parts: self.parted.then(|| [rest[1], rest[2]]),
            t: self.t,
            weights: self.weights,
        })
    }

    /// One f32 on the device: 1 where a number is none.
    fn broken(&self) -> Result<Tensor, TrainError> {
        let sum = self.numbers.f_sum(Kind::Double)?;
        Ok(sum.f_isfinite()?.f_logical_not()?.f_to_kind(Kind::Float)?)
    }
}

impl Trainer {
    /// One optimiser step. Where a loss or a gradient is no number, nothing is updated, and in
    /// f16 the scale of the loss is lowered.
    ///
    /// Returns what is known by then: of this step, or, where steps are read late, of the one
    /// before it.
    pub(crate) fn train_step(&mut self) -> Result<Option<StepMetrics>, TrainError> {
        let batch = self.prepare()?;
        self.master.zero_grad();
        let (losses, parts) = self.backward(&batch)?;
        let mut gradients = self.master.gradients(self.scale.factor())?;
        let norm = gradients.norm()?;
        if let Some(most) = self.config.clip_norm {
            gradients.clip(&norm, most)?;
        }
        let lr = self.config.lr_at(self.step);
        let unread = unread(self.step + 1, lr, &batch, (&losses, &parts, &norm))?;
        if self.reads_late {
            let broken = unread.broken()?;
            self.update(&gradients, lr, Some(&broken))?;
            self.latest = Some(batch);
            self.step += 1;
            return self.unread.replace(unread).map(PendingMetrics::read).transpose();
        }
        let seen = unread.read()?;
        let finite = seen.norm.is_finite();
        if !seen.loss().is_finite() || (!finite && self.config.precision != Precision::F16) {
            return Ok(Some(seen));
        }
        if finite {
            self.update(&gradients, lr, None)?;
        }
        if self.config.precision == Precision::F16 {
            self.scale = self.scale.after(finite);
        }
        self.timesteps.learn(&seen.t, &seen.losses);
        self.latest = Some(batch);
        self.step += 1;
        Ok(Some(seen))
    }

    /// What is known of a step that has been made and not been read; waits for the device.
    pub(crate) fn flush_metrics(&mut self) -> Result<Option<StepMetrics>, TrainError> {
        self.unread.take().map(PendingMetrics::read).transpose()
    }

    /// - skip: one f32 on the device; where it is 1, the weights stay
    fn update(
        &mut self,
        gradients: &Gradients,
        lr: f64,
        skip: Option<&Tensor>,
    ) -> Result<(), TrainError> {
        self.adam.step_unless(gradients, lr, skip)?;
        self.master.sync_to_model()?;
        self.averages.update(&self.master, self.step)
    }

    /// Whether the loss overflows in f16 however little it is scaled.
    pub(crate) fn scale_is_lost(&self) -> bool {
        self.scale.log2() < LossScaler::LEAST
    }

    /// Sums up the gradients of a batch, part by part; the loss of each image, [B], and the means
    /// of error and bound where the loss is their sum.
    fn backward(&self, batch: &TrainingBatch) -> Result<(Tensor, Option<[Tensor; 2]>), TrainError> {
        let (mut losses, mut errors, mut bounds) = (Vec::new(), Vec::new(), Vec::new());
        let scale = self.scale.factor() / batch.len() as f64;
        for part in self.microbatches(batch.len()) {
            let terms = self.terms(self.network.as_ref(), batch, part.clone(), Mode::Train)?;
            let weights = Tensor::f_from_slice(&batch.drawn.weights[part])?;
            let weights = weights.f_to_kind(terms.loss.kind())?.f_to_device(terms.loss.device())?;
            let loss = terms.loss.f_mul(&weights)?.f_sum(terms.loss.kind())?;
            loss.f_mul_scalar(scale)?.f_backward()?;
            losses.push(terms.loss.f_detach()?);
            if let (Some(error), Some(bound)) = (terms.error, terms.bound) {
                errors.push(error.f_detach()?.f_mul(&weights)?);
                bounds.push(bound.f_detach()?.f_mul(&weights)?);
            }
        }
        let mean = |parts: &[Tensor]| Tensor::f_cat(parts, 0)?.f_mean(Kind::Double);
        let parts = match errors.is_empty() {
            true => None,
            false => Some([mean(&errors)?, mean(&bounds)?]),
        };
        Ok((Tensor::f_cat(&losses, 0)?, parts))
    }
}

/// All numbers of a step as one tensor.
fn unread(
    step: usize,
    lr: f64,
    batch: &TrainingBatch,
    (losses, parts, norm): (&Tensor, &Option<[Tensor; 2]>, &Tensor),
) -> Result<PendingMetrics, TrainError> {
    let flat = |tensor: &Tensor| tensor.f_to_kind(Kind::Double)?.f_view([-1]);
    let mut all = vec![flat(losses)?, flat(norm)?.f_to_device(losses.device())?];
    for part in parts.iter().flatten() {
        all.push(flat(part)?);
    }
    let numbers = Tensor::f_cat(&all, 0)?;
    let (t, weights) = (batch.drawn.t.clone(), batch.drawn.weights.clone());
    Ok(PendingMetrics { step, lr, t, weights, parted: parts.is_some(), numbers })
}

#[cfg(test)]
mod tests;
