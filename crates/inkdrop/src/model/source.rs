//! Sources of weights: built-in models, files of any format, diffusers directories.

use std::path::{Path, PathBuf};

use inkdrop_checkpoint::{DiffusersFolder, StateDict};
use serde_json::Value;

use super::detect::detect;
use super::stored::METADATA;
use super::{BuiltInModel, buffers};
use crate::Result;
use crate::error::{Context, bail};

/// An opened source of weights.
pub struct Source {
    /// The name that the user gave.
    pub name: String,
    /// All tensors of the file.
    pub whole: StateDict,
    /// config.json of a diffusers network.
    pub config: Option<Value>,
    /// scheduler_config.json of a diffusers pipeline.
    pub scheduler: Option<Value>,
    /// The part of a diffusers pipeline that makes its images latents: `vae/`, or a class of
    /// model_index.json.
    pub latents: Option<String>,
}

impl Source {
    /// Opens a built-in name or a path; `./sprites` is always a path.
    ///
    /// # Errors
    /// There is no such file or built-in model, or the file cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let (whole, config, scheduler) = match BuiltInModel::find(&name) {
            Some(built_in) => (built_in.open()?, None, None),
            None if path.is_symlink() && !path.exists() => {
                let target = std::fs::read_link(path).unwrap_or_default();
                bail!(
                    "{name} is a link to {}, which does not exist: fetch the file again",
                    target.display()
                )
            }
            None if !path.exists() => {
                let names = BuiltInModel::names();
                bail!("no file and no built-in model {name} (built in: {names})")
            }
            None if path.is_dir() => {
                let folder = DiffusersFolder::open(&snapshot(path))?;
                (folder.weights, Some(folder.config), folder.scheduler)
            }
            None => (StateDict::open(path)?, None, None),
        };
        Ok(Self { name, whole, config, scheduler, latents: latents(&snapshot(path)) })
    }

    /// The weights of one network of the file, without wrappers and without schedule buffers. A network
    /// of a known family is found below any prefix of keys.
    ///
    /// # Errors
    /// The file has no such network, or several and `name` is `None`.
    pub fn part(&self, name: Option<&str>) -> Result<StateDict> {
        if self.is_training_checkpoint() && name != Some("network") {
            return self.average_of_training(name.unwrap_or("ema"));
        }
        let average = self.average();
        let name = name.or(average.as_deref());
        let mut part = self.whole.part_where(name, &is_known).with_context(|| &self.name)?;
        part.retain(|key| !buffers::is_buffer(key));
        Ok(part)
    }

    /// An average of the weights in a checkpoint of a training run. The part `network` has the weights
    /// themselves.
    ///
    /// - name: a decay, or `ema` for the first one
    fn average_of_training(&self, name: &str) -> Result<StateDict> {
        let decays = self.decays();
        let named =
            |(number, decay): &(usize, &String)| *decay == name || (*number == 0 && name == "ema");
        let Some((_, decay)) = decays.iter().enumerate().find(named) else {
            bail!(
                "{}: the file has no part `{name}`, expected one of: ema, {}, network",
                self.name,
                decays.join(", ")
            );
        };
        let mut part = self.whole.below(&format!("{AVERAGE}{decay}/"));
        for key in METADATA {
            if let Some(text) = self.whole.metadata_text(key) {
                part.set_metadata_text(key, text);
            }
        }
        if let Some(Value::Object(mut training)) = self.whole.metadata("training")? {
            training.insert("average".to_string(), decay.as_str().into());
            training.insert("steps".to_string(), self.whole.metadata("step")?.unwrap_or_default());
            part.set_metadata("training", &training)?;
        }
        Ok(part)
    }

    /// True for a checkpoint of a training run, with averages beside the weights.
    pub(crate) fn is_training_checkpoint(&self) -> bool {
        !self.decays().is_empty()
    }

    /// The decays of the averages in a checkpoint of a training run, in the order of its config.
    pub(crate) fn decays(&self) -> Vec<String> {
        let decays: Vec<String> = self.whole.metadata("ema").ok().flatten().unwrap_or_default();
        let is_there = |decay: &String| {
            let prefix = format!("{AVERAGE}{decay}/");
            self.whole.iter().any(|(key, _)| key.starts_with(&prefix))
        };
        decays.into_iter().filter(is_there).collect()
    }

    /// The averaged network of a checkpoint of lucidrains' Trainer, which samples with it. Such a file has
    /// the trained network twice beside it.
    pub fn average(&self) -> Option<String> {
        let is_trainer =
            ["ema.initted", "ema.step"].iter().all(|key| self.whole.get(key).is_some());
        let average = |name: &String| name.starts_with("ema.ema_model");
        self.parts().into_iter().find(|name| is_trainer && average(name))
    }

    /// A note if a network was chosen among several.
    pub(crate) fn note_of_part(&self, given: Option<&str>) -> Option<String> {
        let average = self.average().filter(|_| given.is_none())?;
        Some(format!(
            "a checkpoint of lucidrains' Trainer: these are its averaged weights ({average}), which it samples with; --part model.model for the trained ones"
        ))
    }

    /// The names of the networks in the file; empty if its keys belong to a single network.
    pub fn parts(&self) -> Vec<String> {
        let mut parts = self.whole.parts_where(&is_known);
        parts.extend(self.decays());
        parts
    }
}

/// Prefix of the averages in the checkpoint of a training run; the decay follows.
const AVERAGE: &str = "average/";

/// True if the tensors are those of a known family.
fn is_known(weights: &StateDict) -> bool {
    detect(weights).is_ok()
}

/// The folder of the current revision in a hub cache, `models--OWNER--NAME`; else the path itself.
fn snapshot(path: &Path) -> PathBuf {
    let revision = std::fs::read_to_string(path.join("refs/main"));
    let revision = revision.map(|revision| path.join("snapshots").join(revision.trim()));
    revision.ok().filter(|folder| folder.is_dir()).unwrap_or_else(|| path.to_path_buf())
}

/// Pipelines of diffusers that generate pixels.
const PIXEL_PIPELINES: [&str; 6] = [
    "DDPMPipeline",
    "DDIMPipeline",
    "PNDMPipeline",
    "KarrasVePipeline",
    "ScoreSdeVePipeline",
    "ConsistencyModelPipeline",
];

/// The part of a pipeline's directory that makes its images latents.
fn latents(path: &Path) -> Option<String> {
    if let Some(decoder) = ["vae", "vqvae"].into_iter().find(|name| path.join(name).is_dir()) {
        return Some(format!("it has a {decoder}"));
    }
    let index = std::fs::read_to_string(path.join("model_index.json")).ok()?;
    let index: Value = serde_json::from_str(&index).ok()?;
    let class = index.get("_class_name")?.as_str()?;
    (!PIXEL_PIPELINES.contains(&class)).then(|| format!("a {class}"))
}
