//! Job file: the description of one measurement, the same for every baseline.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use inkdrop_benches::{Result, training_options};
use inkdrop_checkpoint::{StateDict, load};
use inkdrop_nn::TrainableNetwork;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use inkdrop_unet::{ImageSize, ModelConfig};
use serde::Deserialize;

/// Kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// One pass of a network over a batch.
    Forward,
    /// From noise to images.
    Sampling,
    /// Training steps.
    Training,
    /// Tables of a noise schedule.
    Schedule,
}

/// How a job samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Solver {
    /// DDIM over timesteps.
    #[default]
    #[serde(rename = "ddim")]
    Ddim,
    /// Multistep sampling of a consistency model.
    #[serde(rename = "consistency")]
    Consistency,
    /// DPM-Solver++(2M) over the same noise levels.
    #[serde(rename = "dpm++2m")]
    Dpm,
}

/// A job. Fields that only PyTorch reads are left out.
#[derive(Debug, Deserialize)]
pub struct Job {
    /// Kind of work.
    pub what: What,
    /// Preset of the network, or name of a schedule such as `linear_1000`.
    pub model: String,
    /// Image size, if it differs from the preset's.
    pub size: Option<i64>,
    /// Gradient checkpointing, in training.
    #[serde(default)]
    pub checkpoint: bool,
    /// Images per batch.
    pub batch: i64,
    /// Steps of the sampler.
    pub steps: usize,
    /// The sampler.
    #[serde(default)]
    pub sampler: Solver,
    /// File of weights; `None` for random ones.
    pub weights: Option<PathBuf>,
    /// File of inputs (x, t, conditioning); `None` for random ones.
    pub inputs: Option<PathBuf>,
    /// File for the outputs, which are compared; `None` computes none.
    pub output: Option<PathBuf>,
    /// Threads of each operation.
    pub threads: i32,
    /// Warm-up repetitions, not timed.
    pub warm_up: usize,
    /// Minimum number of timed repetitions; 0 for none.
    pub least: usize,
    /// Minimum time of all timed repetitions, in seconds.
    pub seconds: f64,
    /// Number of runs per repetition.
    pub inner: u32,
}

impl Job {
    /// Reads a job file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .map_err(|error| format!("cannot read the job {}: {error}", path.display()))?;
        let job: Self = serde_json::from_str(&text)
            .map_err(|error| format!("{} is not a job file: {error}", path.display()))?;
        if job.batch < 1 || job.steps < 1 || job.inner < 1 || job.threads < 1 {
            let Self { batch, steps, inner, threads, .. } = job;
            let given = format!("batch {batch}, steps {steps}, inner {inner}, threads {threads}");
            return Err(format!("given {given}, expected at least 1 of each").into());
        }
        Ok(job)
    }

    /// Reads the file of inputs, if there is one.
    pub fn inputs(&self) -> Result<Option<StateDict>> {
        Ok(self.inputs.as_deref().map(StateDict::open).transpose()?)
    }

    /// Computes and writes the outputs if the job has a file for them.
    pub fn write_outputs(
        &self,
        make: impl FnOnce() -> Result<Vec<(&'static str, Tensor)>>,
    ) -> Result<()> {
        let Some(path) = &self.output else { return Ok(()) };
        let mut weights = StateDict::default();
        for (name, tensor) in make()? {
            weights.insert(name, tensor.detach().contiguous());
        }
        Ok(weights.save(path)?)
    }

    /// The config of the network.
    pub fn config(&self) -> Result<ModelConfig> {
        let mut config = ModelConfig::preset(&self.model)
            .ok_or_else(|| format!("given the model `{}`, expected a preset's name", self.model))?;
        if let Some(side) = self.size {
            config.resize(ImageSize::square(side))?;
        }
        if self.what == What::Training {
            self.prepare_training(&mut config);
        }
        Ok(config)
    }

    /// No dropout, whose random numbers differ from PyTorch's, no learned variance, whose loss is another
    /// one, and no augmentation, whose layer would get no gradient.
    fn prepare_training(&self, config: &mut ModelConfig) {
        match config {
            ModelConfig::Improved(config) => config.outputs = config.channels,
            ModelConfig::Edm(config) => config.augment = None,
            _ => {}
        }
        if let Some((dropout, checkpoint)) = training_options(config) {
            (*dropout, *checkpoint) = (0.0, self.checkpoint);
        }
    }

    /// Builds the trainable network in f32, with the job's weights if it has a file of them.
    pub fn network(&self) -> Result<Box<dyn TrainableNetwork>> {
        let network = self.config()?.build(Kind::Float, Device::Cpu)?;
        if let Some(path) = &self.weights {
            load(network.params(), &StateDict::open(path)?, &[])?;
        }
        Ok(network)
    }

    /// GFLOP of the forward pass of one image; `None` for other kinds of work.
    pub fn gflop(&self) -> Result<Option<f64>> {
        match self.what {
            What::Forward => Ok(Some(self.config()?.plan()?.gflop())),
            What::Sampling | What::Training | What::Schedule => Ok(None),
        }
    }

    /// Seconds of each repetition after the warm-up: at least `least` of them, for at least `seconds`.
    pub fn measure(&self, mut work: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
        let mut repetition = || -> Result<f64> {
            let begun = Instant::now();
            for _ in 0..self.inner {
                work()?;
            }
            Ok(begun.elapsed().as_secs_f64() / f64::from(self.inner))
        };
        let mut seconds = Vec::new();
        if self.least == 0 {
            return Ok(seconds);
        }
        for _ in 0..self.warm_up {
            repetition()?;
        }
        let begun = Instant::now();
        while seconds.len() < self.least || begun.elapsed().as_secs_f64() < self.seconds {
            seconds.push(repetition()?);
        }
        Ok(seconds)
    }
}

/// The tensor with this name in a file of inputs.
pub fn named(inputs: &StateDict, name: &str) -> Result<Tensor> {
    let tensor = inputs.get(name).map(Tensor::shallow_clone);
    tensor.ok_or_else(|| format!("the inputs have no `{name}`: run prepare.py again").into())
}
