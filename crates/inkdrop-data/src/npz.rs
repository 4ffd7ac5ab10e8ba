//! How samples are handed to evaluation scripts: one compressed numpy archive.

use std::io::{self, Cursor};
use std::path::Path;

use ndarray::Array2;
use npyz::WriterBuilder;
use npyz::npz::NpzWriter;
use npyz::zip::DateTime;
use npyz::zip::write::FileOptions;

use crate::output::write_atomic;
use crate::{DataError, Images};

/// Writes samples in the layout of OpenAI's diffusion evaluations.
///
/// # Shapes
/// - `arr_0`: the images, uint8 `[N, H, W, C]`.
/// - `arr_1`: `labels`, int64 `[N]`, if given.
/// - `context`: float32 `[N, K]`, if given.
///
/// # Errors
/// [`DataError::Labels`] where labels or contexts are not one per image; [`DataError::Write`]
/// where the file can't be written.
pub fn write_samples(
    path: impl AsRef<Path>,
    images: &Images,
    labels: Option<&[i64]>,
    context: Option<&Array2<f32>>,
) -> Result<(), DataError> {
    check_length("labels", labels.map(<[i64]>::len), images.len())?;
    check_length("contexts", context.map(Array2::nrows), images.len())?;
    write_atomic(path.as_ref(), |file| {
        let mut archive = NpzWriter::new(Cursor::new(Vec::new()));
        let shape: Vec<usize> = images.view().shape().to_vec();
        add(&mut archive, "arr_0", &shape, images.bytes().iter().copied())?;
        if let Some(labels) = labels {
            add(&mut archive, "arr_1", &[labels.len()], labels.iter().copied())?;
        }
        if let Some(context) = context {
            add(&mut archive, "context", context.shape(), context.iter().copied())?;
        }
        file.write_all(archive.zip_writer().finish()?.get_ref())
    })
}

fn add<T: npyz::AutoSerialize + npyz::Serialize>(
    archive: &mut NpzWriter<Cursor<Vec<u8>>>,
    name: &str,
    shape: &[usize],
    values: impl Iterator<Item = T>,
) -> io::Result<()> {
    let shape: Vec<u64> = shape.iter().map(|&side| side as u64).collect();
    // Room for sizes beyond 4 GiB costs 20 bytes.
    // The zip epoch, not the time: equal samples make equal files.
    let options = FileOptions::default().large_file(true).last_modified_time(DateTime::default());
    let array = archive.array(name, options)?.default_dtype().shape(&shape);
    let mut writer = array.begin_nd()?;
    writer.extend(values)?;
    writer.finish()
}

fn check_length(what: &str, given: Option<usize>, images: usize) -> Result<(), DataError> {
    match given {
        Some(given) if given != images => Err(DataError::Labels(format!(
            "{given} {what} for {images} images, expected one per image"
        ))),
        _ => Ok(()),
    }
}
