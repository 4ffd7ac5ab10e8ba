//! A model: its metadata and its weights.

use std::collections::BTreeMap;
use std::path::Path;

use inkdrop_checkpoint::{CheckpointError, StateDict, load_shared};
use inkdrop_data::{Depth, MOST_CHANNELS};
use inkdrop_nn::{ImageConditioned, TrainableNetwork};
use inkdrop_process::{DiffusionConfig, ImageCondition};
use inkdrop_torch::DefaultGenerator;
use inkdrop_torch::tch::{Device, Kind};
use inkdrop_unet::ModelConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::resolve::{ResolvedModel, conditioned, resolve, resolve_process};
use super::stored::{MARK, stored_metadata};
use super::{ModelOverrides, SamplingDefaults, Source, buffers};
use crate::error::{Context, bail, ensure};
use crate::scheduler::Scheduler;
use crate::{Error, Result};

/// The metadata of a model, as its checkpoint stores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// The network.
    pub model: ModelConfig,
    /// The diffusion process of its training.
    pub process: DiffusionConfig,
    /// Names of its contexts, in order; empty if they have none.
    pub contexts: Vec<String>,
    /// Its classes.
    pub classes: Classes,
    /// How it is sampled unless told otherwise.
    #[serde(default)]
    pub sampling: SamplingDefaults,
    /// The image that it is conditioned on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<ImageCondition>,
    /// Bits of the values of its images.
    #[serde(default)]
    pub depth: Depth,
}

/// Classes of a class-conditional network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Classes {
    /// Names, from class 0; empty if they have none.
    pub names: Vec<String>,
    /// The class that stands for no class (null class).
    pub null: Option<i64>,
}

/// An opened model: its metadata and its weights.
pub struct Model {
    /// The built-in name or the path.
    pub name: String,
    /// The metadata.
    pub metadata: ModelMetadata,
    /// The weights.
    pub weights: StateDict,
    /// True for a diffusers directory.
    pub is_diffusers: bool,
    /// True for a checkpoint of a training run; unless another part was chosen, the weights are its first average.
    pub is_training_checkpoint: bool,
    /// True for a model of progressive distillation, which knows the noise levels of its own steps only.
    pub is_progressive: bool,
    /// The scheduler of a diffusers directory.
    pub scheduler: Option<Scheduler>,
    /// The reason why its scheduler is not followed.
    pub scheduler_problem: Option<String>,
    /// What the user may want to know about the file.
    pub notes: Vec<String>,
}

/// Options for building a network.
#[derive(Debug, Clone, Copy)]
pub struct BuildOptions {
    /// Device.
    pub device: Device,
    /// Compute dtype (of the convolutions and the attention).
    pub torso: Kind,
    /// Seed to initialise init_conv.shortcut from, if the file lacks it.
    pub draw_shortcut: Option<u64>,
}

impl Default for BuildOptions {
    /// CPU, f32.
    fn default() -> Self {
        Self { device: Device::Cpu, torso: Kind::Float, draw_shortcut: None }
    }
}

/// A precision by name: f32, bf16 or f16.
///
/// # Errors
/// Another name.
pub fn precision(name: &str) -> Result<Kind> {
    Ok(match name {
        "f32" => Kind::Float,
        "bf16" => Kind::BFloat16,
        "f16" => Kind::Half,
        _ => bail!("precision `{name}`: expected f32, bf16 or f16"),
    })
}

/// The layer `init_conv.shortcut`. The sprites notebook draws new weights for it in every forward pass;
/// here it is a parameter.
pub const SHORTCUT: [&str; 2] = ["init_conv.shortcut.weight", "init_conv.shortcut.bias"];

impl ModelMetadata {
    /// A context or class as an example, for messages.
    pub fn example(&self) -> &str {
        self.contexts.first().or(self.classes.names.first()).map_or("0", String::as_str)
    }

    /// Names of its contexts, else of its classes; empty if they have none.
    pub(crate) fn names(&self) -> &[String] {
        if self.contexts.is_empty() { &self.classes.names } else { &self.contexts }
    }

    /// Number of classes that it was trained with, with the null class; `None` without classes.
    pub(crate) fn trained_classes(&self) -> Option<i64> {
        // The null class of a network is its last one.
        let untrained = self.model.null_class().filter(|_| self.classes.null.is_none());
        untrained.or(self.model.classes())
    }

    /// Names of all conditions: contexts, or classes except the null class.
    pub fn conditions(&self) -> Vec<String> {
        let named = !self.classes.names.is_empty();
        match self.model.classes() {
            None => self.contexts.clone(),
            Some(_) if named => self.classes.names.clone(),
            Some(count) => {
                let null = self.classes.null.or(self.model.null_class());
                let classes = (0..count).filter(|id| Some(*id) != null);
                classes.map(|id| id.to_string()).collect()
            }
        }
    }

    /// Stores the metadata in a state dict.
    ///
    /// # Errors
    /// The metadata cannot be written as JSON.
    pub fn write(&self, weights: &mut StateDict) -> Result<()> {
        for (key, text) in self.entries()? {
            weights.set_metadata_text(&key, text);
        }
        Ok(())
    }

    /// The metadata entries of a file: JSON by name.
    ///
    /// # Errors
    /// The metadata cannot be written as JSON.
    pub fn entries(&self) -> Result<BTreeMap<String, String>> {
        // In the order of the fields, which a JSON value would not keep.
        let mut entries = vec![
            (MARK, serde_json::to_string(env!("CARGO_PKG_VERSION"))?),
            ("model", serde_json::to_string(&self.model)?),
            ("process", serde_json::to_string(&self.process)?),
            ("contexts", serde_json::to_string(&self.contexts)?),
        ];
        // Without them, a network with a null class is taken to be trained for it.
        if self.classes != Classes::default() || self.model.null_class().is_some() {
            entries.push(("classes", serde_json::to_string(&self.classes)?));
        }
        if self.sampling != SamplingDefaults::default() {
            entries.push(("sampling", serde_json::to_string(&self.sampling)?));
        }
        if let Some(condition) = &self.condition {
            entries.push(("condition", serde_json::to_string(condition)?));
        }
        if self.depth != Depth::Eight {
            entries.push(("depth", serde_json::to_string(&self.depth)?));
        }
        Ok(entries.into_iter().map(|(key, text)| (key.to_string(), text)).collect())
    }
}

impl ModelMetadata {
    /// The network, and the image that it is conditioned on.
    pub(crate) fn network(&self) -> (&ModelConfig, Option<ImageCondition>) {
        (&self.model, self.condition)
    }

    /// A network whose inputs have the channels of the condition, as one that takes the condition beside x.
    pub(crate) fn wrap(&self, network: Box<dyn TrainableNetwork>) -> Box<dyn TrainableNetwork> {
        match self.condition {
            None => network,
            Some(condition) => {
                let channels = condition.channels(self.model.image_shape()[0]);
                Box::new(ImageConditioned::new(network, channels))
            }
        }
    }
}

impl Model {
    /// Opens a model by a built-in name or a path.
    ///
    /// # Errors
    /// There is no such file, its network or process is unknown, or it does not generate images.
    pub fn open(path: impl AsRef<Path>, overrides: &ModelOverrides) -> Result<Self> {
        Self::open_if(path.as_ref(), overrides, None)
    }

    /// Opens a model that has to be, or not to be, a super-resolution network.
    pub(crate) fn open_if(
        path: &Path,
        overrides: &ModelOverrides,
        upscaler: Option<bool>,
    ) -> Result<Self> {
        let source = Source::open(path)?;
        let name = &source.name;
        if let Some(latent) = &source.latents {
            bail!(
                "{name} is a latent pipeline ({latent}): its network generates latents, not images, and its decoder is not read"
            );
        }
        let resolved = resolve(&source, overrides)?;
        if let Some(expected) = upscaler {
            check_upscaler(name, (&resolved.config, resolved.condition), expected)?;
        }
        check_images(&resolved.config)?;
        resolved.check_determined(name, overrides.assume)?;
        resolved.network()?.plan().with_context(|| name)?;
        let process = resolve_process(&source, overrides, Some(&resolved))?.with_context(|| {
            format!(
                "{name} does not contain its diffusion process: give --process sprites (the sprites notebook), ddpm, linear:STEPS or cosine:STEPS, optionally with :rescaled, :unclipped, :velocity, :sample, :zero-snr; edm or flow. `inkdrop convert` stores it in a file, for commands without the option"
            )
        })?;
        let (contexts, classes) = (resolved.contexts(name)?, classes(name, &resolved)?);
        let sampling: SamplingDefaults =
            stored_metadata(&resolved.weights, "sampling")?.unwrap_or_default();
        sampling.check().with_context(|| name)?;
        let ResolvedModel { weights, config, condition, .. } = resolved;
        let depth = stored_metadata(&weights, "depth")?.unwrap_or_default();
        // The scheduler belongs to the process of the directory.
        let followed = source.scheduler.as_ref().filter(|_| overrides.process.is_none());
        let (scheduler, scheduler_problem) = match followed.map(Scheduler::read) {
            None => (None, None),
            Some(Ok(scheduler)) => (Some(scheduler), None),
            Some(Err(error)) => (None, Some(error.report())),
        };
        let clipping = followed.and_then(super::scheduler::note_of_clipping);
        let notes = note_of_buffers(&source, overrides, (&config, &process))?;
        let notes =
            notes.into_iter().chain(source.note_of_part(overrides.part.as_deref())).chain(clipping);
        let metadata =
            ModelMetadata { model: config, process, contexts, classes, sampling, condition, depth };
        let is_training_checkpoint = source.is_training_checkpoint();
        let training: Option<Value> = stored_metadata(&weights, "training")?;
        let loss = training.and_then(|record| record.pointer("/train/loss").cloned());
        let is_progressive =
            loss.is_some_and(|loss| loss.get("progressive-distillation").is_some());
        let (name, is_diffusers) = (source.name, source.config.is_some());
        Ok(Self {
            name,
            metadata,
            weights,
            is_diffusers,
            is_training_checkpoint,
            is_progressive,
            scheduler,
            scheduler_problem,
            notes: notes.collect(),
        })
    }

    /// Builds the network with its weights.
    ///
    /// The network shares its f32 weights with the model, also those of a file in f16: compile it, do not train it.
    ///
    /// # Errors
    /// The weights do not fit the network.
    pub fn build(&mut self, options: &BuildOptions) -> Result<Box<dyn TrainableNetwork>> {
        let BuildOptions { device, torso, draw_shortcut } = *options;
        let config = conditioned(&self.metadata.model, self.metadata.condition)?;
        // Weights that are loaded need no initialisation; the shortcut keeps its own.
        let (network, optional) = match draw_shortcut {
            Some(seed) => {
                let _generator = DefaultGenerator::seeded(seed as i64);
                (config.build(torso, device)?, &SHORTCUT[..])
            }
            None => (config.build_uninitialized(torso, device)?, &[][..]),
        };
        load_shared(network.params(), &mut self.weights, optional)
            .map_err(|error| self.explain(error))?;
        Ok(self.metadata.wrap(network))
    }

    fn explain(&self, error: CheckpointError) -> Error {
        let lacks = SHORTCUT.iter().all(|key| self.weights.get(key).is_none());
        let notebook = matches!(self.metadata.model, ModelConfig::Context(_)) && lacks;
        if !notebook {
            return error.into();
        }
        let context = "the sprites notebook never saves init_conv.shortcut, since it draws new weights for it in every forward pass; --draw-shortcut initialises it once from the seed";
        Error::Context { context: context.to_string(), source: Box::new(error.into()) }
    }
}

/// A note if the process is known from schedule buffers only, or does not agree with them.
fn note_of_buffers(
    source: &Source,
    overrides: &ModelOverrides,
    (network, process): (&ModelConfig, &DiffusionConfig),
) -> Result<Option<String>> {
    let Some(found) = buffers::process(&source.whole, Some(network)) else { return Ok(None) };
    let schedule = serde_json::to_string(&found.schedule)?;
    let schedule_in_use = process.timesteps().map(|process| &process.schedule);
    if schedule_in_use.is_some_and(|schedule| !buffers::agrees(&source.whole, schedule)) {
        let name = &source.name;
        return Ok(Some(format!(
            "the schedule buffers of {name} hold another noise schedule than the process in use: {schedule}"
        )));
    }
    let given = overrides.process.is_some() || overrides.flags.is_some();
    let stored = stored_metadata::<DiffusionConfig>(&source.whole, "process")?.is_some();
    let known = given || stored || source.scheduler.is_some();
    Ok((!known).then(|| {
        format!(
            "the process is known from schedule buffers: {schedule}, prediction {:?}; --process sets another",
            found.prediction
        )
    }))
}

/// Checks that a network is a super-resolution network, or that it is none. One that is conditioned on a
/// low-resolution image is both.
pub(crate) fn check_upscaler(
    name: &str,
    (config, condition): (&ModelConfig, Option<ImageCondition>),
    expected: bool,
) -> Result<()> {
    if matches!(condition, Some(ImageCondition::LowRes { .. })) {
        return Ok(());
    }
    let upscaler = matches!(config, ModelConfig::ImprovedSuperRes(_));
    ensure!(
        expected || !upscaler,
        "{name} is a super-resolution network: use it with `inkdrop edit upscale`"
    );
    ensure!(
        !expected || upscaler,
        "{name} is a network of family {}, expected improved-super-res or a network with condition.kind=low-res, a super-resolution network",
        config.family()
    );
    Ok(())
}

/// Returns an error if the network does not generate images.
fn check_images(config: &ModelConfig) -> Result<()> {
    let dims = match config {
        ModelConfig::Improved(config) | ModelConfig::ImprovedSuperRes(config) => config.dims,
        ModelConfig::Lucid(config) => config.dims,
        _ => 2,
    };
    ensure!(dims == 2, "this model generates data of {dims} axes: expected 2 axes (images)");
    let (channels, outputs) = (config.image_shape()[0], config.outputs());
    ensure!(
        (1..=MOST_CHANNELS as i64).contains(&channels),
        "this model generates data of {channels} channels: expected images, which have 1 (gray), 3 (RGB) or others up to {MOST_CHANNELS}"
    );
    ensure!(
        outputs == channels || outputs == 2 * channels,
        "this model outputs {outputs} channels for images of {channels}: expected {channels}, or {} for a learned variance",
        2 * channels
    );
    Ok(())
}

/// The classes in the metadata of a file.
fn classes(name: &str, resolved: &ResolvedModel) -> Result<Classes> {
    let own = resolved.config.null_class();
    let unnamed = || Classes { null: own, ..Classes::default() };
    let stored: Option<Classes> = stored_metadata(&resolved.weights, "classes")?;
    let classes = stored.unwrap_or_else(unnamed);
    let count = resolved.config.classes().unwrap_or(0);
    ensure!(
        classes.names.len() as i64 <= count
            && classes.null.is_none_or(|id| (0..count).contains(&id)),
        "{name} names {} classes and the null class {:?}, its network has {count} classes",
        classes.names.len(),
        classes.null
    );
    Ok(classes)
}
