//! Which model, and where it computes.

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
    /// A file of weights, a diffusers folder, or the built-in model `sprites`
    #[serde(skip)]
    model: String,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[serde(skip)]
    #[arg(long, default_value_t, help_heading = "Model")]
    device: DeviceChoice,
    /// Size of the images, height x width [default: that of the network]
    #[serde(skip)]
    #[arg(long, value_name = "HxW", help_heading = "Model")]
    size: Option<ImageSize>,
    /// f32, or bf16 or f16 for the convolutions (norms, embeddings and the last layer stay f32)
    #[arg(long, default_value = "f32", help_heading = "Model")]
    precision: String,
    #[serde(flatten)]
    #[command(flatten, next_help_heading = "Model")]
    tf32: Tf32,
    /// Draw init_conv.shortcut from the seed, for a notebook checkpoint that has none
    #[arg(long, help_heading = "Model")]
    draw_shortcut: bool,
    #[serde(skip)]
    #[command(flatten)]
    overrides: ModelOverrides,
}

impl ModelArgs {
    /// The model, for images of the size that is asked for.
    pub fn find(&self) -> Result<Model> {
        self.sized(Model::find(&self.model, &self.overrides)?)
    }

    /// The same of a network that makes large images of small ones.
    pub fn find_upscaler(&self) -> Result<Model> {
        self.sized(Model::find_upscaler(&self.model, &self.overrides)?)
    }

    /// Another model of the same kind, described by the same flags where its file is silent.
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

    /// Where the network computes.
    pub fn device(&self) -> Result<Device> {
        Ok(self.device.resolve()?)
    }

    /// How the network is built.
    pub fn build(&self, seed: u64) -> Result<Build> {
        self.tf32.apply()?;
        let (device, torso) = (self.device()?, precision(&self.precision)?);
        let draw_shortcut = self.draw_shortcut;
        Ok(Build { device, torso, draw_shortcut, seed, schedule: None })
    }
}
