//! The plan of a sampling run: all settings of a pipeline, resolved for its model.

use std::ops::Range;

use inkdrop_data::Images;
use inkdrop_nn::CompileOptions;
use inkdrop_process::{DiffusionConfig, DiffusionProcess, ImageCondition, Preconditioning};
use inkdrop_sampler::edit::img2img_schedule;
use inkdrop_sampler::{Consistency, Rng, SampleConfig, Sampler};
use inkdrop_schedule::{LevelSpacing, SamplingSchedule, TimestepSpacing};
use inkdrop_torch::Result as TorchResult;
use inkdrop_torch::tch::{Device, Tensor};
use inkdrop_unet::ModelConfig;

use super::guidance::{Guidance, GuidanceSettings, GuidanceTarget};
use super::session::SamplingSession;
use super::{Pipeline, RequestedCondition, default_levels};
use crate::Result;
use crate::error::{bail, ensure};
use crate::model::{Condition, Conditions, ModelMetadata, SamplingDefaults};
use crate::samples;
use crate::scheduler::{Scheduler, SchedulerRun, StepOptions};

/// Default number of steps: of first-order samplers with one network call per step, and of all others.
const STEPS: (usize, usize) = (50, 25);

/// Default number of steps of samplers for distilled models.
const FEW_STEPS: usize = 4;

/// Default batch size.
const BATCH: usize = 64;

/// Settings of a sampling run, as the setters of a pipeline give them.
#[derive(Debug)]
pub(crate) struct Settings {
    pub condition: RequestedCondition,
    pub guidance: GuidanceSettings,
    /// Those of the model.
    pub defaults: SamplingDefaults,
    pub sampler: Option<Sampler>,
    pub eta: Option<f64>,
    pub use_clipped_model_output: Option<bool>,
    pub steps: Option<usize>,
    pub spacing: Option<String>,
    pub seed: u64,
    pub rng: Rng,
    pub batch: Option<usize>,
    /// What a conditioned model starts from.
    pub images: Option<ConditionImages>,
}

/// What a conditioned model starts from; image i takes the i-th, from the first again when there are more.
#[derive(Debug)]
pub(crate) enum ConditionImages {
    /// Paired pictures or low-resolution images.
    Images(Images),
    /// The condition as the network takes it, [N, C', H, W].
    Prepared(Tensor),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            condition: RequestedCondition::None,
            guidance: GuidanceSettings::default(),
            defaults: SamplingDefaults::default(),
            sampler: None,
            eta: None,
            use_clipped_model_output: None,
            steps: None,
            spacing: None,
            seed: 0,
            rng: Rng::PerImage,
            batch: None,
            images: None,
        }
    }
}

impl Settings {
    /// Returns an error if a setting of the sampler is given to a method that has its own.
    pub fn check_own_sampler(&self, method: &str) -> Result<()> {
        check_unused(
            &format!("{method} has its own sampler"),
            [
                ("a sampler", self.sampler.is_some()),
                ("a spacing", self.spacing.is_some()),
                ("eta", self.eta.is_some()),
                ("use_clipped_model_output", self.use_clipped_model_output.is_some()),
            ],
        )
    }
}

/// Returns an error for the first setting that is given but has no effect.
pub(super) fn check_unused<const N: usize>(why: &str, given: [(&str, bool); N]) -> Result<()> {
    match given.into_iter().find(|(_, given)| *given) {
        Some((name, _)) => bail!("{name} is given, but {why}: leave it out"),
        None => Ok(()),
    }
}

/// What a sampling run will do: the settings of a [`Pipeline`], resolved for its model.
///
/// A plan has checked everything and computed nothing; [`SamplingPlan::start`] compiles the network.
#[derive(Clone)]
pub struct SamplingPlan<'a> {
    pub(super) pipeline: &'a Pipeline,
    guidance: GuidanceSettings,
    uncond: Option<Condition>,
    /// The sampler with its settings, unless there is a scheduler.
    pub sampler: Sampler,
    /// The scheduler of a diffusers directory, which replaces the sampler.
    pub scheduler: Option<&'a SchedulerRun>,
    /// The noise levels by name.
    pub spacing: String,
    /// The noise levels to visit.
    pub schedule: SamplingSchedule,
    /// The conditions of the images.
    pub conditions: Conditions,
}

impl<'a> SamplingPlan<'a> {
    /// The plan of a sampler.
    pub(super) fn new(pipeline: &'a Pipeline, spacing: LevelSpacing) -> Result<Self> {
        let sampler = pipeline.settings.sampler(pipeline.process())?;
        ensure!(
            !pipeline.process().config().is_mean_flow()
                || matches!(sampler, Sampler::Ddim { eta: 0.0 } | Sampler::Euler),
            "a network of mean velocities predicts whole steps: expected the sampler ddim without eta, or euler; the sampler is {sampler}"
        );
        ensure!(
            pipeline.settings.use_clipped_model_output.is_none()
                || matches!(sampler, Sampler::Ddim { .. }),
            "--use-clipped-model-output is an argument of a DDIMScheduler and of the sampler ddim, the sampler is {sampler}: others always recompute the noise of a clipped prediction"
        );
        ensure!(
            !pipeline.settings.keeps_noise() || pipeline.settings.guidance.threshold.is_none(),
            "--use-clipped-model-output=false with --threshold: dynamic thresholding recomputes the noise, leave one of them out"
        );
        let schedule = pipeline.process().spaced(&spacing)?;
        Self::of(pipeline, sampler, spacing.to_string(), schedule, None)
    }

    /// The plan of a diffusers directory's own scheduler.
    pub(super) fn of_scheduler(pipeline: &'a Pipeline, run: &'a SchedulerRun) -> Result<Self> {
        let (spacing, schedule) = (run.describe(), run.schedule().clone());
        Self::of(pipeline, Sampler::DDIM, spacing, schedule, Some(run))
    }

    fn of(
        pipeline: &'a Pipeline,
        sampler: Sampler,
        spacing: String,
        schedule: SamplingSchedule,
        scheduler: Option<&'a SchedulerRun>,
    ) -> Result<Self> {
        let guidance = &pipeline.settings.guidance;
        let metadata = pipeline.metadata();
        let conditions = pipeline.settings.conditions(metadata)?;
        pipeline.settings.check_images(metadata)?;
        guidance.check()?;
        guidance.check_used(pipeline.weaker().is_some())?;
        if guidance.condition.is_some() {
            guidance.check_image(metadata, pipeline.weaker().is_some())?;
        }
        let uncond = match (guidance.scale, pipeline.weaker()) {
            (Some(_), None) => Some(guidance.uncond(metadata, &conditions)?),
            (Some(_), Some(weaker)) => {
                ensure!(
                    weaker.metadata.process == metadata.process,
                    "--autoguide {}: its diffusion process differs from that of the guided model",
                    weaker.name
                );
                None
            }
            (None, _) => None,
        };
        Ok(Self {
            guidance: guidance.clone(),
            uncond,
            sampler,
            schedule,
            spacing,
            scheduler,
            conditions,
            pipeline,
        })
    }

    /// For steps that divide by √ᾱ, such as DDIM inversion: ᾱ = 0 of zero terminal SNR is raised to
    /// a small positive value.
    pub(crate) fn with_min_signal(self) -> Self {
        Self { schedule: self.schedule.with_min_signal(), ..self }
    }

    /// The seed of all noise.
    pub fn seed(&self) -> u64 {
        self.pipeline.settings.seed
    }

    /// The config of a run over some images.
    pub fn sample_config(&self, images: Range<usize>) -> SampleConfig {
        let Settings { seed, rng, batch, .. } = self.pipeline.settings;
        let batch = batch.unwrap_or(match rng {
            Rng::PerImage | Rng::BrownianTree => BATCH,
            Rng::Torch => images.end.max(1),
        });
        let (sampler, schedule) = (self.sampler, self.schedule.clone());
        let discarded_draws = match self.scheduler {
            Some(run) => run.discarded_draws(),
            None => discarded_draws(self.pipeline.metadata(), sampler, &schedule),
        };
        SampleConfig { images, batch, sampler, schedule, seed, rng, discarded_draws }
    }

    /// The images that a conditioned network starts from, [B, C', h, w] in [-1, 1]; `None` if none were given.
    pub(super) fn condition_images(
        &self,
        images: Range<usize>,
        device: Device,
    ) -> Option<Result<Tensor>> {
        Some(match self.pipeline.settings.images.as_ref()? {
            ConditionImages::Images(given) => {
                let chosen: Vec<usize> = images.map(|image| image % given.len()).collect();
                tensor(given, &chosen, device)
            }
            ConditionImages::Prepared(given) => {
                let chosen: Vec<i64> = images.map(|image| image as i64 % given.size()[0]).collect();
                select(given, &chosen).map_err(Into::into)
            }
        })
    }

    /// Compiles the network for this plan, unless an earlier run of the pipeline did.
    ///
    /// # Errors
    /// libtorch is out of memory.
    pub fn start(&self) -> Result<SamplingSession<'a>> {
        let pipeline = self.pipeline;
        let classes = self.conditions.as_slice().iter().chain(&self.uncond);
        let mut classes: Vec<i64> = classes.filter_map(|condition| condition.class).collect();
        classes.sort_unstable();
        classes.dedup();
        let times = pipeline.process().network_times(&self.schedule);
        let options = CompileOptions { classes, ..CompileOptions::at(times) };
        let target = match (&self.uncond, pipeline.weaker()) {
            (Some(uncond), _) => GuidanceTarget::Uncond(uncond.clone()),
            (None, Some(weaker)) if self.guidance.scale.is_some() => {
                GuidanceTarget::Weaker(weaker.compiled(&options)?)
            }
            (None, _) if self.guidance.condition.is_some() => GuidanceTarget::NoImage,
            (None, _) => GuidanceTarget::None,
        };
        let keeps_noise = pipeline.settings.keeps_noise();
        let guidance = Guidance { settings: self.guidance.clone(), target, keeps_noise };
        Ok(SamplingSession { plan: self.clone(), network: pipeline.compiled(&options)?, guidance })
    }

    /// The noise levels of image-to-image: the last steps of the schedule. `dpm-adaptive` starts at the noise of that
    /// fraction of the default levels, and finds its own steps from there.
    ///
    /// - strength: fraction of the steps, above 0 to 1
    ///
    /// # Errors
    /// A strength outside its range.
    pub fn img2img_schedule(&self, strength: f64) -> Result<SamplingSchedule> {
        let ends_alone = self.schedule.len() <= 2;
        if !(ends_alone && matches!(self.sampler, Sampler::DpmAdaptive(_))) {
            return Ok(img2img_schedule(&self.schedule, strength)?);
        }
        let process = self.pipeline.process();
        let usual = process.spaced(&default_levels(STEPS.0, process))?;
        let part = img2img_schedule(&usual, strength)?;
        match part.steps() {
            [first, .., last] => {
                Ok(SamplingSchedule::from_levels(&[first.from, last.from, last.to])?)
            }
            _ => Ok(part),
        }
    }
}

impl Settings {
    /// True if DDIM keeps the predicted noise when x0 is clipped.
    fn keeps_noise(&self) -> bool {
        self.use_clipped_model_output == Some(false)
    }

    /// The noise levels by name.
    pub fn levels(&self, process: &dyn DiffusionProcess) -> Result<LevelSpacing> {
        let sampler = self.sampler(process)?;
        // dpm-adaptive finds its own levels between the ends of the schedule.
        let adaptive = matches!(sampler, Sampler::DpmAdaptive(_));
        let default = if adaptive { "exponential" } else { default_spacing(process) };
        let spacing = self.spacing.as_deref().or(self.default_spacing()).unwrap_or(default);
        if spacing.contains(|letter: char| letter.is_ascii_digit() || letter == ':') {
            let whole: LevelSpacing = spacing.parse()?;
            ensure!(
                self.steps.is_none(),
                "--spacing {spacing} contains the number of steps: leave --steps out"
            );
            return Ok(whole);
        }
        let available = process.timesteps().map(|process| process.schedule().num_timesteps());
        let default = match sampler {
            _ if process.config().is_mean_flow() => FEW_STEPS,
            Sampler::Ddpm => available.unwrap_or(STEPS.0),
            Sampler::Ddim { .. } | Sampler::Euler | Sampler::EulerAncestral { .. } => STEPS.0,
            Sampler::EdmEuler(_) => STEPS.0,
            Sampler::Consistency(_) | Sampler::Tcd { .. } => FEW_STEPS,
            Sampler::DpmAdaptive(_) => 2,
            _ => STEPS.1,
        };
        let steps = self.steps.unwrap_or(default.min(available.unwrap_or(default)));
        Ok(match (if spacing == "sections" { "" } else { spacing }, available) {
            ("trailing", Some(available)) => trailing(steps, available),
            (name, _) => format!("{name}{steps}").parse()?,
        })
    }

    /// Checks the images that a conditioned model starts from.
    fn check_images(&self, metadata: &ModelMetadata) -> Result<()> {
        let Some(ConditionImages::Images(images)) = &self.images else { return Ok(()) };
        let [channels, height, width] = metadata.model.image_shape();
        let expected = match metadata.condition {
            Some(ImageCondition::Pair { channels, .. }) => [height, width, channels],
            Some(ImageCondition::LowRes { factor, .. }) => {
                [height / factor, width / factor, channels]
            }
            Some(ImageCondition::Mask { .. }) => bail!(
                "an image condition is for models of pairs and of low-resolution images; this one inpaints: use `inkdrop edit inpaint`"
            ),
            None => bail!(
                "an image condition was given to a model that takes none: leave --condition out"
            ),
        };
        let given = [images.height(), images.width(), images.channels()].map(|axis| axis as i64);
        ensure!(!images.is_empty(), "no image condition: expected at least one image");
        ensure!(
            given == expected,
            "the image condition has shape {given:?} (height, width, channels), the model takes {expected:?}"
        );
        Ok(())
    }

    /// The run of a diffusers directory's own scheduler.
    pub fn scheduler_run(&self, scheduler: &Scheduler) -> Result<SchedulerRun> {
        let Self { steps, eta, use_clipped_model_output, .. } = *self;
        let use_clipped_model_output = use_clipped_model_output.unwrap_or(false);
        let options = StepOptions { eta, use_clipped_model_output, ..StepOptions::default() };
        scheduler.run(steps.unwrap_or(scheduler.default_steps()), options, &[])
    }

    /// The spacing of the model, which belongs to its sampler and has its number of steps.
    fn default_spacing(&self) -> Option<&str> {
        let own = self.defaults.sampler().ok().flatten();
        let another = self.sampler.is_some() && self.sampler != own;
        self.defaults.spacing.as_deref().filter(|_| !another && self.steps.is_none())
    }

    /// The sampler with its settings.
    fn sampler(&self, process: &dyn DiffusionProcess) -> Result<Sampler> {
        let sampler =
            match self.sampler.map_or_else(|| self.defaults.sampler(), |it| Ok(Some(it)))? {
                Some(sampler) => sampler,
                None => default_sampler(process)?,
            };
        let sampler = match (sampler, process.config().consistency()) {
            (Sampler::Consistency(usual), Some(range)) if usual == Consistency::default() => {
                Sampler::Consistency(Consistency { sigma_min: range.sigma_min, ..usual })
            }
            (sampler, _) => sampler,
        };
        Ok(self.eta.map_or(Ok(sampler), |eta| sampler.with_eta(eta))?)
    }

    /// The noise levels of editing: timesteps with trailing spacing, or the default of continuous noise
    /// levels.
    ///
    /// - default: number of steps if none is set; at most all timesteps
    pub fn edit_levels(&self, default: usize, process: &dyn DiffusionProcess) -> LevelSpacing {
        match process.timesteps().map(|process| process.schedule().num_timesteps()) {
            Some(available) => trailing(self.steps.unwrap_or(default.min(available)), available),
            None => continuous_spacing(process, self.steps.unwrap_or(default)),
        }
    }

    /// The conditions of the images.
    pub fn conditions(&self, metadata: &ModelMetadata) -> Result<Conditions> {
        match &self.condition {
            RequestedCondition::Class(text) => Conditions::classes(metadata, text),
            RequestedCondition::Context(weights) => {
                let weights = weights.iter().map(|(name, weight)| (name.as_str(), *weight));
                Conditions::new(vec![Condition::contexts(metadata, weights)?])
            }
            RequestedCondition::Each(conditions) => Conditions::new(conditions.clone()),
            RequestedCondition::None => {
                let count = metadata.trained_classes().unwrap_or(0);
                ensure!(
                    count == 0 || metadata.classes.null.is_some(),
                    "this model needs one of its {count} classes: give --class N, from 0 to {}",
                    count - 1
                );
                Conditions::new(vec![Condition::none(metadata)])
            }
        }
    }
}

/// DDIM, or the sampler of consistency models.
fn default_sampler(process: &dyn DiffusionProcess) -> Result<Sampler> {
    match process.config().consistency() {
        Some(_) => Ok("consistency".parse()?),
        None => Ok(Sampler::DDIM),
    }
}

/// Name of the spacing if none is set.
fn default_spacing(process: &dyn DiffusionProcess) -> &'static str {
    match process.config() {
        config if config.consistency().is_some() => "karras",
        DiffusionConfig::Timesteps(_) => "trailing",
        DiffusionConfig::Continuous(config) => match config.preconditioning {
            Preconditioning::Flow { .. }
            | Preconditioning::FlowSample { .. }
            | Preconditioning::MeanFlow { .. }
            | Preconditioning::TrigFlow { .. } => "flow",
            _ => "karras",
        },
    }
}

/// The default spacing of continuous noise levels; for a process with timesteps, too.
pub(super) fn continuous_spacing(process: &dyn DiffusionProcess, steps: usize) -> LevelSpacing {
    match default_spacing(process) {
        "flow" => LevelSpacing::Flow { steps, shift: 1.0 },
        _ => LevelSpacing::Karras { steps, rho: 7.0 },
    }
}

fn trailing(steps: usize, available: usize) -> LevelSpacing {
    LevelSpacing::Timesteps(match steps == available {
        true => TimestepSpacing::All,
        false => TimestepSpacing::Trailing(steps),
    })
}

/// The draws that improved-diffusion makes without using them: one for the last step of an ancestral
/// sampler, and one for every step of deterministic DDIM. lucidrains' DDIM draws in every step but the last.
fn discarded_draws(
    metadata: &ModelMetadata,
    sampler: Sampler,
    schedule: &SamplingSchedule,
) -> usize {
    let improved =
        matches!(metadata.model, ModelConfig::Improved(_) | ModelConfig::ImprovedSuperRes(_));
    let lucid = matches!(metadata.model, ModelConfig::Lucid(_));
    match sampler {
        Sampler::Ddim { eta: 0.0 } if improved => schedule.len(),
        Sampler::Ddim { eta: 0.0 } if lucid => schedule.len() - 1,
        Sampler::Ddpm | Sampler::Ddim { .. } if improved => 1,
        _ => 0,
    }
}

/// Some of the images in [-1, 1].
fn tensor(images: &Images, indices: &[usize], device: Device) -> Result<Tensor> {
    samples::to_tensor(&images.select(indices)?, device)
}

/// Some of the images.
fn select(images: &Tensor, indices: &[i64]) -> TorchResult<Tensor> {
    let indices = Tensor::f_from_slice(indices)?.f_to_device(images.device())?;
    Ok(images.f_index_select(0, &indices)?)
}
