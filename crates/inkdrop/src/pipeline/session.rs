//! A sampling session: a compiled network with its conditions, guidance, sampler and noise.

use std::ops::Range;

use inkdrop_data::{Depth, Images};
use inkdrop_nn::{Conditioning, Network};
use inkdrop_process::image_condition::{enlarge, masked};
use inkdrop_process::{DiffusionProcess, ImageCondition};
use inkdrop_sampler::edit::{Inpaint, add_noise};
use inkdrop_sampler::{
    BatchModel, BoxedDenoiser, Ddim, DdimInversion, Inversion, KnownPart, SampleBatches,
    SampleConfig, SamplerError, SamplingRun, SamplingSteps, WithKnownPart,
};
use inkdrop_torch::tch::{Device, Tensor};
use inkdrop_torch::{NoiseSource, PerImageNoise, TorchError, split_mix_64};

use super::SamplingPlan;
use super::edit::InpaintMethod;
use super::guidance::{Dropped, Guidance};
use crate::Result;
use crate::error::{bail, ensure};
use crate::model::conditioning;
use crate::samples::PixelForm;

/// A pipeline that is ready to sample: made by [`SamplingPlan::start`](crate::SamplingPlan::start).
///
/// Its methods prepare one batch each, as an iterator over its steps (a
/// [`SamplingRun`](inkdrop_sampler::SamplingRun)). `images` are the indices of the batch: they choose
/// the noise and the conditions.
pub struct SamplingSession<'a> {
    pub(super) plan: SamplingPlan<'a>,
    pub(super) network: &'a dyn Network,
    pub(super) guidance: Guidance<'a>,
}

impl<'a> SamplingSession<'a> {
    /// The diffusion process.
    pub fn process(&self) -> &'a dyn DiffusionProcess {
        self.plan.pipeline.process()
    }

    /// The device of the network.
    pub fn device(&self) -> Device {
        self.process().device()
    }

    /// Shape of a generated image, [C, H, W].
    pub fn image_shape(&self) -> [i64; 3] {
        self.plan.pipeline.metadata().model.image_shape()
    }

    /// The noise of some images: that of an image depends on the seed and its index alone.
    pub fn noise(&self, images: &Range<usize>) -> PerImageNoise {
        PerImageNoise::new(self.plan.seed(), images.start as u64..images.end as u64)
    }

    /// The guided denoiser of some images.
    ///
    /// - given: what a conditioned network starts from, as for [`SamplingSession::generate`]
    ///
    /// # Errors
    /// The condition is missing or has another size, or libtorch is out of memory.
    pub fn denoiser(
        &self,
        images: Range<usize>,
        given: Option<&Tensor>,
    ) -> Result<BoxedDenoiser<'a>, TorchError> {
        let device = self.device();
        let ImageInputs { low_res, image } = self.image_inputs(&images, given)?;
        let conditioning = |dropped: Dropped<'_>| {
            let uncond = match dropped {
                Dropped::Nothing | Dropped::Image => None,
                Dropped::Label(uncond) => Some(uncond),
            };
            let conditions = images.clone().map(|i| uncond.unwrap_or(self.plan.conditions.get(i)));
            let low_res = low_res.as_ref().map(Tensor::shallow_clone);
            let image = image.as_ref().map(|image| match dropped {
                Dropped::Image => image.f_zeros_like(),
                Dropped::Nothing | Dropped::Label(_) => Ok(image.shallow_clone()),
            });
            let image = image.transpose()?;
            Ok(Conditioning { low_res, image, ..conditioning(conditions, device)? })
        };
        let (network, process) = (self.network, self.process());
        Ok(match &self.plan.scheduler {
            Some(run) => {
                let plain = self.guidance.unclipped(network, process, &conditioning)?;
                let denoiser = run.denoiser(plain);
                match self.guidance.settings.threshold {
                    Some(quantile) => Box::new(denoiser.with_threshold(quantile)),
                    None => Box::new(denoiser),
                }
            }
            None => self.guidance.denoiser(network, process, &conditioning)?,
        })
    }

    /// The images that the network takes beside x.
    fn image_inputs(
        &self,
        images: &Range<usize>,
        given: Option<&Tensor>,
    ) -> Result<ImageInputs, TorchError> {
        let metadata = self.plan.pipeline.metadata();
        let [channels, height, width] = self.image_shape();
        let Some(condition) = metadata.condition else {
            return Ok(ImageInputs { low_res: given.map(Tensor::shallow_clone), image: None });
        };
        let own = || -> Result<Option<Tensor>, TorchError> {
            let images = self.plan.condition_images(images.clone(), self.device()).transpose();
            images.map_err(|error| TorchError::message(error.report()))
        };
        let given = match given {
            Some(given) => Some(given.shallow_clone()),
            None => own()?,
        };
        let Some(given) = given else {
            let name = condition.name();
            return Err(TorchError::message(format!(
                "this model is conditioned on an image ({name}), and none was given"
            )));
        };
        let image = match condition {
            ImageCondition::LowRes { .. } if given.size().ends_with(&[height, width]) => given, // enlarged by the caller
            ImageCondition::LowRes { .. } => {
                let [level, _] = condition.noise();
                enlarge(&self.noisy(given, images, level)?, [height, width])?
            }
            ImageCondition::Pair { .. } | ImageCondition::Mask { .. } => given,
        };
        let expected = [images.len() as i64, condition.channels(channels), height, width];
        if image.size() != expected {
            return Err(TorchError::message(format!(
                "the image condition has shape {:?}, expected {expected:?}",
                image.size()
            )));
        }
        Ok(ImageInputs { low_res: None, image: Some(image) })
    }

    /// Low-resolution images with the noise that the network knows from its training.
    fn noisy(
        &self,
        small: Tensor,
        images: &Range<usize>,
        level: f64,
    ) -> Result<Tensor, TorchError> {
        if level == 0.0 {
            return Ok(small);
        }
        let seed = split_mix_64(self.plan.seed(), 0); // not the noise that the images begin with
        let mut noise = PerImageNoise::new(seed, images.start as u64..images.end as u64);
        let noise = noise.normal(&small.size(), small.device())?;
        Ok(small.f_add(&noise.f_mul_scalar(level)?)?)
    }

    /// The images of x, with the rounding of the model's program.
    ///
    /// - x: about −1 to 1, [B, C, H, W]
    ///
    /// # Errors
    /// x has another number of axes, or more than 16 channels.
    pub fn to_images(&self, x: &Tensor) -> Result<Images> {
        self.plan.pipeline.pixel_form().images(x)
    }

    /// The images of x in a depth, for edits of images that have more bits than the model's.
    ///
    /// - x: about −1 to 1, [B, C, H, W]
    ///
    /// # Errors
    /// As for [`SamplingSession::to_images`].
    pub fn to_images_in(&self, x: &Tensor, depth: Depth) -> Result<Images> {
        PixelForm { depth, ..self.plan.pipeline.pixel_form() }.images(x)
    }

    /// The batches of some images, from noise; the first index must start a batch.
    ///
    /// # Errors
    /// There are no images, or the first one is inside a batch.
    pub fn batches(&self, images: Range<usize>) -> Result<SampleBatches<'_>> {
        Ok(SampleBatches::new(self, self.plan.sample_config(images))?)
    }

    /// Samples images from noise, or enlarges low-resolution images.
    ///
    /// - given: what a conditioned network starts from, in [-1, 1]: low-resolution images [B, C, h, w], paired
    ///   pictures [B, C', H, W], or masked pictures with their masks
    ///   ([`masked`](inkdrop_process::image_condition::masked)). Without it, those of the pipeline.
    ///
    /// # Errors
    /// The condition is missing or has another size, or libtorch is out of memory.
    pub fn generate(
        &self,
        images: Range<usize>,
        given: Option<&Tensor>,
    ) -> Result<SamplingSteps<'a>> {
        let noise = self.noise(&images);
        self.generate_with(images, given, noise)
    }

    /// The same with noise of one's own.
    ///
    /// # Errors
    /// As for [`SamplingSession::generate`].
    pub fn generate_with(
        &self,
        images: Range<usize>,
        given: Option<&Tensor>,
        mut noise: impl NoiseSource + 'a,
    ) -> Result<SamplingSteps<'a>> {
        let [c, h, w] = self.image_shape();
        let x = noise.normal(&[images.len() as i64, c, h, w], self.device())?;
        let denoiser = self.denoiser(images, given)?;
        Ok(self.steps_from(denoiser, x, noise)?)
    }

    /// The steps of the sampler, or of the directory's scheduler.
    fn steps_from<'n>(
        &self,
        denoiser: BoxedDenoiser<'n>,
        x: Tensor,
        noise: impl NoiseSource + 'n,
    ) -> Result<SamplingSteps<'n>, SamplerError>
    where
        'a: 'n,
    {
        let SamplingPlan { sampler, schedule, scheduler, .. } = &self.plan;
        match scheduler {
            None => sampler.steps(denoiser, self.process().noise_levels(), schedule, x, noise),
            Some(run) => run.steps(denoiser, &x, noise),
        }
    }

    /// Image-to-image (SDEdit): noise is added to x, and removed by the last steps of the schedule.
    ///
    /// - x: images in [−1, 1], [B, C, H, W]
    /// - strength: fraction of the steps, above 0 (the image is kept) to 1 (a new image)
    ///
    /// # Errors
    /// A strength outside its range.
    pub fn img2img(
        &self,
        images: Range<usize>,
        x: &Tensor,
        strength: f64,
    ) -> Result<SamplingSteps<'a>> {
        let mut noise = self.noise(&images);
        let schedule = self.plan.img2img_schedule(strength)?;
        let x = add_noise(x, schedule.start(), &mut noise)?;
        let denoiser = self.denoiser(images, None)?;
        Ok(self.plan.sampler.steps(denoiser, self.process().noise_levels(), &schedule, x, noise)?)
    }

    /// Inpainting.
    ///
    /// - x: images in [−1, 1], [B, C, H, W]
    /// - mask: [B, 1, H, W], 1 where pixels are generated
    ///
    /// # Errors
    /// A mask of another size, or invalid [`Repaint`](inkdrop_sampler::edit::Repaint) values.
    pub fn inpaint(
        &self,
        images: Range<usize>,
        x: &Tensor,
        mask: &Tensor,
        method: InpaintMethod,
    ) -> Result<Box<dyn SamplingRun + 'a>> {
        Ok(match method {
            InpaintMethod::Trained => Box::new(self.generate(images, Some(&masked(x, mask)?))?),
            InpaintMethod::KnownPart => {
                Box::new(self.with_known_part(images, KnownPart::pixels(x, mask)?)?)
            }
            InpaintMethod::Repaint(repaint) => {
                let (noise, denoiser) = (self.noise(&images), self.denoiser(images, None)?);
                Box::new(Inpaint::new(denoiser, &self.plan.schedule, (x, mask), repaint, noise)?)
            }
        })
    }

    /// Super-resolution: by the network, if it was trained for it, else with known means.
    ///
    /// - x: small images in [−1, 1], [B, C, h, w]
    ///
    /// # Errors
    /// The size of the model is no multiple of that of x, or another one than the network was trained for.
    pub fn upscale(&self, images: Range<usize>, x: &Tensor) -> Result<SamplingSteps<'a>> {
        let ([_, height, width], size) = (self.image_shape(), x.size());
        let [_, _, h, w] = size[..] else {
            bail!("x has shape {size:?}, expected small images [B, C, h, w]");
        };
        let factor = width / w.max(1);
        ensure!(
            factor >= 2 && [h * factor, w * factor] == [height, width],
            "an image is {w} x {h} pixels, the model generates {width} x {height}: expected one that is smaller by an integer factor of at least 2"
        );
        if let Some(ImageCondition::LowRes { factor: own, .. }) =
            self.plan.pipeline.metadata().condition
        {
            ensure!(factor == own, "an image is {w} x {h} pixels, the model enlarges {own} times");
        }
        match self.plan.pipeline.is_upscaler() {
            true => self.generate(images, Some(x)),
            false => self.with_known_part(images, KnownPart::means(x, factor)?),
        }
    }

    /// Samples images with a known part: every step predicts images that have it (Song et al. 2023,
    /// algorithm 4; Wang et al. 2023).
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn with_known_part(
        &self,
        images: Range<usize>,
        known: KnownPart,
    ) -> Result<SamplingSteps<'a>> {
        let SamplingPlan { sampler, schedule, .. } = &self.plan;
        let mut noise = self.noise(&images);
        let x = add_noise(known.images(), schedule.start(), &mut noise)?;
        let denoiser = WithKnownPart::new(self.denoiser(images, None)?, known);
        let levels = self.process().noise_levels();
        Ok(sampler.steps(Box::new(denoiser), levels, schedule, x, noise)?)
    }

    /// DDIM inversion: the noise from which deterministic DDIM generates x.
    ///
    /// - x: images in [−1, 1], [B, C, H, W]
    /// - refine: fixed-point iterations per step; 0 is fast, 3 is close to exact
    ///
    /// # Errors
    /// The network does not accept x.
    pub fn invert(
        &self,
        images: Range<usize>,
        x: &Tensor,
        refine: usize,
    ) -> Result<DdimInversion<'a>> {
        let denoiser = self.denoiser(images, None)?;
        let schedule = &self.plan.schedule;
        let inversion = Inversion { end: schedule.start(), refine };
        Ok(DdimInversion::new(denoiser, schedule, x.shallow_clone(), inversion)?)
    }

    /// Deterministic DDIM from given noise.
    ///
    /// - x: noise, [B, C, H, W]
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn generate_from(&self, images: Range<usize>, x: &Tensor) -> Result<SamplingSteps<'a>> {
        let (noise, denoiser) = (self.noise(&images), self.denoiser(images, None)?);
        let ddim = Ddim::new(0.0)?;
        Ok(SamplingSteps::new(denoiser, ddim, &self.plan.schedule, x.shallow_clone(), noise))
    }
}

/// The images that a network takes beside x.
struct ImageInputs {
    /// Of a super-resolution network, [B, C, h, w].
    low_res: Option<Tensor>,
    /// Concatenated with x, [B, C', H, W].
    image: Option<Tensor>,
}

impl BatchModel for SamplingSession<'_> {
    fn process(&self) -> &dyn DiffusionProcess {
        self.process()
    }

    fn image_shape(&self) -> [i64; 3] {
        self.image_shape()
    }

    fn denoiser(&self, images: Range<usize>) -> Result<BoxedDenoiser<'_>, SamplerError> {
        Ok(self.denoiser(images, None)?)
    }

    fn steps<'s>(
        &'s self,
        images: Range<usize>,
        x: Tensor,
        noise: Box<dyn NoiseSource + 's>,
        _: &SampleConfig,
    ) -> Result<SamplingSteps<'s>, SamplerError> {
        self.steps_from(self.denoiser(images, None)?, x, noise)
    }
}
