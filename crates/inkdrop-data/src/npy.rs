//! How a pair of numpy files becomes a data set, and back.

mod file;
mod header;
mod labels;

use std::io::Write;
use std::path::Path;

use ndarray::Array4;
use npyz::WriterBuilder;

use crate::output::write_atomic;
use crate::{DataError, Dataset, Images, Labels};
use file::NpyFile;

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
pub fn load(images: &Path, labels: Option<&Path>) -> Result<Dataset, DataError> {
    let pixels = Images::new(load_pixels(images)?)?;
    let labels = match labels {
        Some(path) => labels::load(path)?,
        None => Labels::None,
    };
    Dataset::new(pixels, labels)
}

fn load_pixels(path: &Path) -> Result<Array4<u8>, DataError> {
    let file = NpyFile::open(path)?;
    let &[n, h, w, c] = file.shape() else {
        return Err(file.unlike("images [N, H, W, C] of 4 dimensions"));
    };
    if (file.kind().letter, file.kind().size) != ('u', 1) {
        return Err(file.unlike("images of type uint8; convert with `.astype('uint8')`"));
    }
    if n == 0 {
        return Err(file.unlike("at least one image"));
    }
    Array4::from_shape_vec((n, h, w, c), file.into_data())
        .map_err(|error| DataError::file(path, format!("pixels don't fill their shape: {error}")))
}

/// Writes images as uint8 `[N, H, W, C]` and labels as float64 `[N, K]`, as numpy reads them.
///
/// [`Labels::Classes`] are written one-hot; with [`Labels::None`] no label file is written.
///
/// # Errors
/// [`DataError::Write`] where a file can't be written.
pub fn write(images: &Path, labels: &Path, dataset: &Dataset) -> Result<(), DataError> {
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
