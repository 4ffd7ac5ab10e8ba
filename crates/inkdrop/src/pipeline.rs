//! Pipelines: a model with the settings of its sampling runs.

mod builder;
mod edit;
mod fit_schedule;
mod guidance;
mod likelihood;
mod plan;
mod session;

use std::cell::OnceCell;
use std::path::Path;

use inkdrop_data::Images;
use inkdrop_nn::{CompileOptions, Network, TrainableNetwork};
use inkdrop_process::{DiffusionProcess, ImageCondition};
use inkdrop_sampler::{BatchSteps, GuidanceInterval, Rng, SampleBatches, Sampler, SamplingSteps};
use inkdrop_schedule::LevelSpacing;
use inkdrop_torch::tch::Tensor;
use inkdrop_torch::{BrownianTreeNoise, TorchNoise};
use inkdrop_unet::ModelConfig;

pub use builder::PipelineBuilder;
pub use edit::InpaintMethod;
pub use plan::SamplingPlan;
pub use session::SamplingSession;

use crate::error::bail;
use crate::model::metadata::check_upscaler;
use crate::model::{Condition, Conditions, Model, ModelMetadata};
use crate::samples::{PixelForm, Rounding};
use crate::scheduler::{Scheduler, SchedulerRun};
use crate::{Result, Samples};
use plan::{ConditionImages, Settings};

/// A model with the settings of its sampling runs.
///
/// The setters have the names of the options of `inkdrop sample`. A setting that does not fit the
/// model is an error of the method that samples, and nothing is computed before.
///
/// ```
/// use inkdrop::Pipeline;
///
/// let heroes = Pipeline::open("sprites")?.class("hero").steps(5).seed(1).sample(4)?;
/// assert_eq!(heroes.images().shape(), [4, 16, 16, 3]);
/// # Ok::<(), inkdrop::Error>(())
/// ```
pub struct Pipeline {
    name: String,
    metadata: ModelMetadata,
    /// The file that the network comes from.
    model: Option<Model>,
    /// The network to compile; `None` if it is compiled already.
    network: Option<Box<dyn TrainableNetwork>>,
    process: Box<dyn DiffusionProcess>,
    settings: Settings,
    autoguide: Option<Box<Pipeline>>,
    compiled: OnceCell<Box<dyn Network>>,
    scheduler_run: OnceCell<SchedulerRun>,
}

/// The condition of the images, as a setter gives it.
#[derive(Debug, Clone)]
enum RequestedCondition {
    None,
    Class(String),
    Context(Vec<(String, f32)>),
    Each(Vec<Condition>),
}

impl Pipeline {
    /// Opens a model: a built-in name (`sprites`), a file of inkdrop or of PyTorch, an npz archive, or
    /// a diffusers directory. [`Pipeline::builder`] has options.
    ///
    /// # Errors
    /// There is no such file, it cannot be read, or it does not say what its network or its process is.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).build()
    }

    /// Opens a model with options, such as the network config of a file that has none.
    pub fn builder(path: impl AsRef<Path>) -> PipelineBuilder {
        PipelineBuilder::new(path.as_ref())
    }

    /// A pipeline of a network that is compiled already, such as the EMA network of a trainer.
    ///
    /// # Errors
    /// The process of the metadata is invalid.
    pub fn from_network(metadata: ModelMetadata, network: Box<dyn Network>) -> Result<Self> {
        let process = metadata.process.build(network.device())?;
        let pipeline = Self::new(metadata, None, process);
        Ok(Self { compiled: OnceCell::from(network), ..pipeline })
    }

    fn new(
        metadata: ModelMetadata,
        network: Option<Box<dyn TrainableNetwork>>,
        process: Box<dyn DiffusionProcess>,
    ) -> Self {
        let settings = Settings { defaults: metadata.sampling.clone(), ..Settings::default() };
        Self {
            name: "the network".to_string(),
            metadata,
            model: None,
            network,
            process,
            settings,
            autoguide: None,
            compiled: OnceCell::new(),
            scheduler_run: OnceCell::new(),
        }
    }

    /// Network, process, contexts and classes of the model.
    pub fn metadata(&self) -> &ModelMetadata {
        &self.metadata
    }

    /// The file of the model; `None` if the pipeline was made of a network.
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// The diffusion process, on the device of the network.
    pub fn process(&self) -> &dyn DiffusionProcess {
        self.process.as_ref()
    }

    /// The model that guidance leads away from, if there is one.
    pub fn weaker(&self) -> Option<&Pipeline> {
        self.autoguide.as_deref()
    }

    /// All settings at the defaults of the model.
    pub fn reset(mut self) -> Self {
        let defaults = self.metadata.sampling.clone();
        self.settings = Settings { defaults, ..Settings::default() };
        self.autoguide = None;
        self.changed()
    }

    /// The class of all images: a class by name or number, or a context by name. `a,b,c` and `each`
    /// (all classes) go round the classes image by image.
    pub fn class(self, class: impl ToString) -> Self {
        self.condition(RequestedCondition::Class(class.to_string()))
    }

    /// The context weights of all images; contexts that are not named have weight 0.
    pub fn context<N: Into<String>>(self, weights: impl IntoIterator<Item = (N, f32)>) -> Self {
        let weights = weights.into_iter().map(|(name, weight)| (name.into(), weight)).collect();
        self.condition(RequestedCondition::Context(weights))
    }

    /// One condition per image, from the first again when there are more images.
    pub fn conditions(self, conditions: impl IntoIterator<Item = Condition>) -> Self {
        self.condition(RequestedCondition::Each(conditions.into_iter().collect()))
    }

    fn condition(mut self, condition: RequestedCondition) -> Self {
        self.settings.condition = condition;
        self.changed()
    }

    /// The images that a conditioned model starts from, [N, H, W, C]: paired pictures of the model's size, or
    /// low-resolution images. Image i is made from the i-th, from the first again when there are more.
    pub fn image_condition(mut self, images: Images) -> Self {
        self.settings.images = Some(ConditionImages::Images(images));
        self
    }

    /// The condition as the network takes it, [N, C', H, W].
    pub(crate) fn prepared_condition(mut self, images: Tensor) -> Self {
        self.settings.images = Some(ConditionImages::Prepared(images));
        self
    }

    /// Guidance scale: 1 is no guidance, 2 to 8 are usual. Guides away from the unconditional
    /// prediction (classifier-free guidance), or from a weaker model ([`Pipeline::autoguide`]).
    pub fn guidance(mut self, scale: f64) -> Self {
        self.settings.guidance.scale = Some(scale);
        self.changed()
    }

    /// Guidance scale of the image that the model is conditioned on: 1 is no guidance. Guides away from the prediction
    /// for a condition of zeros (Brooks et al. 2023), which a model knows that was trained with
    /// [`dropout`](inkdrop_process::ImageCondition::dropout) of its condition. It excludes [`Pipeline::guidance`].
    pub fn condition_guidance(mut self, scale: f64) -> Self {
        self.settings.guidance.condition = Some(scale);
        self
    }

    /// The class of dropped labels in training, for classifier-free guidance. The default is that of
    /// the file.
    pub fn null_class(mut self, class: i64) -> Self {
        self.settings.guidance.null_class = Some(class);
        self.changed()
    }

    /// Guides only at some noise levels σ (Kynkäänniemi et al. 2024).
    pub fn guidance_interval(mut self, interval: GuidanceInterval) -> Self {
        self.settings.guidance.interval = Some(interval);
        self
    }

    /// Guidance rescale φ, 0 to 1: restores the standard deviation of the conditional prediction
    /// (Lin et al. 2024).
    pub fn guidance_rescale(mut self, phi: f64) -> Self {
        self.settings.guidance.rescale = Some(phi);
        self
    }

    /// Keeps only a fraction of the guidance parallel to the conditional prediction, 0 to 1 (adaptive
    /// projected guidance, Sadat et al. 2024); 1 is plain guidance.
    pub fn guidance_parallel(mut self, fraction: f64) -> Self {
        self.settings.guidance.parallel = Some(fraction);
        self
    }

    /// Dynamic thresholding: quantile of the predicted pixels, such as 0.995 (Saharia et al. 2022).
    pub fn threshold(mut self, quantile: f64) -> Self {
        self.settings.guidance.threshold = Some(quantile);
        self
    }

    /// Guides away from a weaker model of the same kind, such as an early checkpoint, by the scale of
    /// [`Pipeline::guidance`] (Karras et al. 2024). The guidance of the weaker pipeline itself is not used.
    pub fn autoguide(mut self, weaker: Pipeline) -> Self {
        self.autoguide = Some(Box::new(weaker));
        self
    }

    /// The sampler; `"dpm++2m".parse()?` reads a name. The default is that of the model file
    /// ([`SamplingDefaults`](crate::model::SamplingDefaults)), the scheduler of a diffusers directory,
    /// multistep sampling for consistency models, and deterministic DDIM for other models.
    pub fn sampler(mut self, sampler: Sampler) -> Self {
        self.settings.sampler = Some(sampler);
        self.changed()
    }

    /// η of DDIM (0 by default), of Euler ancestral or DPM2 ancestral (1), or γ of TCD (0.3).
    pub fn eta(mut self, eta: f64) -> Self {
        self.settings.eta = Some(eta);
        self.changed()
    }

    /// Whether DDIM recomputes the noise from the clipped prediction in every step. By default the sampler `ddim` does, as
    /// improved-diffusion's, and the DDIMScheduler of a diffusers directory does not; `false` is lucidrains' DDIM of networks
    /// with classes that predict ε. Other samplers always do.
    pub fn use_clipped_model_output(mut self, recompute: bool) -> Self {
        self.settings.use_clipped_model_output = Some(recompute);
        self.changed()
    }

    /// Number of sampling steps. The default is that of the model file; else 25; 50 for DDIM and Euler, all for DDPM; and that of
    /// its pipeline for a scheduler ([`Scheduler::default_steps`]).
    pub fn steps(mut self, steps: usize) -> Self {
        self.settings.steps = Some(steps);
        self.changed()
    }

    /// Timestep spacing or σ grid by name: `trailing` (the default with timesteps), `leading`, `linspace`,
    /// `karras` (the default for continuous noise levels), `flow` (that of flows), …; or with its number
    /// of steps, such as `karras20:5`. [`LevelSpacing`](inkdrop_schedule::LevelSpacing)
    /// has all names.
    pub fn spacing(mut self, spacing: impl Into<String>) -> Self {
        self.settings.spacing = Some(spacing.into());
        self.changed()
    }

    /// Seed of all noise; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Random number generator of new images; editing has noise per image. With the default, image i of
    /// a seed is the same in any batch. [`Rng::BrownianTree`] has one path of noise for any number of steps
    /// of a stochastic sampler. [`Rng::Torch`] draws as a PyTorch program does after `torch.manual_seed`.
    pub fn rng(mut self, rng: Rng) -> Self {
        self.settings.rng = rng;
        self
    }

    /// Images per batch; the default is 64, and all images with [`Rng::Torch`].
    pub fn batch(mut self, images: usize) -> Self {
        self.settings.batch = Some(images);
        self
    }

    /// The network has to be compiled again: its embeddings are cached for other timesteps or classes.
    fn changed(mut self) -> Self {
        if self.network.is_some() {
            self.compiled = OnceCell::new();
        }
        self.scheduler_run = OnceCell::new();
        self
    }

    /// The scheduler that sampling follows: that of a diffusers directory, unless a sampler or a spacing
    /// is set.
    pub fn scheduler(&self) -> Option<&Scheduler> {
        let Settings { sampler, spacing, .. } = &self.settings;
        let scheduler = self.model.as_ref().and_then(|model| model.scheduler.as_ref());
        scheduler.filter(|_| sampler.is_none() && spacing.is_none())
    }

    /// What a network is that predicts whole steps; `None` for one that predicts the velocity of the probability flow.
    fn distilled_kind(&self) -> Option<&'static str> {
        let config = self.process().config();
        let is_progressive = self.model.as_ref().is_some_and(|model| model.is_progressive);
        match () {
            () if config.consistency().is_some() => Some("a consistency model"),
            () if config.is_mean_flow() => Some("a network of mean velocities"),
            () if is_progressive => Some("a model of progressive distillation"),
            () => None,
        }
    }

    /// How values between two bytes become one, as in the original program: those of diffusers, EDM, EDM2, DiT, JiT
    /// and lucidrains round; improved-diffusion, guided-diffusion and consistency_models cut off, and so are the images
    /// of `ddpm` and `context`.
    pub fn rounding(&self) -> Rounding {
        let is_diffusers = self.model.as_ref().is_some_and(|model| model.is_diffusers);
        match self.metadata.model {
            ModelConfig::Context(_)
            | ModelConfig::Ddpm(_)
            | ModelConfig::Improved(_)
            | ModelConfig::ImprovedSuperRes(_)
                if !is_diffusers =>
            {
                Rounding::Truncate
            }
            _ => Rounding::Nearest,
        }
    }

    /// The depth and the rounding of the images.
    pub(crate) fn pixel_form(&self) -> PixelForm {
        PixelForm { depth: self.metadata.depth, rounding: self.rounding() }
    }

    /// What a sampling run will do: the settings, resolved for the model.
    ///
    /// # Errors
    /// A setting is out of range or does not fit the model.
    pub fn plan(&self) -> Result<SamplingPlan<'_>> {
        self.check_image_condition()?;
        let Some(scheduler) = self.scheduler() else { return self.sampler_plan() };
        if self.scheduler_run.get().is_none() {
            self.scheduler_run.set(self.settings.scheduler_run(scheduler)?).ok();
        }
        match self.scheduler_run.get() {
            Some(run) => SamplingPlan::of_scheduler(self, run),
            None => self.sampler_plan(),
        }
    }

    /// Checks that sampling has the images that the model is conditioned on.
    fn check_image_condition(&self) -> Result<()> {
        let missing = match self.metadata.condition {
            Some(_) if matches!(self.settings.images, Some(ConditionImages::Prepared(_))) => {
                return Ok(());
            }
            Some(ImageCondition::Mask { .. }) => {
                "an inpainting model: use it with `inkdrop edit inpaint`, or Pipeline::inpaint"
            }
            Some(_) if self.settings.images.is_some() => return Ok(()),
            Some(ImageCondition::Pair { .. }) => {
                "conditioned on a picture: give some with --condition"
            }
            Some(ImageCondition::LowRes { .. }) => {
                "conditioned on a low-resolution image: give some with --condition, or use `inkdrop edit upscale`"
            }
            None => return Ok(()),
        };
        bail!("{} is {missing}", self.name)
    }

    /// The same with a sampler, even if the model has a scheduler: for editing.
    ///
    /// # Errors
    /// As for [`Pipeline::plan`].
    pub fn sampler_plan(&self) -> Result<SamplingPlan<'_>> {
        SamplingPlan::new(self, self.settings.levels(self.process())?)
    }

    /// Samples `count` images.
    ///
    /// # Errors
    /// A setting is out of range or does not fit the model, or x becomes NaN or infinite.
    pub fn sample(&self, count: usize) -> Result<Samples> {
        Samples::concat(self.batches(count)?.collect::<Result<Vec<_>>>()?)
    }

    /// Samples `count` images batch by batch, in constant memory.
    ///
    /// # Errors
    /// A setting is out of range or does not fit the model.
    pub fn batches(&self, count: usize) -> Result<SamplesIter<'_>> {
        check_upscaler(&self.name, self.metadata.network(), false)?;
        let plan = self.plan()?;
        let config = plan.sample_config(0..count);
        config.check()?;
        let (session, conditions) = (plan.start()?, plan.conditions);
        let batches = SampleBatches::new(session, config)?;
        Ok(SamplesIter { batches, conditions, form: self.pixel_form() })
    }

    /// Samples one batch of `count` images step by step: an iterator over
    /// [`StepState`](inkdrop_sampler::StepState)s. Stop with `break`.
    ///
    /// # Errors
    /// A setting is out of range or does not fit the model.
    pub fn trajectory(&self, count: usize) -> Result<SamplingSteps<'_>> {
        check_upscaler(&self.name, self.metadata.network(), false)?;
        let plan = self.plan()?;
        plan.sample_config(0..count).check()?;
        let session = plan.start()?;
        match self.settings.rng {
            Rng::PerImage => session.generate(0..count, None),
            Rng::BrownianTree => {
                let noise = BrownianTreeNoise::new(plan.seed(), 0..count as u64);
                session.generate_with(0..count, None, noise)
            }
            Rng::Torch => {
                let noise = TorchNoise::seeded(plan.seed() as i64)?;
                session.generate_with(0..count, None, noise)
            }
        }
    }

    /// The network, compiled for inference.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn network(&self) -> Result<&dyn Network> {
        self.compiled(&CompileOptions::default())
    }

    /// The compiled network; the options are those of its first use.
    fn compiled(&self, options: &CompileOptions) -> Result<&dyn Network> {
        if self.compiled.get().is_none()
            && let Some(network) = &self.network
        {
            self.compiled.set(network.compile(options)?).ok();
        }
        let compiled = self.compiled.get().map(Box::as_ref);
        compiled.ok_or_else(|| crate::error::invalid!("{} has no network", self.name))
    }
}

/// The default noise levels of a number of steps; at most all timesteps.
pub(crate) fn default_levels(steps: usize, process: &dyn DiffusionProcess) -> LevelSpacing {
    Settings::default().edit_levels(steps, process)
}

/// The batches of a run; made by [`Pipeline::batches`].
pub struct SamplesIter<'a> {
    batches: SampleBatches<'a>,
    conditions: Conditions,
    form: PixelForm,
}

impl SamplesIter<'_> {
    /// The next batch before its first step, for progress within a batch; `None` after the last one.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn next_steps(&mut self) -> Result<Option<BatchSteps<'_>>> {
        Ok(self.batches.next_steps()?)
    }
}

impl Iterator for SamplesIter<'_> {
    type Item = Result<Samples>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?;
        Some(batch.map_err(Into::into).and_then(|batch| {
            let conditions = batch.images.map(|image| self.conditions.get(image).clone());
            Samples::new(batch.x, conditions.collect(), self.form)
        }))
    }
}
