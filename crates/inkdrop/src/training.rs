//! Training runs: config, data, loop, and the trained model.

mod colours;
mod distill;
mod init;
mod posthoc;
mod session;

use std::path::{Path, PathBuf};

use inkdrop_data::LabelledDataset;
use inkdrop_data::layout::Layout;
use inkdrop_dist::World;
use inkdrop_train::RunFolder;
use toml::{Table, Value};

pub use distill::DistillationMethod;
pub use init::Init;
pub use posthoc::posthoc_ema;
pub use session::{TrainingSession, TrainingStep, TrainingSteps};

use crate::config::{BuiltIn, ConfigOverride, DataConfig, RunConfig};
use crate::error::{Context, invalid};
use crate::{Pipeline, Result};

/// A training run, before its start: a config with changes, and data.
///
/// ```no_run
/// use inkdrop::Training;
///
/// let run = Training::preset("sprites")?.set("train.steps", 2000)?.run("runs/sprites")?;
/// run.pipeline()?.class("hero").sample(16)?.save("heroes.png")?;
/// # Ok::<(), inkdrop::Error>(())
/// ```
#[must_use = "nothing is trained before `run`"]
pub struct Training {
    /// Name of the config, for errors.
    name: String,
    table: Table,
    data: Option<LabelledDataset>,
    class_names: Vec<String>,
    device: String,
    init: Init,
    resume: bool,
    strict_resume: bool,
    allow_changes: bool,
    world: Option<World>,
    callback: Option<Callback>,
    /// Notes on the changes of the config.
    notes: Vec<String>,
}

/// What [`Training::on_step`] calls.
type Callback = Box<dyn FnMut(&TrainingStep)>;

impl Training {
    /// A built-in config, such as `sprites`, `fashion`, `folder` or `cifar10-ddpm`; `inkdrop train --help` lists them.
    ///
    /// # Errors
    /// Another name.
    pub fn preset(name: &str) -> Result<Self> {
        Self::new(name, BuiltIn::find(name)?.text)
    }

    /// A config in a TOML file, such as config.toml of an earlier run.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn file(path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
        Self::new(&name, &text)
    }

    /// A config as TOML.
    ///
    /// # Errors
    /// The text is no TOML.
    pub fn toml(text: &str) -> Result<Self> {
        Self::new("the config", text)
    }

    /// Resumes the run of a directory with its own config.
    ///
    /// # Errors
    /// There is no run.
    pub fn of_run(folder: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::file(folder.as_ref().join("config.toml"))?.resume(true))
    }

    fn new(name: &str, text: &str) -> Result<Self> {
        Ok(Self::of_table(name, RunConfig::table(name, text)?))
    }

    fn of_table(name: &str, table: Table) -> Self {
        Self {
            name: name.to_string(),
            table,
            data: None,
            class_names: Vec::new(),
            device: "cpu".to_string(),
            init: Init::default(),
            resume: false,
            strict_resume: false,
            allow_changes: false,
            world: None,
            callback: None,
            notes: Vec::new(),
        }
    }

    /// Sets a key of the config, such as `train.lr`. Unknown keys and invalid values are found by
    /// [`Training::config`].
    ///
    /// # Errors
    /// A part of the key is a value, not a section.
    pub fn set(self, key: &str, value: impl Into<Value>) -> Result<Self> {
        self.change(&ConfigOverride::set(key, value))
    }

    /// Removes a key of the config, such as `validation`. A key that the config does not set is noted when the
    /// run starts.
    ///
    /// # Errors
    /// A part of the key is a value, not a section.
    pub fn unset(self, key: &str) -> Result<Self> {
        let before = self.table.clone();
        let mut changed = self.change(&ConfigOverride::unset(key))?;
        if changed.table == before {
            changed.notes.push(format!("--unset {key}: the config does not set it"));
        }
        Ok(changed)
    }

    /// Applies a change of one key.
    ///
    /// # Errors
    /// A part of the key is a value, not a section.
    pub fn change(mut self, change: &ConfigOverride) -> Result<Self> {
        change.apply(&mut self.table)?;
        Ok(self)
    }

    /// Reads the images at a path: short for `data.path` or `data.images`, whatever the data are. NumPy and IDX
    /// files come with the labels beside them, such as `x_labels.npy` or `train-labels-idx1-ubyte`, in place of
    /// `data.labels`; a folder that holds one such set stands for it.
    ///
    /// # Errors
    /// The data are generated, not read, or a path is not in UTF-8.
    pub fn data_path(self, path: impl AsRef<Path>) -> Result<Self> {
        let path = utf8(path.as_ref())?;
        let kind = self.table.get("data").and_then(|data| data.get("kind")?.as_str());
        let key = DataConfig::path_key(kind.unwrap_or_default()).with_context(|| {
            format!("--data {path}: the images of {} are generated, not read from files", self.name)
        })?;
        if key != "images" {
            return self.set(&format!("data.{key}"), path);
        }
        // A path that cannot be read is an error when the images are loaded.
        let (images, labels) = match Layout::detect(Path::new(path)) {
            Ok(Some(Layout::Idx { images, labels } | Layout::Npy { images, labels })) => {
                (images, labels)
            }
            _ => (path.into(), None),
        };
        let training = self.set("data.images", utf8(&images)?)?;
        match labels {
            Some(labels) => training.set("data.labels", utf8(&labels)?),
            None => training.change(&ConfigOverride::unset("data.labels")),
        }
    }

    /// Trains on data of one's own instead of those of the config: any
    /// [`Dataset`](inkdrop_data::Dataset), or one with labels.
    pub fn data(mut self, data: impl Into<LabelledDataset>) -> Self {
        let kind = Table::from_iter([("kind".to_string(), Value::from("custom"))]);
        self.table.insert("data".to_string(), kind.into());
        Self { data: Some(data.into()), ..self }
    }

    /// Names of the classes of [`Training::data`], from class 0.
    pub fn class_names<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        Self { class_names: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Device: `cpu` (the default), `cuda`, `cuda:N`, or `auto` for a GPU if there is one.
    pub fn device(self, device: impl ToString) -> Self {
        Self { device: device.to_string(), ..self }
    }

    /// Starts from given weights, EMA weights or optimizer state instead of random weights.
    pub fn init(self, init: Init) -> Self {
        Self { init, ..self }
    }

    /// Continues the run in the directory from its newest checkpoint, to the same weights as an
    /// uninterrupted run. If that checkpoint is damaged, a note says so, and the newest good one is used.
    pub fn resume(self, resume: bool) -> Self {
        Self { resume, ..self }
    }

    /// Makes a damaged newest checkpoint an error when a run is resumed.
    pub fn strict_resume(self, strict_resume: bool) -> Self {
        Self { strict_resume, ..self }
    }

    /// Accepts another config or other data when a run is resumed.
    pub fn allow_changes(self, allow: bool) -> Self {
        Self { allow_changes: allow, ..self }
    }

    /// Trains together with the other processes of a world, each on its share of every batch. All of them
    /// start the same training; process 0 writes the run directory.
    pub fn processes(self, world: World) -> Self {
        Self { world: Some(world), ..self }
    }

    /// Calls a function after every step, with the metrics, and with images when they are due.
    pub fn on_step(self, callback: impl FnMut(&TrainingStep) + 'static) -> Self {
        Self { callback: Some(Box::new(callback)), ..self }
    }

    /// The config with its changes.
    ///
    /// # Errors
    /// The config is invalid.
    pub fn config(&self) -> Result<RunConfig> {
        let config = RunConfig::read(&self.name, self.table.clone())?;
        config.network()?.plan().context("[model]")?;
        config.train.check()?;
        Ok(config)
    }

    /// Starts the run, for a loop of one's own. Everything is checked before the directory is created.
    ///
    /// # Errors
    /// The config is invalid, the data does not fit the network, or the directory is not empty.
    pub fn start(self, out: impl AsRef<Path>) -> Result<TrainingSession> {
        TrainingSession::start(self, out.as_ref())
    }

    /// Trains to the last step. The run directory contains config.toml, log.jsonl, events for
    /// TensorBoard, checkpoints/, samples/ and final.safetensors with the EMA weights.
    ///
    /// # Errors
    /// As for [`Training::start`]; the loss is NaN or infinite; or a file cannot be written.
    pub fn run(self, out: impl AsRef<Path>) -> Result<TrainedRun> {
        let mut session = self.start(out)?;
        let mut steps = session.steps()?;
        while steps.next_step()?.is_some() {}
        drop(steps);
        session.finish()
    }
}

/// A path as config.toml stores it.
fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| {
        format!("--data {}: expected a path in UTF-8, as config.toml stores it", path.display())
    })
}

/// A finished run.
#[derive(Debug)]
pub struct TrainedRun {
    pub(crate) folder: RunFolder,
    pub(crate) loss: f64,
    pub(crate) steps: usize,
    pub(crate) models: Vec<PathBuf>,
    pub(crate) raw: Option<PathBuf>,
    pub(crate) notes: Vec<String>,
}

impl TrainedRun {
    /// The training loss of the last logged steps; NaN if none was logged.
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The run directory.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The model files: the EMA weights of the first decay, then those of the others.
    pub fn models(&self) -> &[PathBuf] {
        &self.models
    }

    /// The model file of the weights themselves, without averaging. It is written if an average still
    /// holds more than 1 % of the initial weights.
    pub fn raw_model(&self) -> Option<&Path> {
        self.raw.as_deref()
    }

    /// What the user may want to know about the model files.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The trained model: the EMA weights of the first decay.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn pipeline(&self) -> Result<Pipeline> {
        let model = self.models.first().ok_or_else(|| invalid!("the run has no model file"))?;
        Pipeline::open(model)
    }
}
