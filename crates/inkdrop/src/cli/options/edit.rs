//! Options of all editing commands.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use inkdrop::data::Images;
use inkdrop::data::picture::Picture;
use inkdrop::data::read;
use serde::Serialize;

use super::{ConditionArgs, GuidanceArgs, OutputArgs};
use inkdrop::model::ModelMetadata;

#[derive(Debug, clap::Args, Serialize)]
pub struct EditArgs {
    #[serde(skip)]
    #[command(flatten)]
    pub condition: ConditionArgs,
    /// Batch size
    #[arg(long, default_value_t = 64)]
    pub batch: usize,
    /// Random seed; image i of a seed is the same in any batch
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[serde(skip)]
    #[command(flatten)]
    pub output: OutputArgs,
    #[serde(flatten)]
    #[command(flatten)]
    pub guidance: GuidanceArgs,
}

/// The input images.
#[derive(Debug, clap::Args, Serialize)]
pub struct InputArgs {
    /// Pictures (PNG, JPEG or GIF), or directories of them
    #[serde(skip)]
    #[arg(required = true, value_name = "IMAGES")]
    pub images: Vec<PathBuf>,
    /// Resize images to the size of the model, with a centre crop
    #[arg(long)]
    pub fit: bool,
}

/// The input images with their names and paths.
pub struct Input {
    pub images: Images,
    pub names: Vec<String>,
    pub paths: Vec<PathBuf>,
}

impl Input {
    /// Converts pictures of one size to images.
    pub fn of(paths: Vec<PathBuf>, pictures: &[Picture], metadata: &ModelMetadata) -> Result<Self> {
        const LETTERS: usize = 12;
        let channels = metadata.model.image_shape()[0] as usize;
        let name = |path: &PathBuf| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            stem.chars().take(LETTERS).collect()
        };
        let names = paths.iter().map(name).collect();
        Ok(Self { images: read::images(pictures, channels)?, names, paths })
    }
}

impl InputArgs {
    /// Reads images with the size of the network.
    pub fn read(&self, metadata: &ModelMetadata) -> Result<Input> {
        let paths = read::files(&self.images)?;
        let [_, height, width] = metadata.model.image_shape().map(|side| side as usize);
        let pictures = paths.iter().map(|path| {
            let picture = read::read_picture(path)?;
            if self.fit {
                return Ok(read::fit(&picture, width, height)?);
            }
            let (w, h) = (picture.width(), picture.height());
            ensure!(
                (w, h) == (width, height),
                "{} is {w} x {h} pixels, the model needs {width} x {height}: --fit resizes and crops it (a sheet of many images must be cut up first)",
                path.display()
            );
            Ok(picture)
        });
        let pictures = pictures.collect::<Result<Vec<Picture>>>()?;
        Input::of(paths, &pictures, metadata)
    }
}
