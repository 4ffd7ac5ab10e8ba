//! A model: its metadata, its weights, and its network.

use anyhow::{Context, Result, bail, ensure};
use inkdrop_checkpoint::{StateDict, load_shared};
use inkdrop_nn::{CompileOptions, Network};
use inkdrop_process::{Process, ProcessConfig};
use inkdrop_schedule::SamplingSchedule;
use inkdrop_torch::tch::{Device, Kind, manual_seed};
use inkdrop_unet::ModelConfig;
use serde::{Deserialize, Serialize};

use crate::model::overrides::ModelOverrides;
use crate::model::resolve::{self, ResolvedModel};
use crate::model::scheduler;
use crate::model::source::Source;

/// The metadata of a model, as its checkpoint stores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// The network.
    pub model: ModelConfig,
    /// The diffusion process of its training.
    pub process: ProcessConfig,
    /// Names of its contexts, in order; empty if they have none.
    pub contexts: Vec<String>,
    /// Its classes.
    pub classes: Classes,
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
    pub metadata: ModelMetadata,
    pub weights: StateDict,
    /// Options of `sample` that correspond to the scheduler of its directory.
    pub scheduler_hint: Option<String>,
}

/// Options for building a network.
#[derive(Debug, Clone)]
pub struct Build {
    /// Device.
    pub device: Device,
    /// Compute dtype (of the convolutions and the attention).
    pub torso: Kind,
    /// Initialises init_conv.shortcut randomly if the file lacks it.
    pub draw_shortcut: bool,
    /// Seed of random initialisation.
    pub seed: u64,
    /// The sampling schedule and the classes of the run, if known, to compute embeddings in advance.
    pub schedule: Option<(SamplingSchedule, Vec<i64>)>,
}

impl Build {
    /// CPU, f32.
    pub fn plain() -> Self {
        Self {
            device: Device::Cpu,
            torso: Kind::Float,
            draw_shortcut: false,
            seed: 0,
            schedule: None,
        }
    }
}

/// A precision by name: f32, bf16 or f16.
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

    /// Names of all conditions: contexts, or classes except the null class.
    pub fn conditions(&self) -> Vec<String> {
        let named = !self.classes.names.is_empty();
        match self.model.classes() {
            None => self.contexts.clone(),
            Some(_) if named => self.classes.names.clone(),
            Some(count) => {
                let classes = (0..count).filter(|id| Some(*id) != self.classes.null);
                classes.map(|id| id.to_string()).collect()
            }
        }
    }

    /// Stores the metadata in a state dict.
    pub fn write(&self, weights: &mut StateDict) -> Result<()> {
        weights.set_metadata("model", &self.model)?;
        weights.set_metadata("process", &self.process)?;
        weights.set_metadata("contexts", &self.contexts)?;
        if self.classes != Classes::default() {
            weights.set_metadata("classes", &self.classes)?;
        }
        Ok(())
    }
}

impl Model {
    /// Opens a model for generation, by a built-in name or a path.
    pub fn find(name: &str, overrides: &ModelOverrides) -> Result<Self> {
        Self::find_if(name, overrides, |config| {
            ensure!(
                !matches!(config, ModelConfig::ImprovedSuperRes(_)),
                "{name} is a super-resolution network: use it with `inkdrop edit upscale`"
            );
            Ok(())
        })
    }

    /// Opens a super-resolution model.
    pub fn find_upscaler(name: &str, overrides: &ModelOverrides) -> Result<Self> {
        Self::find_if(name, overrides, |config| {
            ensure!(
                matches!(config, ModelConfig::ImprovedSuperRes(_)),
                "{name} is a network of family {}, expected improved-super-res, a super-resolution network",
                config.family()
            );
            Ok(())
        })
    }

    fn find_if(
        name: &str,
        overrides: &ModelOverrides,
        suits: impl Fn(&ModelConfig) -> Result<()>,
    ) -> Result<Self> {
        let source = Source::open(name)?;
        let described = resolve::describe(&source, overrides)?;
        suits(&described.config)?;
        check_images(&described.config)?;
        described.check_determined(name, overrides.assume)?;
        described.config.plan().with_context(|| name.to_string())?;
        let process = resolve::process(&source, overrides, Some(&described))?.with_context(|| {
            format!(
                "{name} does not contain its diffusion process: give --process sprites (the sprites notebook), ddpm, linear:STEPS or cosine:STEPS, optionally with :rescaled, :unclipped, :velocity, :sample, :zero-snr"
            )
        })?;
        let (contexts, classes) = (contexts(name, &described)?, classes(name, &described)?);
        let ResolvedModel { weights, config, .. } = described;
        let scheduler_hint = source.scheduler.as_ref().and_then(scheduler::hint);
        Ok(Self {
            metadata: ModelMetadata { model: config, process, contexts, classes },
            weights,
            scheduler_hint,
        })
    }

    /// Builds the compiled network with its weights, and the process.
    pub fn build(&self, how: &Build) -> Result<(Box<dyn Network>, Process)> {
        let model = &self.metadata.model;
        // Weights that are loaded need no initialisation; --draw-shortcut keeps a part of it.
        manual_seed(how.seed as i64);
        let network = match how.draw_shortcut {
            true => model.build(how.torso, how.device)?,
            false => model.build_uninitialized(how.torso, how.device)?,
        };
        let optional: &[&str] = if how.draw_shortcut { &SHORTCUT } else { &[] };
        // Compiled networks are never trained, so the weights need no second copy.
        load_shared(network.params(), &self.weights, optional)
            .map_err(|error| self.explain(error))?;
        let process = Process::new(&self.metadata.process, how.device)?;
        let options = match &how.schedule {
            None => CompileOptions::default(),
            Some((schedule, classes)) => {
                let times = process.network_times(schedule);
                CompileOptions { classes: classes.clone(), ..CompileOptions::at(times) }
            }
        };
        Ok((network.compile(&options)?, process))
    }

    fn explain(&self, error: inkdrop_checkpoint::CheckpointError) -> anyhow::Error {
        let lacks = SHORTCUT.iter().all(|key| self.weights.get(key).is_none());
        let notebook = matches!(self.metadata.model, ModelConfig::Context(_)) && lacks;
        let error = anyhow::Error::new(error);
        if !notebook {
            return error;
        }
        error.context("the sprites notebook never saves init_conv.shortcut, since it draws new weights for it in every forward pass; --draw-shortcut initialises it once from the seed")
    }
}

/// Returns an error if the network does not generate images.
fn check_images(config: &ModelConfig) -> Result<()> {
    let dims = match config {
        ModelConfig::Improved(config) | ModelConfig::ImprovedSuperRes(config) => config.dims,
        _ => 2,
    };
    ensure!(dims == 2, "this model generates data of {dims} axes: expected 2 axes (images)");
    let (channels, outputs) = (config.image_shape()[0], config.outputs());
    ensure!(
        matches!(channels, 1 | 3),
        "this model generates data of {channels} channels: expected images, which have 1 (gray) or 3 (RGB)"
    );
    ensure!(
        outputs == channels || outputs == 2 * channels,
        "this model outputs {outputs} channels for images of {channels}: expected {channels}, or {} for a learned variance",
        2 * channels
    );
    Ok(())
}

/// The names of the contexts in the metadata of a file.
pub fn contexts(name: &str, described: &ResolvedModel) -> Result<Vec<String>> {
    let contexts: Vec<String> = described.weights.metadata("contexts")?.unwrap_or_default();
    let takes = described.config.contexts();
    ensure!(
        contexts.is_empty() || contexts.len() as i64 == takes,
        "{name} names {} contexts, its network takes {takes}",
        contexts.len()
    );
    Ok(contexts)
}

/// The classes in the metadata of a file.
pub fn classes(name: &str, described: &ResolvedModel) -> Result<Classes> {
    let classes: Classes = described.weights.metadata("classes")?.unwrap_or_default();
    let count = described.config.classes().unwrap_or(0);
    ensure!(
        classes.names.len() as i64 <= count
            && classes.null.is_none_or(|id| (0..count).contains(&id)),
        "{name} names {} classes and the null class {:?}, its network has {count} classes",
        classes.names.len(),
        classes.null
    );
    Ok(classes)
}
