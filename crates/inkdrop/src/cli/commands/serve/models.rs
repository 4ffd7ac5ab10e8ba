//! The models of a server: files, built-in models, and those of training runs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Result, ensure};
use inkdrop::checkpoint::DiffusersFolder;
use inkdrop::model::BUILT_IN_MODELS;
use inkdrop::torch::DeviceChoice;
use inkdrop::torch::tch::Device;
use inkdrop::train::RunFolder;
use inkdrop::{Pipeline, report};
use inkdrop_serve::engine::ModelInfo;

use crate::options::Tf32;

/// Where a model is, and how it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelPlace {
    /// The id in requests.
    pub id: String,
    /// The file.
    pub path: PathBuf,
    /// The part of a checkpoint.
    pub part: Option<&'static str>,
    /// Modification of the file: checkpoints of a run in progress are new ones under the same id.
    modified: Option<SystemTime>,
}

impl ModelPlace {
    fn new(id: String, path: &Path, part: Option<&'static str>) -> Self {
        let modified = std::fs::metadata(path).and_then(|file| file.modified()).ok();
        Self { id, path: path.to_path_buf(), part, modified }
    }

    /// Arguments of the command that opens it.
    fn arguments(&self) -> Vec<String> {
        let part = self.part.map(|part| ["--part".to_string(), part.to_string()]);
        let path = self.path.display().to_string();
        std::iter::once(path).chain(part.into_iter().flatten()).collect()
    }
}

/// All models of a server.
pub struct Models {
    models: Vec<PathBuf>,
    runs: Vec<PathBuf>,
    device: DeviceChoice,
    precision: String,
    tf32: Tf32,
    /// Maximum number of sampling steps of a request.
    pub max_steps: usize,
    /// Descriptions of the models that were opened before.
    known: Mutex<HashMap<ModelPlace, ModelInfo>>,
}

impl Models {
    /// Opens every model once, so that a wrong path is an error at the start. Without paths these are
    /// the built-in models.
    pub fn open(
        models: &[PathBuf],
        runs: &[PathBuf],
        device: DeviceChoice,
        (precision, tf32): (&str, Tf32),
        max_steps: usize,
    ) -> Result<Self> {
        let built_in = || BUILT_IN_MODELS.iter().map(|model| PathBuf::from(model.name)).collect();
        let all = models.is_empty() && runs.is_empty();
        let models = if all { built_in() } else { models.to_vec() };
        let (runs, precision) = (runs.to_vec(), precision.to_string());
        let known = Mutex::default();
        let opened = Self { models, runs, device, precision, tf32, max_steps, known };
        for place in opened.fixed() {
            let is_folder = DiffusersFolder::is_at(&place.path);
            let hub = place.path.join("refs").is_dir();
            ensure!(
                !place.path.is_dir() || is_folder || hub,
                "{} is no run directory, since it has no config.toml (has `inkdrop train --out` begun?), and no diffusers directory",
                place.path.display()
            );
            opened.info(&place)?;
        }
        Ok(opened)
    }

    fn fixed(&self) -> impl Iterator<Item = ModelPlace> + '_ {
        self.models.iter().map(|path| ModelPlace::new(path.display().to_string(), path, None))
    }

    /// The models that are there now, those of runs last.
    fn places(&self) -> Vec<ModelPlace> {
        let of_runs = self.runs.iter().flat_map(|folder| self.places_of_run(folder));
        self.fixed().chain(of_runs).collect()
    }

    /// The final model of a run, and both networks of its newest checkpoint that is whole.
    fn places_of_run(&self, path: &Path) -> Vec<ModelPlace> {
        let Ok(folder) = RunFolder::read(path) else { return Vec::new() };
        let name = report::Run::name_of(path);
        let mut places = Vec::new();
        if folder.finished().is_file() {
            // A built-in model may have the name of the run.
            let taken = self.fixed().any(|place| place.id == name);
            let id = if taken { format!("{name}/final") } else { name.clone() };
            places.push(ModelPlace::new(id, &folder.finished(), None));
        }
        for (what, part) in [("average", "ema"), ("weights", "network")] {
            let id = format!("{name}/{what}");
            let checkpoints = folder.checkpoints_newest_first();
            let place = |path: PathBuf| ModelPlace::new(id.clone(), &path, Some(part));
            places.extend(checkpoints.map(place).find(|place| self.info(place).is_ok()));
        }
        places
    }

    /// The model with this id.
    pub fn find(&self, id: &str) -> Option<ModelPlace> {
        self.places().into_iter().find(|place| place.id == id)
    }

    /// Opens a model.
    pub fn pipeline(&self, place: &ModelPlace) -> inkdrop::Result<Pipeline> {
        let builder = Pipeline::builder(&place.path).device(self.device);
        let builder = builder.precision(self.precision.clone());
        match place.part {
            Some(part) => builder.part(part).build(),
            None => builder.build(),
        }
    }

    /// What the pixels depend on besides the model and the request, as options of `inkdrop sample` and their values. The
    /// library's default device is the CPU, the program's is a GPU if there is one.
    fn options(&self, device: Device) -> Vec<[String; 2]> {
        let device = (self.device != DeviceChoice::Auto || device.is_cuda())
            .then(|| ["--device".to_string(), self.device.to_string()]);
        let precision =
            (self.precision != "f32").then(|| ["--precision".to_string(), self.precision.clone()]);
        let tf32 = self.tf32.value().map(|value| ["--tf32".to_string(), value.to_string()]);
        [device, precision, tf32].into_iter().flatten().collect()
    }

    /// Descriptions of the models that are there now.
    pub fn infos(&self) -> Vec<ModelInfo> {
        // A checkpoint may be gone or half written at this moment.
        self.places().iter().filter_map(|place| self.info(place).ok()).collect()
    }

    fn info(&self, place: &ModelPlace) -> Result<ModelInfo> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(info) = known().get(place) {
            return Ok(info.clone());
        }
        let pipeline = self.pipeline(place)?;
        let options = self.options(pipeline.process().device());
        let info = describe(place, options, pipeline)?;
        let mut known = known();
        known.retain(|other, _| other.id != place.id);
        known.insert(place.clone(), info.clone());
        Ok(info)
    }
}

/// - options: of the command that opens it
fn describe(
    place: &ModelPlace,
    options: Vec<[String; 2]>,
    pipeline: Pipeline,
) -> Result<ModelInfo> {
    let metadata = pipeline.metadata().clone();
    let [channels, height, width] = metadata.model.image_shape().map(|side| side as usize);
    let conditions = metadata.conditions();
    let (contexts, classes) = match metadata.model.classes() {
        None => (conditions, Vec::new()),
        Some(_) => (Vec::new(), conditions),
    };
    let conditional = metadata.model.classes().is_some() && metadata.classes.null.is_none();
    let pipeline = if conditional { pipeline.class("each") } else { pipeline };
    // A model that starts from an image has none yet.
    let plan = match metadata.condition {
        Some(_) => pipeline.sampler_plan()?,
        None => pipeline.plan()?,
    };
    Ok(ModelInfo {
        id: place.id.clone(),
        about: format!("{height} x {width} x {channels}, {}", metadata.model.family()),
        arguments: place.arguments().into_iter().chain(options.into_iter().flatten()).collect(),
        image: [height, width, channels],
        classes,
        contexts,
        unconditional: !conditional,
        sampler: match plan.scheduler {
            Some(_) => "scheduler_config.json".to_string(),
            None => plan.sampler.to_string(),
        },
        steps: plan.schedule.len(),
        upscaler: pipeline.is_upscaler(),
    })
}
