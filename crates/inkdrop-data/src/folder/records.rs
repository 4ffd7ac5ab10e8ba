//! Datasets of arrays and records that a config names as a folder of pictures.

use ndarray::Array4;

use super::pictures::Fitting;
use super::{Folder, FolderConfig, FolderLabels};
use crate::layout::Layout;
use crate::picture::Picture;
use crate::{DataError, Depth, Images, InMemoryDataset, Labels, Note};

/// Loads the dataset of a path that holds arrays or records; `None` for pictures.
///
/// The images get the config's size and the channels; the labels are kept unless the config wants none.
pub(super) fn load(config: &FolderConfig, channels: usize) -> Result<Option<Folder>, DataError> {
    let layout = match Layout::detect(&config.path)? {
        Some(layout) if !layout.is_pictures() => layout,
        _ => return Ok(None),
    };
    let (dataset, classes) = layout.load()?;
    fit(config, channels, &layout, (dataset, classes)).map(Some)
}

/// A dataset that was loaded from the path of a config, with the config's size and the channels; the
/// labels are kept unless the config wants none.
///
/// - layout: of the path
///
/// # Errors
/// [`DataError::Images`] if `channels` or the size is out of range.
pub fn fit(
    config: &FolderConfig,
    channels: usize,
    layout: &Layout,
    (dataset, mut classes): (InMemoryDataset, Vec<String>),
) -> Result<Folder, DataError> {
    let (count, kind) = (dataset.len(), layout.describe());
    let images = fitted(dataset.images, config, channels)?;
    let labels = match config.labels {
        FolderLabels::None => {
            classes.clear();
            Labels::None
        }
        _ => dataset.labels,
    };
    let note = Note::Found { path: config.path.clone(), kind: format!("{kind}, {count} images") };
    let dataset = InMemoryDataset::new(images, labels)?;
    Ok(Folder { dataset, classes, notes: vec![note] })
}

/// The images with the size of the config and the channels.
fn fitted(images: Images, config: &FolderConfig, channels: usize) -> Result<Images, DataError> {
    let (height, width) = (images.height(), images.width());
    let sides = config.size.map_or((height, width), |size| (size, size));
    if (sides, channels) == ((height, width), images.channels()) {
        return Ok(images);
    }
    if images.depth() == Depth::Sixteen {
        let problem = "images of 16 bits of another size or number of channels than the network's, expected the \
                       same; only images of 8 bits are resized and converted";
        return Err(DataError::file(&config.path, problem));
    }
    if !matches!(images.channels(), 1 | 3) {
        let problem = format!(
            "images of {height} x {width} pixels with {} channels, the network takes {channels}: only gray and RGB images \
             are resized and converted; convert these before",
            images.channels()
        );
        return Err(DataError::file(&config.path, problem));
    }
    let fitting = Fitting::new(config, channels)?;
    let mut bytes = Vec::new();
    for index in 0..images.len() {
        bytes.extend(fitting.fit(Picture::of_image(&images, index)?)?.bytes);
    }
    let shape = (images.len(), sides.0, sides.1, channels);
    let pixels = Array4::from_shape_vec(shape, bytes);
    Images::new(pixels.map_err(|error| DataError::Images(error.to_string()))?)
}
