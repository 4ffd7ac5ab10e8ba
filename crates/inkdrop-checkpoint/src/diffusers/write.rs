//! Writes the folder of a network or a pipeline, like save_pretrained.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use inkdrop_torch::tch::Tensor;
use serde_json::{Value, json};

use super::files::{FILE, names};
use super::{CONFIG, DiffusersFolder, INDEX, SCHEDULER, UNET, folder_error};
use crate::atomic::write_atomic;
use crate::{CheckpointError, StateDict};

/// The version that is written if the config has none.
const VERSION: &str = "0.30.0";

impl DiffusersFolder {
    /// With a scheduler, writes a pipeline: `unet/config.json` and its weights,
    /// `scheduler/scheduler_config.json` and `model_index.json`. Without one, a network
    /// alone: `config.json` and its weights.
    ///
    /// Each file is written atomically, the weights last. `model_index.json` names the class of
    /// [`DiffusersFolder::pipeline`]; without one, `unet/` and `scheduler/` are loaded each by itself. Metadata of the
    /// weights is not written.
    ///
    /// # Errors
    /// The path is a file or a folder with other contents; it contains other weights, which
    /// diffusers would read instead of these; or it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        self.check_place(path)?;
        let network = self.network(path);
        create(&network)?;
        put(&network.join(CONFIG), &self.config)?;
        if let Some(scheduler) = &self.scheduler {
            let folder = path.join(SCHEDULER[0]);
            create(&folder)?;
            put(&folder.join(SCHEDULER[1]), scheduler)?;
            let index = path.join(INDEX);
            match self.pipeline() {
                Some(pipeline) => put(&index, &self.index(pipeline, scheduler))?,
                None if index.exists() => {
                    let write = |source| CheckpointError::Write { path: index.clone(), source };
                    fs::remove_file(&index).map_err(write)?;
                }
                None => {}
            }
        }
        let mut weights = StateDict::default();
        let entries = self.weights.tensors.iter();
        let entry = |(key, tensor): (&String, &Tensor)| (key.clone(), tensor.shallow_clone());
        weights.tensors = entries.map(entry).collect();
        weights.set_metadata_text("format", "pt");
        weights.save(&network.join(FILE))
    }

    /// Folder of the network.
    fn network(&self, path: &Path) -> PathBuf {
        if self.scheduler.is_some() { path.join(UNET) } else { path.to_path_buf() }
    }

    /// Returns an error if the folder contains other files.
    fn check_place(&self, path: &Path) -> Result<(), CheckpointError> {
        let read = |source| CheckpointError::Read { path: path.to_path_buf(), source };
        if !path.exists() {
            return Ok(());
        }
        if !path.is_dir() {
            return Err(folder_error(path, "it is a file, expected a new folder"));
        }
        let empty = fs::read_dir(path).map_err(read)?.next().is_none();
        let pipeline = path.join(INDEX).exists() || path.join(UNET).exists();
        let network = self.network(path);
        if !empty && !network.join(CONFIG).is_file() && !pipeline {
            let problem = "it is not empty and not a diffusers folder; choose a new folder";
            return Err(folder_error(path, problem));
        }
        if self.scheduler.is_none() && pipeline {
            let problem = "it is a pipeline with a scheduler, but no scheduler was given; choose a new folder";
            return Err(folder_error(path, problem));
        }
        let others = if network.is_dir() { names(&network)? } else { Default::default() };
        if let Some(other) = others.iter().find(|name| *name != FILE) {
            let problem = format!(
                "{} exists already, and diffusers would read it instead; remove it",
                network.join(other).display()
            );
            return Err(folder_error(path, problem));
        }
        Ok(())
    }

    /// The pipeline of diffusers that samples with the scheduler: DDPMPipeline, DDIMPipeline, PNDMPipeline or
    /// ConsistencyModelPipeline.
    ///
    /// `None` without a scheduler, and for schedulers whose samples are scaled by σ (EDM's, Euler, Heun, LMS) or whose
    /// step takes no generator (DEIS, UniPC): DDPMPipeline would sample wrongly with them, or fail.
    pub fn pipeline(&self) -> Option<&'static str> {
        match scheduler_class(self.scheduler.as_ref()?) {
            "DDIMScheduler" => Some("DDIMPipeline"),
            "PNDMScheduler" => Some("PNDMPipeline"),
            "CMStochasticIterativeScheduler" => Some("ConsistencyModelPipeline"),
            "DDPMScheduler" | "DPMSolverMultistepScheduler" | "FlowMatchEulerDiscreteScheduler" => {
                Some("DDPMPipeline")
            }
            _ => None,
        }
    }

    /// The contents of model_index.json.
    fn index(&self, pipeline: &str, scheduler: &Value) -> Value {
        json!({
            "_class_name": pipeline,
            "_diffusers_version": self.config["_diffusers_version"].as_str().unwrap_or(VERSION),
            "scheduler": ["diffusers", scheduler_class(scheduler)],
            "unet": ["diffusers", self.config["_class_name"].as_str().unwrap_or("UNet2DModel")],
        })
    }
}

fn scheduler_class(scheduler: &Value) -> &str {
    scheduler["_class_name"].as_str().unwrap_or("DDPMScheduler")
}

fn create(folder: &Path) -> Result<(), CheckpointError> {
    let write = |source| CheckpointError::Write { path: folder.to_path_buf(), source };
    fs::create_dir_all(folder).map_err(write)
}

fn put(path: &Path, value: &Value) -> Result<(), CheckpointError> {
    let text = format!("{value:#}\n");
    write_atomic(path, |file| Ok(file.write_all(text.as_bytes())?))
}
