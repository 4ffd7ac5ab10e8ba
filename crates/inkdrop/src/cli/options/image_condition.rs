//! The images that a conditioned model starts from: `--condition`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use inkdrop::Pipeline;
use inkdrop::data::{Depth, Images, npz};
use inkdrop::model::sha256;
use inkdrop::process::ImageCondition;
use serde_json::{Value, json};

use super::{Input, image_files};

#[derive(Debug, clap::Args)]
pub struct ImageConditionArgs {
    /// Image that the model is conditioned on: a picture, an .npy or .npz file of images [N, H, W, C], or a directory
    /// of pictures and .npy files; 8 or 16 bits. Image i is made from the i-th, from the first again when there are more
    #[arg(long = "condition", value_name = "IMAGE|DIR|NPZ")]
    images: Option<PathBuf>,
}

impl ImageConditionArgs {
    /// Sets the images of a pipeline; returns them.
    pub fn apply(&self, pipeline: Pipeline) -> Result<(Pipeline, Option<Images>)> {
        let Some(path) = &self.images else { return Ok((pipeline, None)) };
        let channels = match pipeline.metadata().condition {
            Some(ImageCondition::Pair { channels, .. }) => channels,
            _ => pipeline.metadata().model.image_shape()[0],
        };
        let images = load(path, channels as usize)?;
        Ok((pipeline.image_condition(images.clone()), Some(images)))
    }

    /// Input files, which no output may overwrite.
    pub fn files(&self) -> Vec<PathBuf> {
        self.images.iter().cloned().collect()
    }
}

/// What the samples depend on, for a manifest.
pub fn identity(images: &Images) -> Value {
    json!(sha256(&[&images.raw_bytes()]))
}

fn load(path: &Path, channels: usize) -> Result<Images> {
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npz")) {
        return Ok(npz::load(path)?.images);
    }
    let files = image_files(&[path.to_path_buf()])?;
    Ok(Input::read(files, (channels, Depth::Eight), |_, image| Ok(image))?.images)
}
