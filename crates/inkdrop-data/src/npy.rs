//! How a pair of numpy files becomes a data set, and back.

mod file;
mod header;
mod labels;
mod rows;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::Array4;
use npyz::WriterBuilder;

use crate::output::write_atomic;
use crate::{DataError, Images, InMemoryDataset, LabelledDataset, Labels};
use file::{Head, NpyFile};
use rows::Rows;

/// Reads images, and labels if there are any.
///
/// # Shapes
/// - `images`: uint8 `[N, H, W, C]`, C 1 or 3.
/// - `labels`: `[N, K]` weights (one-hot or mixed) of any float or integer type, which become
///   [`Labels::Context`]; or `[N]` integer class ids, which become [`Labels::Classes`].
///
/// # Errors
/// [`DataError::Read`] where a file can't be read; [`DataError::File`] where it is no such
/// array, is shorter or longer than its header says, has a negative id or a weight that is not
/// finite; [`DataError::Labels`] where there is not one label per image.
pub fn load(images: &Path, labels: Option<&Path>) -> Result<InMemoryDataset, DataError> {
    dataset(NpyFile::open(images)?, labels.map(NpyFile::open).transpose()?)
}

/// Opens images, and reads their labels if there are any: as [`load`] does where the images take
/// up at most `memory_mib` MiB; where they take more, each is read when it is asked for.
///
/// # Errors
/// As [`load`], and an image is an error when it is read where its file has changed since.
pub fn open(
    images: &Path,
    labels: Option<&Path>,
    memory_mib: u64,
) -> Result<LabelledDataset, DataError> {
    let (head, file) = Head::open(images)?;
    let shape = head.images()?;
    // The file is as long, so that the product is a number.
    let bytes: usize = shape.iter().product();
    if bytes as u64 <= memory_mib.saturating_mul(1 << 20) {
        return Ok(load(images, labels)?.into());
    }
    let labels = match labels {
        Some(path) => labels::of(&NpyFile::open(path)?)?,
        None => Labels::None,
    };
    labels.go_with(shape[0])?;
    Ok(LabelledDataset { images: Arc::new(Rows::new(head, shape, file)), labels })
}

/// Files by name and content as a data set.
pub(crate) fn of_bytes(
    (path, images): (PathBuf, Vec<u8>),
    labels: Option<(PathBuf, Vec<u8>)>,
) -> Result<InMemoryDataset, DataError> {
    let labels = labels.map(|(path, bytes)| NpyFile::of_bytes(&path, bytes));
    dataset(NpyFile::of_bytes(&path, images)?, labels.transpose()?)
}

fn dataset(images: NpyFile, labels: Option<NpyFile>) -> Result<InMemoryDataset, DataError> {
    let labels = labels.map_or(Ok(Labels::None), |file| labels::of(&file))?;
    let [n, h, w, c] = images.head.images()?;
    let pixels = Array4::from_shape_vec((n, h, w, c), images.into_data())
        .map_err(|error| DataError::Images(format!("pixels don't fill their shape: {error}")))?;
    InMemoryDataset::new(Images::new(pixels)?, labels)
}

/// Writes images as uint8 `[N, H, W, C]` and labels as float64 `[N, K]`, as numpy reads them.
///
/// [`Labels::Classes`] are written one-hot; with [`Labels::None`] no label file is written.
///
/// # Errors
/// [`DataError::Write`] where a file can't be written.
pub fn write(images: &Path, labels: &Path, dataset: &InMemoryDataset) -> Result<(), DataError> {
    let view = dataset.images.view();
    let shape: Vec<u64> = view.shape().iter().map(|&side| side as u64).collect();
    write_array(images, &shape, dataset.images.bytes().iter().copied())?;
    let Some(width) = dataset.context_width() else {
        return Ok(());
    };
    let shape = [dataset.len() as u64, width as u64];
    match &dataset.labels {
        Labels::None => Ok(()),
        Labels::Context(rows) => write_array(labels, &shape, rows.iter().map(|&x| f64::from(x))),
        Labels::Classes { ids, count } => {
            let one_hot =
                |&id: &u32| (0..*count).map(move |k| f64::from(u8::from(k == id as usize)));
            write_array(labels, &shape, ids.iter().flat_map(one_hot))
        }
    }
}

fn write_array<T: npyz::AutoSerialize + npyz::Serialize>(
    path: &Path,
    shape: &[u64],
    values: impl Iterator<Item = T>,
) -> Result<(), DataError> {
    write_atomic(path, |file| array_to(file, shape, values))
}

/// Writes one array in numpy's format.
pub(crate) fn array_to<T: npyz::AutoSerialize + npyz::Serialize>(
    file: &mut dyn Write,
    shape: &[u64],
    values: impl Iterator<Item = T>,
) -> std::io::Result<()> {
    let options = npyz::WriteOptions::new().default_dtype().shape(shape);
    let mut writer = options.writer(file).begin_nd()?;
    writer.extend(values)?;
    writer.finish()
}
