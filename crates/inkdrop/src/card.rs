//! What a model is: the file of its weights explains itself.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use inkdrop_checkpoint::{Weights, load};
use inkdrop_nn::Network;
use inkdrop_process::{Process, ProcessConfig};
use inkdrop_torch::tch::{Device, Kind, manual_seed};
use inkdrop_unet::{ModelConfig, Shapes};
use serde::{Deserialize, Serialize};

/// The models that are compiled into the binary.
const BUILT_IN: [(&str, &[u8]); 1] = [("sprites", include_bytes!("../assets/sprites.safetensors"))];

/// What a checkpoint's metadata says about its model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The network.
    pub model: ModelConfig,
    /// The process that it was trained for.
    pub process: ProcessConfig,
    /// Names of its contexts, in order; empty when they have none.
    pub contexts: Vec<String>,
}

/// A model that was found: its card and its weights.
pub struct Model {
    pub card: Card,
    pub weights: Weights,
}

/// What a user says about a file that does not say it itself.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Foreign {
    /// Process of a file without metadata: `sprites`, the notebook's
    #[arg(long, value_name = "NAME")]
    pub process: Option<String>,
    /// Draw init_conv.shortcut from the seed, for a notebook checkpoint that has none
    #[arg(long)]
    pub draw_shortcut: bool,
}

/// The learned stand-in for a layer that the notebook draws anew in every forward.
const SHORTCUT: [&str; 2] = ["init_conv.shortcut.weight", "init_conv.shortcut.bias"];

impl Card {
    /// A context that the model knows, for messages.
    pub fn example(&self) -> &str {
        self.contexts.first().map_or("0", String::as_str)
    }

    /// Puts the card into a file's metadata.
    pub fn write(&self, weights: &mut Weights) -> Result<()> {
        weights.set_metadata("model", &self.model)?;
        weights.set_metadata("process", &self.process)?;
        weights.set_metadata("contexts", &self.contexts)?;
        Ok(())
    }
}

/// The weights of a built-in name or a path; `./sprites` is always a path.
pub fn weights(model: &str) -> Result<Weights> {
    let path = Path::new(model);
    match BUILT_IN.iter().find(|(name, _)| *name == model) {
        Some((name, bytes)) => Ok(Weights::from_bytes(bytes, name)?),
        None if !path.exists() => {
            let names = BUILT_IN.map(|(name, _)| name).join(", ");
            bail!(
                "there is no file {model}, and no built-in model of that name (built in: {names})"
            )
        }
        _ => Ok(Weights::open(path)?),
    }
}

impl Model {
    /// The model of a built-in name or a path.
    pub fn find(model: &str, foreign: &Foreign) -> Result<Self> {
        let weights = weights(model)?;
        let config = network(&weights)?.with_context(|| {
            format!(
                "{model} does not say what network it is, and its keys are those of no known family"
            )
        })?;
        let process = process(model, weights.metadata("process")?, foreign)?;
        let contexts: Vec<String> = weights.metadata("contexts")?.unwrap_or_default();
        ensure!(
            contexts.is_empty() || contexts.len() as i64 == config.contexts(),
            "{model} names {} contexts, its network takes {}",
            contexts.len(),
            config.contexts()
        );
        Ok(Self { card: Card { model: config, process, contexts }, weights })
    }

    /// The network with its weights, and the process.
    pub fn build(
        &self,
        device: Device,
        foreign: &Foreign,
        seed: u64,
    ) -> Result<(Box<dyn Network>, Process)> {
        manual_seed(seed as i64); // what --draw-shortcut leaves as drawn
        let network = self.card.model.build(Kind::Float, Device::Cpu)?;
        let optional: &[&str] = if foreign.draw_shortcut { &SHORTCUT } else { &[] };
        load(network.params(), &self.weights, optional).map_err(|error| self.explain(error))?;
        let network =
            if device == Device::Cpu { network } else { self.moved(network.as_ref(), device)? };
        Ok((network, Process::new(&self.card.process, device)?))
    }

    /// The same network on another device.
    fn moved(&self, network: &dyn Network, device: Device) -> Result<Box<dyn Network>> {
        let there = self.card.model.build(Kind::Float, device)?;
        load(there.params(), &Weights::of(network.params()), &[])?;
        Ok(there)
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

/// The network that a file says it is, or that its keys and shapes are; `None` where neither does.
pub fn network(weights: &Weights) -> Result<Option<ModelConfig>> {
    let said = weights.metadata("model")?;
    let shapes: Shapes = weights.iter().map(|(key, tensor)| (key, tensor.size())).collect();
    Ok(said.or_else(|| ModelConfig::recognise(&shapes).ok().map(|found| found.config)))
}

/// The process that a file says, or that the user says where the file is silent.
fn process(model: &str, said: Option<ProcessConfig>, foreign: &Foreign) -> Result<ProcessConfig> {
    let named = match foreign.process.as_deref() {
        None => None,
        Some("sprites") => Some(ProcessConfig::sprites()),
        Some(other) => bail!("unknown process `{other}`: expected sprites"),
    };
    match (said, named) {
        (Some(said), Some(named)) if said != named => {
            bail!(
                "{model} says that it was trained for another process than --process names; leave --process out"
            )
        }
        (Some(process), _) | (None, Some(process)) => Ok(process),
        (None, None) => bail!(
            "{model} does not say what process it was trained for; name it: --process sprites (the notebook's: 500 steps, t/T)"
        ),
    }
}
