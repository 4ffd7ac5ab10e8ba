//! Model and device options.

use anyhow::Result;
use inkdrop_torch::DeviceChoice;
use inkdrop_torch::tch::Device;
use inkdrop_unet::ImageSize;
use serde::Serialize;

use crate::model::metadata::{Build, Model, precision};
use crate::model::overrides::ModelOverrides;
use crate::options::Tf32;

#[derive(Debug, clap::Args, Serialize)]
pub struct ModelArgs {
    /// A checkpoint, a diffusers directory, or the built-in model `sprites`
    #[serde(skip)]
    model: String,
    /// Device: auto, cpu, cuda or cuda:N
    #[serde(skip)]
    #[arg(long, default_value_t, help_heading = "Model")]
    device: DeviceChoice,
    /// Image size, height x width [default: the size of the model]
    #[serde(skip)]
    #[arg(long, value_name = "HxW", help_heading = "Model")]
    size: Option<ImageSize>,
    /// Mixed precision: f32, or bf16 or f16 for convolutions (norms, embeddings and the last layer
    /// stay f32)
    #[arg(long, default_value = "f32", help_heading = "Model")]
    precision: String,
    #[serde(flatten)]
    #[command(flatten, next_help_heading = "Model")]
    tf32: Tf32,
    /// Initialise init_conv.shortcut from the seed, for checkpoints of the sprites notebook
    #[arg(long, help_heading = "Model")]
    draw_shortcut: bool,
    // The heading of `tf32` would also apply to all arguments after this struct.
    #[serde(skip)]
    #[command(flatten, next_help_heading = clap::builder::Resettable::Reset)]
    overrides: ModelOverrides,
}

impl ModelArgs {
    /// Opens the model, for images of the requested size.
    pub fn find(&self) -> Result<Model> {
        self.sized(Model::find(&self.model, &self.overrides)?)
    }

    /// Opens a super-resolution model.
    pub fn find_upscaler(&self) -> Result<Model> {
        self.sized(Model::find_upscaler(&self.model, &self.overrides)?)
    }

    /// Opens another model of the same kind, with the same options.
    pub fn find_other(&self, name: &str) -> Result<Model> {
        self.sized(Model::find(name, &self.overrides)?)
    }

    fn sized(&self, mut model: Model) -> Result<Model> {
        if let Some(size) = self.size {
            model.metadata.model.resize(size)?;
            model.metadata.model.plan()?;
        }
        Ok(model)
    }

    /// The device.
    pub fn device(&self) -> Result<Device> {
        Ok(self.device.resolve()?)
    }

    /// Options for building the network.
    pub fn build(&self, seed: u64) -> Result<Build> {
        self.tf32.apply()?;
        let (device, torso) = (self.device()?, precision(&self.precision)?);
        let draw_shortcut = self.draw_shortcut;
        Ok(Build { device, torso, draw_shortcut, seed, schedule: None })
    }
}
