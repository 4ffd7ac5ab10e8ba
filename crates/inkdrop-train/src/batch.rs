//! A batch that is ready for the network.

use std::ops::Range;

use inkdrop_data::Images;
use inkdrop_nn::{Conditioning, Mode, TrainableNetwork};
use inkdrop_process::{LossTerms, Objective, pixels};
use tch::{Kind, Tensor};

use crate::labels::BatchLabels;
use crate::timesteps::Drawn;
use crate::{TrainError, Trainer};

/// Images with all that is random about their step.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// [B, C, H, W] in [-1, 1]
    x0: Tensor,
    /// As many.
    noise: Tensor,
    /// `[B]`
    t: Tensor,
    pub drawn: Drawn,
    labels: BatchLabels,
    /// The images made small, [B, C, h, w], for a network that makes them large.
    small: Option<Tensor>,
}

impl Prepared {
    pub(crate) fn len(&self) -> usize {
        self.drawn.t.len()
    }

    /// - x0: [B, C, H, W] in [-1, 1], on its device
    /// - low_res: side of the small images, if any are wanted
    pub(crate) fn new(
        x0: Tensor,
        drawn: Drawn,
        labels: BatchLabels,
        low_res: Option<i64>,
    ) -> Result<Self, TrainError> {
        let t: Vec<i64> = drawn.t.iter().map(|&t| t as i64).collect();
        let t = Tensor::f_from_slice(&t)?.f_to_device(x0.device())?;
        let noise = x0.f_randn_like()?;
        let small = low_res.map(|side| x0.f_adaptive_avg_pool2d([side, side])).transpose()?;
        Ok(Self { x0, noise, t, drawn, labels, small })
    }
}

impl Trainer {
    /// The batch of this step. All that is random in it follows from (seed, step) and the losses
    /// that the timestep sampler has seen; so does what the network draws after it.
    pub(crate) fn prepare(&mut self) -> Result<Prepared, TrainError> {
        let batch = self.loader.batch(self.step)?;
        let seed = step_seed(self.config.seed, self.step);
        tch::manual_seed(seed as i64);
        let x0 = self.tensor(&batch.images)?;
        let labels = self.labels.batch(&batch.indices, self.config.label_dropout)?;
        let drawn = self.timesteps.draw(batch.indices.len(), seed);
        Prepared::new(x0, drawn, labels, self.config.low_res)
    }

    /// Images on the network's device, [B, C, H, W] in [-1, 1].
    pub(crate) fn tensor(&self, images: &Images) -> Result<Tensor, TrainError> {
        let shape = [images.len(), images.height(), images.width(), images.channels()];
        let device = self.network.params().device();
        Ok(pixels::to_tensor(images.bytes(), shape.map(|axis| axis as i64), device)?)
    }

    /// The losses of a network on some images of a batch.
    pub(crate) fn terms(
        &self,
        network: &dyn TrainableNetwork,
        batch: &Prepared,
        range: Range<usize>,
        mode: Mode,
    ) -> Result<LossTerms, TrainError> {
        let part = |tensor: &Tensor| tensor.f_narrow(0, range.start as i64, range.len() as i64);
        let (x0, t, noise) = (part(&batch.x0)?, part(&batch.t)?, part(&batch.noise)?);
        let conditioning = Conditioning {
            low_res: batch.small.as_ref().map(part).transpose()?,
            ..batch.labels.conditioning(range.clone(), x0.device())?
        };
        let objective = Objective::new(&self.process, &self.config.objective())?;
        Ok(objective.terms(network, (&x0, &t, &noise), &conditioning, mode)?)
    }

    /// The batch in parts that fit into memory.
    pub(crate) fn parts(&self, images: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let most = self.config.microbatch.unwrap_or(images).max(1);
        (0..images).step_by(most).map(move |start| start..(start + most).min(images))
    }

    /// The loss of the last step's batch with the weights after it, in evaluation mode and
    /// without learning from it: finite only where they still work. None before the first step.
    pub(crate) fn probe(&self) -> Result<Option<f64>, TrainError> {
        let Some(batch) = &self.latest else { return Ok(None) };
        let _guard = tch::no_grad_guard();
        let part = self.parts(batch.len()).next().unwrap_or(0..0);
        let terms = self.terms(self.network.as_ref(), batch, part, Mode::Eval)?;
        Ok(Some(terms.loss.f_mean(Kind::Float)?.f_double_value(&[])?))
    }
}

/// A seed for all that is random in one step (SplitMix64's finaliser, Steele et al. 2014).
pub(crate) fn step_seed(seed: u64, step: usize) -> u64 {
    let mut z = seed.wrapping_add((step as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
