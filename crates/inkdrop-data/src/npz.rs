//! How samples are handed to evaluation scripts, and read again: one compressed numpy archive.

mod load;

pub use load::load;

use std::io::{self, Read};
use std::path::Path;

use ndarray::{Array2, ArrayView1, ArrayView2};
use npyz::WriterBuilder;
use npyz::npz::NpzWriter;
use npyz::zip::DateTime;
use npyz::zip::write::FileOptions;

use crate::output::{Filling, write_atomic};
use crate::{DataError, Images};

/// Bytes before the first image: room for any count, so that a longer one needs no other place.
pub(crate) const HEADER: usize = 192;

/// Writes samples in the layout of OpenAI's diffusion evaluations.
///
/// More images than memory holds go through [`SampleStream`](crate::stream::SampleStream), into the same
/// archive.
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
    let header = header(images.len(), shape(images));
    let (labels, context) = (labels.map(ArrayView1::from), context.map(Array2::view));
    write_archive(path.as_ref(), images.len(), header.chain(images.bytes()), labels, context)
}

/// Writes the archive; `images` is read to its end, a whole npy file of `count` images.
pub(crate) fn write_archive(
    path: &Path,
    count: usize,
    mut images: impl Read,
    labels: Option<ArrayView1<i64>>,
    context: Option<ArrayView2<f32>>,
) -> Result<(), DataError> {
    check_length("labels", labels.map(|labels| labels.len()), count)?;
    check_length("contexts", context.map(|context| context.nrows()), count)?;
    write_atomic(path, |file| {
        let mut archive = NpzWriter::new(file);
        archive.zip_writer().start_file("arr_0.npy", options())?;
        io::copy(&mut images, archive.zip_writer())?;
        if let Some(labels) = labels {
            add(&mut archive, "arr_1", labels.shape(), labels.iter().copied())?;
        }
        if let Some(context) = context {
            add(&mut archive, "context", context.shape(), context.iter().copied())?;
        }
        archive.zip_writer().finish()?;
        Ok(())
    })
}

fn add<T: npyz::AutoSerialize + npyz::Serialize>(
    archive: &mut NpzWriter<&mut dyn Filling>,
    name: &str,
    shape: &[usize],
    values: impl Iterator<Item = T>,
) -> io::Result<()> {
    let shape: Vec<u64> = shape.iter().map(|&side| side as u64).collect();
    let array = archive.array(name, options())?.default_dtype().shape(&shape);
    let mut writer = array.begin_nd()?;
    writer.extend(values)?;
    writer.finish()
}

/// Room for sizes beyond 4 GiB costs 20 bytes; the zip epoch, not the time: equal samples make
/// equal files.
fn options() -> FileOptions {
    FileOptions::default().large_file(true).last_modified_time(DateTime::default())
}

fn check_length(what: &str, given: Option<usize>, images: usize) -> Result<(), DataError> {
    match given {
        Some(given) if given != images => Err(DataError::Labels(format!(
            "{given} {what} for {images} images, expected one per image"
        ))),
        _ => Ok(()),
    }
}

/// `[H, W, C]` of images.
pub(crate) fn shape(images: &Images) -> [usize; 3] {
    [images.height(), images.width(), images.channels()]
}

/// The beginning of a numpy file of `len` images, version 1.0 of the format.
pub(crate) fn header(len: usize, [height, width, channels]: [usize; 3]) -> Vec<u8> {
    let shape = format!("({len}, {height}, {width}, {channels})");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((HEADER as u16 - 10).to_le_bytes());
    bytes.extend(format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}").bytes());
    bytes.resize(HEADER - 1, b' ');
    bytes.push(b'\n');
    bytes
}
