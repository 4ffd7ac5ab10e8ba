//! A training run in memory: the network, its averages, the optimiser, the data.

use std::time::Duration;

use inkdrop_checkpoint::Weights;
use inkdrop_data::Labels;
use inkdrop_data::batches::Batches;
use inkdrop_data::loader::{Loader, LoaderConfig};
use inkdrop_data::source::LabelledSource;
use inkdrop_nn::TrainableNetwork;
use inkdrop_process::{Objective, Process};
use tch::Device;

use crate::batch::Prepared;
use crate::labels::LabelTable;
use crate::step::Unread;
use crate::validation::Validation;
use crate::window::Window;
use crate::{
    Adam, Averages, EmaRule, LabelUse, LossScale, Master, Precision, RunFolder, TimestepConfig,
    TimestepSampler, TrainConfig, TrainError,
};

/// A training run. Everything random in step s follows from (seed, s) and from the state that
/// checkpoints hold, so a run that was stopped goes on as if it had not been.
pub struct Trainer {
    pub(crate) config: TrainConfig,
    pub(crate) network: Box<dyn TrainableNetwork>,
    pub(crate) master: Master,
    pub(crate) averages: Averages,
    pub(crate) adam: Adam,
    pub(crate) scale: LossScale,
    pub(crate) timesteps: TimestepSampler,
    pub(crate) step: usize,
    pub(crate) process: Process,
    pub(crate) loader: Loader,
    pub(crate) labels: LabelTable,
    pub(crate) validation: Option<Validation>,
    /// What there is to learn from, in words.
    pub(crate) data: String,
    /// Whose weights it began with, in words; empty where they were drawn.
    pub(crate) origin: String,
    /// What the next line of the log is to say.
    pub(crate) window: Window,
    /// The batch of the last step.
    pub(crate) latest: Option<Prepared>,
    /// Whether a step's numbers are read when the next one is under way, so that the device never
    /// waits for the host.
    pub(crate) reads_late: bool,
    pub(crate) unread: Option<Unread>,
}

/// What a run is made of.
pub struct Parts {
    /// The network to train, built with [`Precision::torso`].
    pub network: Box<dyn TrainableNetwork>,
    /// One of the same config in f32, which will hold the first average.
    pub average: Box<dyn TrainableNetwork>,
    /// The process that it is trained for.
    pub process: Process,
    /// Channels, rows and columns of the images that it takes.
    pub image: [usize; 3],
    /// What it learns.
    pub data: LabelledSource,
    /// How it takes labels.
    pub labels: LabelUse,
    /// Names of the classes or contexts, if they have any: a run goes on only with the same ones.
    pub names: Vec<String>,
    /// Images that it does not learn, to see how well it does on those.
    pub validation: Option<LabelledSource>,
}

impl Trainer {
    /// A run at step 0.
    ///
    /// # Errors
    /// A config or data that cannot be.
    pub fn new(parts: Parts, config: TrainConfig) -> Result<Self, TrainError> {
        config.check()?;
        let Parts { network, average, process, image, data, labels, names, validation } = parts;
        Objective::new(&process, &config.objective())?;
        let master = Master::new(network.params())?;
        let crop = window(&data, image, config.crop)?;
        let loader = LoaderConfig { flip: config.flip, crop, workers: config.workers };
        let batches = Batches::new(data.images.len(), config.batch, config.seed)?;
        let seen = |data: LabelledSource| {
            let crop = window(&data, image, config.crop)?;
            Validation::new(&data, labels, crop, &config)
        };
        let validation = validation.map(seen).transpose()?;
        let scaled = config.precision == Precision::F16;
        Ok(Self {
            averages: Averages::new(average, &master, &config.ema)?,
            adam: Adam::new(&master, config.adam())?,
            data: describe(&data, &names),
            origin: String::new(),
            window: Window::new(process.schedule().steps(), Duration::ZERO),
            scale: LossScale::new(if scaled { LossScale::START } else { 0.0 }),
            timesteps: TimestepSampler::new(config.timesteps, process.schedule().steps()),
            loader: Loader::new(data.images, batches, loader)?,
            labels: LabelTable::new(&data.labels, labels)?,
            // The next step of the others depends on this one's numbers; a CPU is the host itself.
            reads_late: matches!(network.params().device(), Device::Cuda(_))
                && !scaled
                && config.timesteps == TimestepConfig::Uniform,
            unread: None,
            latest: None,
            step: 0,
            master,
            network,
            process,
            validation,
            config,
        })
    }

    /// How many steps are done.
    pub fn step(&self) -> usize {
        self.step
    }

    /// The recipe.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The network with the weights that the first rule has averaged.
    pub fn average(&self) -> &dyn TrainableNetwork {
        self.averages.network()
    }

    /// The weights that a rule has averaged.
    pub fn averaged(&self, rule: EmaRule) -> Option<Weights> {
        self.averages.weights(rule)
    }

    /// Begins with these weights, the averages too.
    ///
    /// - optional: weights that may be missing; they stay as they were drawn
    ///
    /// # Errors
    /// They are not those of the network.
    pub fn start_from(&mut self, weights: &Weights, optional: &[&str]) -> Result<(), TrainError> {
        self.master.set(self.network.params(), weights, optional)?;
        self.averages.set(None, &self.master.weights())
    }

    /// Whose weights the run began with, in words; empty where they were drawn.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Says whose weights the run begins with; checkpoints keep it.
    pub fn set_origin(&mut self, origin: impl Into<String>) {
        self.origin = origin.into();
    }

    /// Saves the state as a checkpoint of the folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, folder: &RunFolder) -> Result<(), TrainError> {
        let TrainConfig { checkpoints_kept, keep_every, .. } = self.config;
        folder.save(&self.state()?, self.step, checkpoints_kept, keep_every)
    }

    /// A window that nothing has been seen in.
    pub(crate) fn fresh_window(&self) -> Window {
        Window::new(self.process.schedule().steps(), self.loader.waited())
    }

    /// Begins at a step, as if those before it had been taken elsewhere: for the learning rate,
    /// the averages and the order of the images.
    ///
    /// # Errors
    /// The recipe has no such step.
    pub fn start_at(&mut self, step: usize) -> Result<(), TrainError> {
        if step >= self.config.steps {
            let (field, given) = ("step", step.to_string());
            return Err(TrainError::Field { field, given, expected: "fewer than train.steps" });
        }
        self.step = step;
        Ok(())
    }

    /// Begins with the optimiser's state that PyTorch saved; where the file does not say after how
    /// many steps, after those that [`Trainer::start_at`] has set.
    ///
    /// - order: names of the weights as PyTorch has them, such as [`Weights::order`] of the network's file
    ///
    /// # Errors
    /// It is not that of the network.
    pub fn start_optimizer_from(
        &mut self,
        weights: &Weights,
        order: &[String],
    ) -> Result<(), TrainError> {
        self.adam.start_from(weights, order, self.step)
    }

    /// Begins with this average of a rule.
    ///
    /// # Errors
    /// The weights are not those of the network, or the recipe has no such rule.
    pub fn start_average_from(
        &mut self,
        rule: EmaRule,
        weights: &Weights,
    ) -> Result<(), TrainError> {
        if !self.averages.rules().any(|known| known == rule) {
            let rules: Vec<String> = self.averages.rules().map(|rule| rule.to_string()).collect();
            return Err(TrainError::Average { given: rule.to_string(), known: rules.join(", ") });
        }
        self.averages.set(Some(rule), weights)
    }
}

/// What there is to learn from: enough to notice that images or classes came or went.
fn describe(data: &LabelledSource, names: &[String]) -> String {
    let [height, width, channels] = data.images.shape();
    let mut words = format!("{} images of {height} x {width} x {channels}", data.images.len());
    if !names.is_empty() {
        words += &format!(" of {}", names.join(", "));
    }
    // FNV-1a (Fowler, Noll & Vo), which is the same everywhere.
    let hash = |bytes: &mut dyn Iterator<Item = u8>| {
        let start = 0xcbf2_9ce4_8422_2325_u64;
        bytes.fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    match &data.labels {
        Labels::None => words,
        Labels::Classes { ids, .. } => {
            let labels = hash(&mut ids.iter().flat_map(|id| id.to_le_bytes()));
            format!("{words}, labels {labels:016x}")
        }
        Labels::Context(rows) => {
            let labels = hash(&mut rows.iter().flat_map(|weight| weight.to_le_bytes()));
            format!("{words}, labels {labels:016x}")
        }
    }
}

/// The window that a network of this image shape takes of the images, where they are larger.
fn window(
    data: &LabelledSource,
    [channels, height, width]: [usize; 3],
    crop: bool,
) -> Result<Option<[usize; 2]>, TrainError> {
    let [rows, columns, colours] = data.images.shape();
    let larger = crop && rows >= height && columns >= width;
    if colours == channels && (larger || [rows, columns] == [height, width]) {
        return Ok(larger.then_some([height, width]));
    }
    Err(TrainError::Data {
        given: format!("images of {rows} x {columns} pixels and {colours} channels"),
        expected: match crop {
            true => format!("at least {height} x {width} and {channels} channels"),
            false => format!("{height} x {width} and {channels} channels"),
        },
    })
}
