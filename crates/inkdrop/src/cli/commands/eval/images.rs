//! The images that `eval bpd` and `eval likelihood` evaluate.

use anyhow::{Result, ensure};
use inkdrop::data::{Depth, Images};
use inkdrop::model::{Condition, ModelMetadata};

use super::conditions::DataConditions;
use crate::options::{Found, ImageSet};

/// Arguments that name the images, their conditions and their noise.
#[derive(Debug, clap::Args)]
pub struct ImagesArgs {
    /// Data set: sprites or sprites:SEED:COUNT, an .npz or .npy file, a directory or archive of
    /// pictures, CIFAR's files or directory, an IDX file or MNIST's directory; with its labels
    pub data: ImageSet,
    /// Resize the pictures of a directory to the size of the model, as data.size does in training
    #[arg(long)]
    fit: bool,
    /// Number of images, evenly spaced over the data set [default: all]
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Random seed; image i has the same noise in any batch
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Class of all images instead of the labels: a number, or the name of a context
    #[arg(long, value_name = "N|NAME")]
    class: Option<String>,
}

impl ImagesArgs {
    /// The images to evaluate, with the condition of each.
    pub fn load(&self, metadata: &ModelMetadata) -> Result<(Images, DataConditions)> {
        let [channels, height, width] = metadata.model.image_shape().map(|side| side as usize);
        ensure!(
            !self.fit || height == width,
            "--fit: the model generates {height} x {width}, expected a square"
        );
        ensure!(
            metadata.depth == Depth::Eight,
            "the model generates images of 16 bits: likelihoods are of 8 bits"
        );
        let Found { data, classes } = self.data.load(channels, self.fit.then_some(height))?;
        ensure!(
            data.images.depth() == Depth::Eight,
            "{} has images of 16 bits: likelihoods are of 8 bits",
            self.data
        );
        let given = [data.images.height(), data.images.width(), data.images.channels()];
        ensure!(
            given == [height, width, channels],
            "{} has images of {} x {} x {} (height, width, channels), the model generates {height} x {width} x {channels}: give data of that size, --fit the pictures of a directory, or give another --size",
            self.data,
            given[0],
            given[1],
            given[2]
        );
        let all = data.len();
        let count = self.images.unwrap_or(all);
        ensure!(
            (1..=all).contains(&count),
            "--images {count}: expected 1 to {all}, which {} has",
            self.data
        );
        let indices: Vec<usize> = (0..count).map(|i| i * all / count).collect();
        let fixed = self.class.as_ref().map(|name| Condition::class(metadata, name)).transpose()?;
        let conditions = DataConditions::of(metadata, (&data.labels, &classes), &indices, fixed)?;
        Ok((data.images.select(&indices)?, conditions))
    }
}
