//! Image editing by a pipeline: image-to-image, inpainting, inversion, interpolation, super-resolution.

use std::ops::Range;

use inkdrop_data::{Depth, Images};
use inkdrop_process::ImageCondition;
use inkdrop_sampler::edit::{Repaint, latent_grid};
use inkdrop_sampler::{KnownPart, SamplingRun};
use inkdrop_torch::tch::Tensor;
use inkdrop_unet::ModelConfig;
use ndarray::Array2;

use super::{Pipeline, SamplingPlan, SamplingSession};
use crate::error::{bail, ensure};
use crate::mask::{self, Mask};
use crate::model::metadata::check_upscaler;
use crate::samples::{PixelForm, to_tensor};
use crate::{Result, Samples};

/// Default number of steps of inpainting, as in the paper, and of inversion.
const STEPS: (usize, usize) = (250, 100);

/// A method of inpainting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InpaintMethod {
    /// RePaint, with resampling (Lugmayr et al. 2022).
    Repaint(Repaint),
    /// Every step of the sampler predicts images with the known pixels (Song et al. 2023, algorithm 4; Wang
    /// et al. 2023): a few steps, and the default for distilled models.
    KnownPart,
    /// The model was trained for inpainting.
    Trained,
}

impl InpaintMethod {
    /// Number of sampling steps of one batch.
    pub fn steps(self, plan: &SamplingPlan<'_>) -> usize {
        match self {
            Self::Repaint(repaint) => repaint.calls(plan.schedule.len()),
            Self::KnownPart | Self::Trained => plan.schedule.len(),
        }
    }
}

impl Pipeline {
    /// Image-to-image (SDEdit, Meng et al. 2022): adds noise and removes it again. Images that this
    /// pipeline sampled need another seed: their own noise would generate them again.
    ///
    /// - images: of the size of the model
    /// - strength: fraction of the steps, above 0 (the image is kept) to 1 (a new image)
    ///
    /// # Errors
    /// A strength outside its range, images of another size, or a setting that does not fit the model.
    pub fn img2img(&self, images: &Images, strength: f64) -> Result<Samples> {
        let each = |session: &SamplingSession, range, x: &Tensor| {
            Ok(session.img2img(range, x, strength)?.finish()?)
        };
        self.edit(self.sampler_plan()?, images, each)
    }

    /// Inpaints a region: by RePaint (Lugmayr et al. 2022), in 250 steps by default, or with a model that was
    /// trained for it (condition `mask`), by its sampler. The other pixels are kept exactly, in 8 or 16 bits: results
    /// of this and of other edits have 16 bits if the images or the model have them.
    ///
    /// - repaint: not used by a model that was trained for inpainting
    /// - mask: [H, W], true for the pixels to generate, in all images
    ///
    /// # Errors
    /// A mask or images of another size than the model's, or a setting that does not fit the model.
    pub fn inpaint(
        &self,
        images: &Images,
        mask: &Array2<bool>,
        repaint: Repaint,
    ) -> Result<Samples> {
        let (height, width) = (images.height(), images.width());
        ensure!(
            mask.dim() == (height, width),
            "the mask is {} x {} pixels, the images are {height} x {width} (height, width)",
            mask.dim().0,
            mask.dim().1
        );
        let pixels: Mask = mask.iter().copied().collect();
        let tensor = mask::to_tensor(&[&pixels], height, self.process().device())?;
        let method = self.inpaint_method(repaint);
        let each = |session: &SamplingSession, range: Range<usize>, x: &Tensor| {
            let mask = tensor.f_expand([range.len() as i64, -1, -1, -1], false)?;
            Ok(session.inpaint(range, x, &mask, method)?.finish()?)
        };
        let samples = self.edit(self.inpaint_plan(method)?, images, each)?;
        let kept = mask::compose(Some(&samples.to_images()), images, &vec![&pixels; images.len()])?;
        Ok(samples.with_images(kept))
    }

    /// DDIM inversion (Song et al. 2020): the noise from which [`Pipeline::sample_from`] generates the
    /// images, [N, C, H, W]. 100 steps by default.
    ///
    /// - refine: fixed-point iterations per step; 0 is fast, 3 is close to exact
    ///
    /// # Errors
    /// Images of another size than the model's, or a setting that does not fit the model.
    pub fn invert(&self, images: &Images, refine: usize) -> Result<Tensor> {
        let each = |session: &SamplingSession, range, x: &Tensor| {
            Ok(session.invert(range, x, refine)?.finish()?)
        };
        self.edited(&self.inversion_plan()?, images, each)
    }

    /// Deterministic DDIM from given noise, with the steps of [`Pipeline::invert`].
    ///
    /// - noise: [N, C, H, W]
    ///
    /// # Errors
    /// Noise of another shape, or a setting that does not fit the model.
    pub fn sample_from(&self, noise: &Tensor) -> Result<Samples> {
        self.generated(noise, self.metadata.depth)
    }

    /// - depth: of the images that the noise was made from
    fn generated(&self, noise: &Tensor, depth: Depth) -> Result<Samples> {
        let [c, h, w] = self.metadata().model.image_shape();
        let size = noise.size();
        ensure!(
            size.len() == 4 && size[1..] == [c, h, w],
            "the noise has shape {size:?}, expected [N, {c}, {h}, {w}]"
        );
        let plan = self.inversion_plan()?;
        plan.sample_config(0..size[0] as usize).check()?;
        let session = plan.start()?;
        let noise = noise.f_to_device(session.device())?;
        let mut all = Vec::new();
        for range in ranges(&plan, size[0] as usize) {
            let x = noise.f_narrow(0, range.start as i64, range.len() as i64)?;
            all.push(session.generate_from(range, &x)?.finish()?);
        }
        self.samples(&plan, all, depth)
    }

    /// Interpolates between two images in a row of `columns` images, or between four (upper left, upper
    /// right, lower left, lower right) in a grid of `columns` rows and columns: DDIM inversion,
    /// spherical interpolation of the noise, and DDIM.
    ///
    /// # Errors
    /// Neither two nor four images, fewer than 2 columns, or images of another size than the model's.
    pub fn interpolate(&self, images: &Images, columns: usize) -> Result<Samples> {
        ensure!(columns >= 2, "{columns} columns: expected at least 2");
        let count = images.len();
        ensure!([2, 4].contains(&count), "{count} images: expected 2 for a row or 4 for a grid");
        let noise = self.invert(images, 3)?.f_split(1, 0)?;
        let noise = match &noise[..] {
            [a, b, c, d] => latent_grid([a, c, b, d], columns, columns)?,
            row => latent_grid([&row[0], &row[0], &row[1], &row[1]], 1, columns)?,
        };
        self.generated(&noise, images.depth())
    }

    /// Enlarges images by an integer factor of at least 2: with a super-resolution network, one with the
    /// condition `low-res`, or any other, which then generates images with the means that are given.
    ///
    /// # Errors
    /// The size of the model is no multiple of the images'.
    pub fn upscale(&self, images: &Images) -> Result<Samples> {
        let channels = self.metadata().model.image_shape()[0];
        ensure!(
            images.channels() as i64 == channels,
            "the images have {} channels, the model generates {channels}: expected equal numbers",
            images.channels()
        );
        let plan = self.sampler_plan()?;
        let each = |session: &SamplingSession, range, x: &Tensor| {
            Ok(session.upscale(range, x)?.finish()?)
        };
        let x = self.batchwise(&plan, images, each)?;
        self.samples(&plan, x, images.depth())
    }

    /// The plan of an inversion and of its way back, which divide by √ᾱ.
    ///
    /// # Errors
    /// As for [`Pipeline::plan`]; and if a sampler, its η or a spacing is set, since inversion has its own.
    pub fn inversion_plan(&self) -> Result<SamplingPlan<'_>> {
        Ok(self.edit_plan("DDIM inversion", STEPS.1)?.with_min_signal())
    }

    /// The method of inpainting that suits the model.
    ///
    /// - repaint: for models that were neither trained for inpainting nor distilled
    pub fn inpaint_method(&self, repaint: Repaint) -> InpaintMethod {
        match self.metadata.condition {
            Some(ImageCondition::Mask { .. }) => InpaintMethod::Trained,
            _ if self.distilled_kind().is_some() => InpaintMethod::KnownPart,
            _ => InpaintMethod::Repaint(repaint),
        }
    }

    /// The plan of inpainting: 250 steps of RePaint by default, the steps of the sampler for other methods.
    ///
    /// # Errors
    /// As for [`Pipeline::plan`]; and if a sampler, its η or a spacing is set for RePaint, which has its own.
    pub fn inpaint_plan(&self, method: InpaintMethod) -> Result<SamplingPlan<'_>> {
        match method {
            InpaintMethod::Repaint(_) => {
                self.edit_plan("RePaint (without --known-pixels)", STEPS.0)
            }
            InpaintMethod::Trained | InpaintMethod::KnownPart => self.sampler_plan(),
        }
    }

    /// The plan of a method with its own sampler: timesteps with trailing spacing.
    ///
    /// - steps: number of steps, unless [`Pipeline::steps`] sets it; at most all timesteps
    fn edit_plan(&self, method: &str, steps: usize) -> Result<SamplingPlan<'_>> {
        let settings = &self.settings;
        settings.check_own_sampler(method)?;
        let is_consistency = self.process().config().consistency().is_some();
        if let Some(kind) = self.distilled_kind().filter(|_| !is_consistency) {
            bail!("{method} needs the velocity at one time: {kind} predicts whole steps");
        }
        SamplingPlan::new(self, settings.edit_levels(steps, self.process()))
    }

    /// Colours images: generates images with the luma of the given ones.
    ///
    /// - images: of the size of the model, in colour or gray
    ///
    /// # Errors
    /// The model does not generate RGB images, or the images have another size.
    pub fn colorize(&self, images: &Images) -> Result<Samples> {
        let channels = self.metadata.model.image_shape()[0];
        ensure!(channels == 3, "the model generates {channels} channels: expected 3 (RGB)");
        let images = &images.clone().with_channels(3)?;
        let each = |session: &SamplingSession, range, x: &Tensor| {
            Ok(session.with_known_part(range, KnownPart::luma(x)?)?.finish()?)
        };
        self.edit(self.sampler_plan()?, images, each)
    }

    /// True for a network that was trained for super-resolution; others sample with known means.
    pub fn is_upscaler(&self) -> bool {
        matches!(self.metadata.model, ModelConfig::ImprovedSuperRes(_))
            || matches!(self.metadata.condition, Some(ImageCondition::LowRes { .. }))
    }

    fn edit(
        &self,
        plan: SamplingPlan<'_>,
        images: &Images,
        each: impl Fn(&SamplingSession, Range<usize>, &Tensor) -> Result<Tensor>,
    ) -> Result<Samples> {
        let x = self.edited(&plan, images, each)?;
        self.samples(&plan, vec![x], images.depth())
    }

    /// Edits images of the size of the model, batch by batch.
    fn edited(
        &self,
        plan: &SamplingPlan<'_>,
        images: &Images,
        each: impl Fn(&SamplingSession, Range<usize>, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        check_upscaler(&self.name, self.metadata.network(), false)?;
        self.check_size(images)?;
        Ok(Tensor::f_cat(&self.batchwise(plan, images, each)?, 0)?)
    }

    fn batchwise(
        &self,
        plan: &SamplingPlan<'_>,
        images: &Images,
        each: impl Fn(&SamplingSession, Range<usize>, &Tensor) -> Result<Tensor>,
    ) -> Result<Vec<Tensor>> {
        plan.sample_config(0..images.len()).check()?;
        let session = plan.start()?;
        let device = session.device();
        let batch = |range: Range<usize>| {
            let part = images.select(&range.clone().collect::<Vec<_>>())?;
            each(&session, range, &to_tensor(&part, device)?)
        };
        ranges(plan, images.len()).map(batch).collect()
    }

    /// - depth: of the images that the samples were made from
    fn samples(&self, plan: &SamplingPlan<'_>, x: Vec<Tensor>, depth: Depth) -> Result<Samples> {
        let x = Tensor::f_cat(&x, 0)?;
        let conditions = (0..x.size()[0] as usize).map(|i| plan.conditions.get(i).clone());
        let form = self.pixel_form();
        Samples::new(x, conditions.collect(), PixelForm { depth: form.depth.max(depth), ..form })
    }
}

/// The images of each batch.
fn ranges(plan: &SamplingPlan<'_>, count: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let batch = plan.sample_config(0..count).batch;
    (0..count).step_by(batch).map(move |start| start..(start + batch).min(count))
}
