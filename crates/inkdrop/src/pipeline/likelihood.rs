//! Likelihood of images by a pipeline: bits per dimension under the probability flow.

use std::f64::consts::FRAC_1_SQRT_2;
use std::ops::Range;

use inkdrop_data::{Depth, Images};
use inkdrop_process::{NetworkDenoiser, pixels};
use inkdrop_sampler::{FlowLikelihood, Trace};
use inkdrop_schedule::{LevelSpacing, SamplingSchedule};
use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{NoiseSource, PerImageNoise};

use super::Pipeline;
use super::guidance::GuidanceSettings;
use super::plan::check_unused;
use crate::Result;
use crate::error::{Context, bail, ensure};
use crate::model::{Conditions, conditioning};

/// Default number of steps, two passes with gradients each.
const STEPS: usize = 100;

/// Default batch size.
const BATCH: usize = 16;

impl Pipeline {
    /// Bits per dimension of images under the probability flow (Song et al. 2021, section 4.3), batch by
    /// batch: an iterator over the values of each batch.
    ///
    /// The pixels are spread over their bins (uniform dequantisation). Image i of a seed has the same
    /// noise in any batch. The default is 100 steps, evenly spaced in ln σ.
    ///
    /// - images: of the size of the model
    ///
    /// # Errors
    /// The pipeline has only a compiled network, or a distilled model; images of
    /// another size, or a setting that does not fit the model.
    pub fn bits_per_dim<'a>(
        &'a self,
        images: &'a Images,
        trace: Trace,
    ) -> Result<impl Iterator<Item = Result<Vec<f64>>> + use<'a>> {
        self.check_size(images)?;
        if let Some(kind) = self.distilled_kind() {
            bail!(
                "likelihoods need the probability flow of a diffusion model: this is {kind}, evaluate the model that it was distilled from"
            );
        }
        ensure!(
            images.depth() == Depth::Eight && self.metadata.depth == Depth::Eight,
            "the images have {} bits, the model {}: expected 8 of both, of which likelihoods are",
            u8::from(images.depth()),
            u8::from(self.metadata.depth)
        );
        self.settings.check_own_sampler("a likelihood")?;
        let GuidanceSettings { scale, condition, threshold, .. } = &self.settings.guidance;
        check_unused(
            "a likelihood is that of the network alone",
            [
                ("guidance", scale.is_some() || condition.is_some()),
                ("threshold", threshold.is_some()),
            ],
        )?;
        let (steps, batch) = (self.settings.steps, self.settings.batch.unwrap_or(BATCH));
        ensure!(batch > 0, "--batch 0: expected at least 1");
        let spacing = LevelSpacing::Exponential { steps: steps.unwrap_or(STEPS) };
        let schedule = self.process().spaced(&spacing)?;
        let conditions = self.settings.conditions(&self.metadata)?;
        let starts = (0..images.len()).step_by(batch);
        let ranges = starts.map(move |start| start..(start + batch).min(images.len()));
        Ok(ranges.map(move |range| self.bits(images, range, &schedule, &conditions, trace)))
    }

    fn bits(
        &self,
        images: &Images,
        range: Range<usize>,
        schedule: &SamplingSchedule,
        conditions: &Conditions,
        trace: Trace,
    ) -> Result<Vec<f64>> {
        let (process, device) = (self.process(), self.process().device());
        let network = self.network.as_ref().context("a compiled network has no gradients")?;
        let part = images.select(&range.clone().collect::<Vec<_>>())?;
        let x0 = pixels::to_tensor(part.bytes(), part.nhwc(), device)?;
        let mut noise =
            PerImageNoise::new(self.settings.seed, range.start as u64..range.end as u64);
        let x0 = dequantized(&x0, &mut noise)?;
        let conditioning = conditioning(range.map(|i| conditions.get(i)), device)?;
        let denoiser = NetworkDenoiser::new(process, network.as_ref(), conditioning)
            .unclipped()
            .without_memory();
        let flow = FlowLikelihood::new(denoiser, schedule, &x0, trace, &mut noise)?;
        Ok(Vec::try_from(&flow.bits_per_dim()?)?)
    }

    /// Returns an error unless the images have the size of the model.
    pub(super) fn check_size(&self, images: &Images) -> Result<()> {
        let [channels, height, width] = self.metadata().model.image_shape();
        let [_, h, w, c] = images.nhwc();
        ensure!(
            [h, w, c] == [height, width, channels],
            "the images are {h} x {w} x {c} (height, width, channels), the model needs {height} x {width} x {channels}"
        );
        Ok(())
    }
}

/// Adds uniform noise of the width of a bin, 2/255, to values in [−1, 1] (Theis et al. 2016).
fn dequantized(x0: &Tensor, noise: &mut dyn NoiseSource) -> Result<Tensor> {
    // Φ(z) − ½ of a normal z is uniform in (−½, ½).
    let normal = noise.normal(&x0.size(), x0.device())?;
    let uniform = normal.f_mul_scalar(FRAC_1_SQRT_2)?.f_erf()?.f_mul_scalar(0.5)?;
    Ok(x0.f_add(&uniform.f_div_scalar(127.5)?)?)
}
