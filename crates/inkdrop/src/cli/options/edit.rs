//! Options of all editing commands.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use inkdrop::data::picture::Picture;
use inkdrop::data::read::{self, PictureOptions};
use inkdrop::data::{Depth, Images};
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
    /// Pictures (PNG, JPEG, GIF, WebP, BMP, TIFF or QOI) or .npy files of images, or directories of them
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
    /// Reads the images of files, in 16 bits if any of them or `depth` has these.
    ///
    /// - channels: of every image
    /// - prepare: checks or changes one image of a file
    pub fn read(
        paths: Vec<PathBuf>,
        (channels, depth): (usize, Depth),
        mut prepare: impl FnMut(&Path, Images) -> Result<Images>,
    ) -> Result<Self> {
        let (mut all, mut names) = (Vec::new(), Vec::new());
        for path in &paths {
            let decoded = read::decode_images(path, channels, &PictureOptions::default())?;
            decoded.remarks.iter().for_each(|remark| eprintln!("{}: {remark}", path.display()));
            let count = decoded.images.len();
            for index in 0..count {
                let image = prepare(path, decoded.images.select(&[index])?)?;
                let image = image.with_channels(channels);
                all.push(image.with_context(|| path.display().to_string())?);
                names.push(name(path, index, count));
            }
        }
        let side = |image: &Images| (image.width(), image.height());
        if let Some(other) = all.iter().position(|image| side(image) != side(&all[0])) {
            let ((w, h), (width, height)) = (side(&all[other]), side(&all[0]));
            bail!(
                "image {other} is {w} x {h} pixels, the first one {width} x {height}; expected one size for all"
            );
        }
        let depth = all.iter().map(Images::depth).fold(depth, Ord::max);
        let all: Vec<Images> = all.into_iter().map(|image| image.with_depth(depth)).collect();
        Ok(Self { images: Images::concat(&all.iter().collect::<Vec<_>>())?, names, paths })
    }
}

/// The name of an image, for a contact sheet.
fn name(path: &Path, index: usize, count: usize) -> String {
    const LETTERS: usize = 12;
    let stem: String =
        path.file_stem().unwrap_or_default().to_string_lossy().chars().take(LETTERS).collect();
    if count == 1 { stem } else { format!("{stem}-{index}") }
}

/// Files of images, and those of directories; prints what is left out of these.
pub fn image_files(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let found = read::find_images(named)?;
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
        let [channels, height, width] = metadata.model.image_shape().map(|side| side as usize);
        let files = image_files(&self.images)?;
        Input::read(files, (channels, metadata.depth), |path, image| {
            if self.fit {
                return Ok(read::fit_images(&image, width, height)?);
            }
            let (w, h) = (image.width(), image.height());
            ensure!(
                (w, h) == (width, height),
                "{} is {w} x {h} pixels, the model needs {width} x {height}: --fit resizes and crops it (a sheet of many images must be cut up first)",
                path.display()
            );
            Ok(image)
        })
    }
}
