//! Pairs of pictures as one dataset: the channels of the condition stand behind those of the image.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::folder::{self, FolderConfig, FolderLabels, OpenFolder};
use crate::{DataError, Dataset, Depth, LabelledDataset};

/// Two datasets of equal size and order, whose images are stacked by channels: image first, condition last.
/// Mirroring and crops of the data loader so act on both alike.
#[derive(Debug)]
pub struct Paired {
    images: Arc<dyn Dataset>,
    conditions: Arc<dyn Dataset>,
}

impl Paired {
    /// - images: to be generated; conditions: what the network receives
    ///
    /// # Errors
    /// [`DataError::Images`] if the numbers or the sizes differ.
    pub fn new(images: Arc<dyn Dataset>, conditions: Arc<dyn Dataset>) -> Result<Self, DataError> {
        if images.depth() != conditions.depth() {
            let problem =
                "images and conditions of different depths, expected 8 or 16 bits for both";
            return Err(DataError::Images(problem.to_owned()));
        }
        let ([h, w, _], [height, width, _]) = (images.shape(), conditions.shape());
        if images.len() != conditions.len() || (h, w) != (height, width) {
            return Err(DataError::Images(format!(
                "{} images of {h} x {w} with {} conditions of {height} x {width}, expected one condition of the \
                 same size for each; `size` gives all of them one size",
                images.len(),
                conditions.len()
            )));
        }
        Ok(Self { images, conditions })
    }
}

impl Dataset for Paired {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn shape(&self) -> [usize; 3] {
        let [height, width, channels] = self.images.shape();
        [height, width, channels + self.conditions.shape()[2]]
    }

    fn depth(&self) -> Depth {
        self.images.depth()
    }

    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        let one = |dataset: &Arc<dyn Dataset>| -> Result<(Vec<u8>, usize), DataError> {
            let shape = dataset.shape();
            let bytes = dataset.depth().bytes();
            let mut own = vec![0; bytes * shape.iter().product::<usize>()];
            dataset.read(index, &mut own).map_err(DataError::into_file)?;
            Ok((own, bytes * shape[2]))
        };
        let (image, channels) = one(&self.images)?;
        let (condition, others) = one(&self.conditions)?;
        let both = image.chunks_exact(channels).zip(condition.chunks_exact(others));
        for (to, (image, condition)) in pixels.chunks_exact_mut(channels + others).zip(both) {
            to[..channels].copy_from_slice(image);
            to[channels..].copy_from_slice(condition);
        }
        Ok(())
    }
}

/// Pictures that hold a pair side by side (pix2pix, Isola et al. 2017), as pairs stacked by channels: image
/// first, condition last.
#[derive(Debug)]
pub struct SideBySide {
    pictures: Arc<dyn Dataset>,
    condition_left: bool,
}

impl SideBySide {
    /// - condition_left: the condition is the left half, the image to generate the right one
    ///
    /// # Errors
    /// [`DataError::Images`] if the width is odd.
    pub fn new(pictures: Arc<dyn Dataset>, condition_left: bool) -> Result<Self, DataError> {
        let width = pictures.shape()[1];
        if !width.is_multiple_of(2) {
            return Err(DataError::Images(format!(
                "pictures {width} pixels wide, expected an even width, since each holds two images side by side"
            )));
        }
        Ok(Self { pictures, condition_left })
    }
}

impl Dataset for SideBySide {
    fn len(&self) -> usize {
        self.pictures.len()
    }

    fn shape(&self) -> [usize; 3] {
        let [height, width, channels] = self.pictures.shape();
        [height, width / 2, 2 * channels]
    }

    fn depth(&self) -> Depth {
        self.pictures.depth()
    }

    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        let [height, width, channels] = self.pictures.shape();
        let channels = channels * self.depth().bytes();
        let mut whole = vec![0; height * width * channels];
        self.pictures.read(index, &mut whole).map_err(DataError::into_file)?;
        let rows =
            pixels.chunks_exact_mut(width * channels).zip(whole.chunks_exact(width * channels));
        for (to, from) in rows {
            let (left, right) = from.split_at(width / 2 * channels);
            let (image, condition) =
                if self.condition_left { (right, left) } else { (left, right) };
            let both = image.chunks_exact(channels).zip(condition.chunks_exact(channels));
            for (to, (image, condition)) in to.chunks_exact_mut(2 * channels).zip(both) {
                to[..channels].copy_from_slice(image);
                to[channels..].copy_from_slice(condition);
            }
        }
        Ok(())
    }

    fn skips(&self) -> bool {
        self.pictures.skips()
    }
}

/// Pairs of pictures, and how they are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairsConfig {
    /// Folder or archive of the pictures to generate, or of pictures that hold both side by side.
    pub path: PathBuf,
    /// Folder or archive of the conditions: pictures of the same names, whatever their endings. Without it, each
    /// picture of `path` holds both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<PathBuf>,
    /// The half of a picture that is the condition, for pictures that hold both.
    #[serde(default)]
    pub condition_side: ConditionSide,
    /// Side of the images, for two folders: every picture is resized and cropped to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// Source of the labels, from the names of the pictures to generate.
    #[serde(default)]
    pub labels: FolderLabels,
    /// Memory limit in MiB for each of both sets: larger ones are decoded at every read.
    #[serde(default = "folder::memory_mib")]
    pub memory_mib: u64,
    /// Largest number of pixels of a picture.
    #[serde(default = "folder::max_pixels")]
    pub max_pixels: u64,
}

/// Half of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConditionSide {
    /// The left half.
    #[default]
    Left,
    /// The right half.
    Right,
}

impl PairsConfig {
    /// Opens the pairs as one dataset of `channels` + `others` channels.
    ///
    /// - channels: of the images to generate, 1 or 3
    /// - others: of the conditions, 1 or 3
    ///
    /// # Errors
    /// As for [`folder::open`], but no picture can be left out; a picture without partner; sizes that differ; `size`
    /// for pictures that hold both.
    pub fn open(&self, channels: usize, others: usize) -> Result<OpenFolder, DataError> {
        let config = |path: &Path, labels| FolderConfig {
            size: self.size,
            labels,
            memory_mib: self.memory_mib,
            max_pixels: self.max_pixels,
            ..FolderConfig::new(path)
        };
        let images = config(&self.path, self.labels);
        if let Some(conditions) = &self.conditions {
            let conditions = config(conditions, FolderLabels::None);
            let [images, mut others] =
                folder::open_matching((&images, channels), (&conditions, others))
                    .map_err(DataError::into_file)?;
            let paired = Paired::new(images.data.images, others.data.images)?;
            let data = LabelledDataset { images: Arc::new(paired), labels: images.data.labels };
            others.notes.splice(0..0, images.notes);
            return Ok(OpenFolder { data, classes: images.classes, notes: others.notes });
        }
        if self.size.is_some() || channels != others {
            let problem = "a set of pictures that hold both images side by side, expected no `size`, and as many \
                           channels of the condition as of the image; name a folder of `conditions`, or leave \
                           `size` out";
            return Err(DataError::file(&self.path, problem));
        }
        let OpenFolder { data, classes, notes } =
            folder::open(&images, channels).map_err(DataError::into_file)?;
        let left = self.condition_side == ConditionSide::Left;
        let images = Arc::new(SideBySide::new(data.images, left)?);
        Ok(OpenFolder { data: LabelledDataset { images, ..data }, classes, notes })
    }
}
