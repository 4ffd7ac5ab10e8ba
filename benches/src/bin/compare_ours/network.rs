//! The network of a job.

use inkdrop_checkpoint::{StateDict, load};
use inkdrop_nn::{CompileOptions, Network, TrainableNetwork};
use inkdrop_torch::tch::{Device, Kind};
use inkdrop_unet::{ImageSize, ModelConfig};

use crate::Result;
use crate::job::{Job, What};

/// The config of the network.
pub fn config(job: &Job) -> Result<ModelConfig> {
    let mut config = ModelConfig::preset(&job.model)
        .ok_or_else(|| format!("given the model `{}`, expected a preset's name", job.model))?;
    if let Some(side) = job.size {
        config.resize(ImageSize::square(side))?;
    }
    Ok(config)
}

/// Builds the trainable network in f32, with the job's weights if it has a file of them.
pub fn build(job: &Job) -> Result<Box<dyn TrainableNetwork>> {
    let network = config(job)?.build(Kind::Float, Device::Cpu)?;
    if let Some(path) = &job.weights {
        load(network.params(), &StateDict::open(path)?, &[])?;
    }
    Ok(network)
}

/// Compiles the network for inference at these times.
pub fn prepared(network: &dyn TrainableNetwork, times: Vec<f64>) -> Result<Box<dyn Network>> {
    Ok(network.compile(&CompileOptions::at(times))?)
}

/// GFLOP of the forward pass of one image; `None` for other kinds of work.
pub fn gflop(job: &Job) -> Result<Option<f64>> {
    match job.what {
        What::Forward => Ok(Some(config(job)?.plan()?.gflop())),
        What::Sampling | What::Training | What::Schedule => Ok(None),
    }
}
