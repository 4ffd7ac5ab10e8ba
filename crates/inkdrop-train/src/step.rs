//! One step: gradients of a batch, the optimiser, the averages.

use inkdrop_nn::Mode;
use tch::{Device, Kind, Tensor};

use crate::batch::Prepared;
use crate::{LossScale, Precision, TrainError, Trainer};

/// What a step has seen.
#[derive(Debug)]
pub(crate) struct Seen {
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

impl Seen {
    /// The batch's loss.
    pub(crate) fn loss(&self) -> f64 {
        let weighted = self.losses.iter().zip(&self.weights).map(|(loss, weight)| loss * weight);
        weighted.sum::<f64>() / self.losses.len() as f64
    }
}

impl Trainer {
    /// One optimiser step. Where a loss or a gradient is no number, nothing is updated, and in
    /// f16 the scale of the loss is lowered.
    pub(crate) fn advance(&mut self) -> Result<Seen, TrainError> {
        let batch = self.prepare()?;
        self.master.zero_grad();
        let (losses, parts) = self.backward(&batch)?;
        let mut gradients = self.master.gradients(self.scale.factor())?;
        let norm = gradients.norm()?;
        if let Some(most) = self.config.clip_norm {
            gradients.clip(&norm, most)?;
        }
        let seen = see(&batch, &losses, &parts, &norm)?;
        let finite = seen.norm.is_finite();
        if !seen.loss().is_finite() || (!finite && self.config.precision != Precision::F16) {
            return Ok(seen);
        }
        if finite {
            self.adam.step(&gradients, self.config.lr_at(self.step))?;
            self.master.publish()?;
            self.averages.update(&self.master, self.step)?;
        }
        if self.config.precision == Precision::F16 {
            self.scale = self.scale.after(finite);
        }
        self.timesteps.learn(&seen.t, &seen.losses);
        self.latest = Some(batch);
        self.step += 1;
        Ok(seen)
    }

    /// Whether the loss overflows in f16 however little it is scaled.
    pub(crate) fn scale_is_lost(&self) -> bool {
        self.scale.log2() < LossScale::LEAST
    }

    /// Sums up the gradients of a batch, part by part; the loss of each image, [B], and the means
    /// of error and bound where the loss is their sum.
    fn backward(&self, batch: &Prepared) -> Result<(Tensor, Option<[Tensor; 2]>), TrainError> {
        let (mut losses, mut errors, mut bounds) = (Vec::new(), Vec::new(), Vec::new());
        let scale = self.scale.factor() / batch.len() as f64;
        for part in self.parts(batch.len()) {
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

/// Fetches all numbers of a step from the device, once.
fn see(
    batch: &Prepared,
    losses: &Tensor,
    parts: &Option<[Tensor; 2]>,
    norm: &Tensor,
) -> Result<Seen, TrainError> {
    let flat = |tensor: &Tensor| tensor.f_to_kind(Kind::Double)?.f_view([-1]);
    let mut all = vec![flat(losses)?, flat(norm)?.f_to_device(losses.device())?];
    for part in parts.iter().flatten() {
        all.push(flat(part)?);
    }
    let all = Vec::<f64>::try_from(&Tensor::f_cat(&all, 0)?.f_to_device(Device::Cpu)?)?;
    let (losses, rest) = all.split_at(batch.len());
    Ok(Seen {
        t: batch.drawn.t.clone(),
        weights: batch.drawn.weights.clone(),
        losses: losses.to_vec(),
        norm: rest[0],
        parts: parts.as_ref().map(|_| [rest[1], rest[2]]),
    })
}
