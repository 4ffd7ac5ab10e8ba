//! Model and device options.

use anyhow::Result;
use inkdrop::torch::DeviceChoice;
use inkdrop::unet::ImageSize;
use inkdrop::{Pipeline, PipelineBuilder};
use serde::Serialize;

use crate::options::{OverrideArgs, Tf32, local_device};

#[derive(Debug, clap::Args, Serialize)]
pub struct ModelArgs {
    /// A checkpoint, a diffusers directory, or a built-in model (`inkdrop models`)
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
    overrides: OverrideArgs,
}

impl ModelArgs {
    /// The model as given: a path, or a built-in name.
    pub fn name(&self) -> &str {
        &self.model
    }

    /// Opens a model that generates images from noise.
    ///
    /// - seed: of `--draw-shortcut`
    pub fn open(&self, seed: u64) -> Result<Pipeline> {
        build(self.builder(&self.model, seed)?.upscaler(false))
    }

    /// Opens a model, which may be one for super-resolution.
    pub fn open_any(&self, seed: u64) -> Result<Pipeline> {
        self.open_other(&self.model, seed)
    }

    /// Opens another model of the same kind, with the same options.
    pub fn open_other(&self, name: &str, seed: u64) -> Result<Pipeline> {
        build(self.builder(name, seed)?)
    }

    fn builder(&self, name: &str, seed: u64) -> Result<PipelineBuilder> {
        self.tf32.apply()?;
        let mut builder = Pipeline::builder(name)
            .overrides(self.overrides.overrides())
            .device(local_device(self.device)?)
            .precision(&self.precision);
        if let Some(ImageSize { height, width }) = self.size {
            builder = builder.size(height, width);
        }
        Ok(if self.draw_shortcut { builder.draw_shortcut(seed) } else { builder })
    }
}

/// Builds the pipeline, and prints what its model has to say.
fn build(builder: PipelineBuilder) -> Result<Pipeline> {
    let pipeline = builder.build()?;
    if let Some(model) = pipeline.model() {
        model.notes.iter().for_each(|note| eprintln!("note: {note}"));
    }
    Ok(pipeline)
}
