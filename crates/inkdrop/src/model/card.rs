//! What a model is: the file of its weights explains itself.

use anyhow::{Context, Result, bail, ensure};
use inkdrop_checkpoint::{Weights, load};
use inkdrop_nn::{CompileOptions, Network};
use inkdrop_process::{Process, ProcessConfig};
use inkdrop_schedule::Levels;
use inkdrop_torch::tch::{Device, Kind, manual_seed};
use inkdrop_unet::ModelConfig;
use serde::{Deserialize, Serialize};

use crate::model::describe::{self, Described};
use crate::model::foreign::Foreign;
use crate::model::scheduler;
use crate::model::source::Source;

/// What a checkpoint's metadata says about its model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The network.
    pub model: ModelConfig,
    /// The process that it was trained for.
    pub process: ProcessConfig,
    /// Names of its contexts, in order; empty when they have none.
    pub contexts: Vec<String>,
    /// Its classes.
    pub classes: Classes,
}

/// What is known of the classes of a network that is told one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Classes {
    /// Names, from class 0 on; empty when they have none.
    pub names: Vec<String>,
    /// The class that stands for none.
    pub null: Option<i64>,
}

/// A model that was found: its card and its weights.
pub struct Model {
    pub card: Card,
    pub weights: Weights,
    /// The options that walk as the scheduler of its folder does.
    pub way: Option<String>,
}

/// How a network is built.
#[derive(Debug, Clone)]
pub struct Build {
    /// Where it computes.
    pub device: Device,
    /// The kind of its convolutions.
    pub torso: Kind,
    /// Whether init_conv.shortcut may be missing, and is drawn then.
    pub draw_shortcut: bool,
    /// Seed of what is drawn.
    pub seed: u64,
    /// The steps that will be taken, where they are known, and the classes that will be asked for.
    pub steps: Option<(Levels, Vec<i64>)>,
}

impl Build {
    /// On the CPU, in f32.
    pub fn plain() -> Self {
        Self { device: Device::Cpu, torso: Kind::Float, draw_shortcut: false, seed: 0, steps: None }
    }
}

/// A precision by name: f32, bf16 or f16.
pub fn precision(name: &str) -> Result<Kind> {
    Ok(match name {
        "f32" => Kind::Float,
        "bf16" => Kind::BFloat16,
        "f16" => Kind::Half,
        _ => bail!("unknown precision `{name}`: expected f32, bf16 or f16"),
    })
}

/// The learned stand-in for a layer that the notebook draws anew in every forward.
pub const SHORTCUT: [&str; 2] = ["init_conv.shortcut.weight", "init_conv.shortcut.bias"];

impl Card {
    /// A context that the model knows, for messages.
    pub fn example(&self) -> &str {
        self.contexts.first().or(self.classes.names.first()).map_or("0", String::as_str)
    }

    /// What an image can be asked to be: contexts, or classes but the one that stands for none.
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

    /// Puts the card into a file's metadata.
    pub fn write(&self, weights: &mut Weights) -> Result<()> {
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
    /// The model of a built-in name or a path, ready to sample from.
    pub fn find(name: &str, foreign: &Foreign) -> Result<Self> {
        Self::find_if(name, foreign, |config| {
            ensure!(
                !matches!(config, ModelConfig::ImprovedSuperRes(_)),
                "{name} makes large images of small ones: give it some with `inkdrop edit upscale`"
            );
            Ok(())
        })
    }

    /// The same of a network that makes large images of small ones.
    pub fn find_upscaler(name: &str, foreign: &Foreign) -> Result<Self> {
        Self::find_if(name, foreign, |config| {
            ensure!(
                matches!(config, ModelConfig::ImprovedSuperRes(_)),
                "{name} is a network of family {}, which takes no small images: expected improved-super-res",
                config.family()
            );
            Ok(())
        })
    }

    fn find_if(
        name: &str,
        foreign: &Foreign,
        suits: impl Fn(&ModelConfig) -> Result<()>,
    ) -> Result<Self> {
        let source = Source::open(name)?;
        let described = describe::describe(&source, foreign)?;
        suits(&described.config)?;
        makes_images(&described.config)?;
        described.settled(name, foreign.assume)?;
        described.config.plan().with_context(|| name.to_string())?;
        let process = describe::process(&source, foreign, Some(&described))?.with_context(|| {
            format!(
                "{name} does not say what process it was trained for; name it: --process sprites (the notebook's: 500 steps, t/T), ddpm, linear:STEPS or cosine:STEPS, the latter perhaps with :rescaled, :unclipped, :v, :start-x, :zero-snr"
            )
        })?;
        let (contexts, classes) = (contexts(name, &described)?, classes(name, &described)?);
        let Described { weights, config, .. } = described;
        let way = source.scheduler.as_ref().and_then(scheduler::way);
        Ok(Self { card: Card { model: config, process, contexts, classes }, weights, way })
    }

    /// The network with its weights, ready for inference, and the process.
    pub fn build(&self, how: &Build) -> Result<(Box<dyn Network>, Process)> {
        manual_seed(how.seed as i64); // what --draw-shortcut leaves as drawn
        let model = &self.card.model;
        let network = match how.draw_shortcut {
            true => model.build(how.torso, how.device)?,
            false => model.build_uninitialized(how.torso, how.device)?,
        };
        let optional: &[&str] = if how.draw_shortcut { &SHORTCUT } else { &[] };
        load(network.params(), &self.weights, optional).map_err(|error| self.explain(error))?;
        let process = Process::new(&self.card.process, how.device)?;
        let options = match &how.steps {
            None => CompileOptions::default(),
            Some((levels, classes)) => {
                let times = process.network_times(&levels.path(process.schedule())?);
                CompileOptions { classes: classes.clone(), ..CompileOptions::at(times) }
            }
        };
        Ok((network.compile(&options)?, process))
    }

    fn explain(&self, error: inkdrop_checkpoint::CheckpointError) -> anyhow::Error {
        let lacks = SHORTCUT.iter().all(|key| self.weights.get(key).is_none());
        let notebook = matches!(self.card.model, ModelConfig::Context(_)) && lacks;
        let error = anyhow::Error::new(error);
        if !notebook {
            return error;
        }
        error.context("the notebook draws init_conv's shortcut anew in every forward and never saves it; --draw-shortcut draws it once from the seed")
    }
}

/// Refuses networks that make no images.
fn makes_images(config: &ModelConfig) -> Result<()> {
    let dims = match config {
        ModelConfig::Improved(config) | ModelConfig::ImprovedSuperRes(config) => config.dims,
        _ => 2,
    };
    ensure!(dims == 2, "this model makes data of {dims} axes: expected images, which have 2");
    let (channels, outputs) = (config.image_shape()[0], config.outputs());
    ensure!(
        matches!(channels, 1 | 3),
        "this model makes data of {channels} channels: expected images, which have 1 (gray) or 3 (RGB)"
    );
    ensure!(
        outputs == channels || outputs == 2 * channels,
        "this model makes {outputs} channels of {channels}: expected as many, or twice as many where it learns its variance"
    );
    Ok(())
}

/// The names of the contexts that a file says.
pub fn contexts(name: &str, described: &Described) -> Result<Vec<String>> {
    let contexts: Vec<String> = described.weights.metadata("contexts")?.unwrap_or_default();
    let takes = described.config.contexts();
    ensure!(
        contexts.is_empty() || contexts.len() as i64 == takes,
        "{name} names {} contexts, its network takes {takes}",
        contexts.len()
    );
    Ok(contexts)
}

/// What a file says of its classes.
pub fn classes(name: &str, described: &Described) -> Result<Classes> {
    let classes: Classes = described.weights.metadata("classes")?.unwrap_or_default();
    let count = described.config.classes().unwrap_or(0);
    ensure!(
        classes.names.len() as i64 <= count
            && classes.null.is_none_or(|id| (0..count).contains(&id)),
        "{name} names {} classes and {:?} for none, its network knows {count}",
        classes.names.len(),
        classes.null
    );
    Ok(classes)
}
