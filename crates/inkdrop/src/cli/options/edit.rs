//! Options of all editing commands.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use inkdrop::data::Images;
use inkdrop::data::picture::Picture;
use inkdrop::data::read::{self, PictureOptions};
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
    /// Pictures (PNG, JPEG, GIF, WebP, BMP, TIFF or QOI), or directories of them
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

/// Picture files, and those of directories; prints what is left out of these.
pub fn picture_files(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let found = read::find(named)?;
    found.notes.iter().for_each(|note| eprintln!("{note}"));
    Ok(found.files)
}

/// Reads a picture; prints what is amiss with its file.
pub fn read_picture(path: &Path) -> Result<Picture> {
    let decoded = read::decode_picture(path, &PictureOptions::default())?;
    decoded.remarks.iter().for_each(|remark| eprintln!("{}: {remark}", path.display()));
    Ok(decoded.picture)
}

impl InputArgs {
    /// Reads images with the size of the network.
    pub fn read(&self, metadata: &ModelMetadata) -> Result<Input> {
        let paths = picture_files(&self.images)?;
        let [_, height, width] = metadata.model.image_shape().map(|side| side as usize);
        let pictures = paths.iter().map(|path| {
            let picture = read_picture(path)?;
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
