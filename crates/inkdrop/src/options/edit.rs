//! What all tasks that start from images are told in the same words.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use inkdrop_data::Images;
use inkdrop_data::picture::Picture;
use inkdrop_data::read;
use serde::Serialize;

use super::{Asked, GuideOptions, OutOptions};
use crate::model::card::Card;

#[derive(Debug, clap::Args, Serialize)]
pub struct EditOptions {
    #[serde(skip)]
    #[command(flatten)]
    pub asked: Asked,
    /// How many at a time
    #[arg(long, default_value_t = 64)]
    pub batch: usize,
    /// Seed of all noise; image i of a seed is the same whatever the batch
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[serde(skip)]
    #[command(flatten)]
    pub out: OutOptions,
    #[serde(flatten)]
    #[command(flatten)]
    pub guide: GuideOptions,
}

/// The images that a task starts from.
#[derive(Debug, clap::Args, Serialize)]
pub struct InputOptions {
    /// Pictures (PNG, JPEG or GIF), or folders of them
    #[serde(skip)]
    #[arg(required = true, value_name = "IMAGES")]
    pub images: Vec<PathBuf>,
    /// Shrink or enlarge images to the network's size, and crop them at their centre
    #[arg(long)]
    pub fit: bool,
}

/// Images that were read, where from, and what to call them.
pub struct Input {
    pub images: Images,
    pub names: Vec<String>,
    pub paths: Vec<PathBuf>,
}

impl Input {
    /// Pictures of one size, as images for a network.
    pub fn of(paths: Vec<PathBuf>, pictures: &[Picture], card: &Card) -> Result<Self> {
        const LETTERS: usize = 12;
        let channels = card.model.image_shape()[0] as usize;
        let name = |path: &PathBuf| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            stem.chars().take(LETTERS).collect()
        };
        let names = paths.iter().map(name).collect();
        Ok(Self { images: read::images(pictures, channels)?, names, paths })
    }
}

impl InputOptions {
    /// Reads the images, of the network's size.
    pub fn read(&self, card: &Card) -> Result<Input> {
        let paths = read::files(&self.images)?;
        let [_, height, width] = card.model.image_shape().map(|side| side as usize);
        let pictures = paths.iter().map(|path| {
            let picture = read::read_picture(path)?;
            if self.fit {
                return Ok(read::fit(&picture, width, height)?);
            }
            let (w, h) = (picture.width(), picture.height());
            ensure!(
                (w, h) == (width, height),
                "{} is {w} x {h} pixels, the network draws {width} x {height}: --fit makes one image of that size of it (cut a sheet of many images up first)",
                path.display()
            );
            Ok(picture)
        });
        let pictures = pictures.collect::<Result<Vec<Picture>>>()?;
        Input::of(paths, &pictures, card)
    }
}
