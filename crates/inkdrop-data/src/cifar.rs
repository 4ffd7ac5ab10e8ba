//! CIFAR-10 in its binary version (Krizhevsky 2009).
//!
//! Records of one label byte and 3072 bytes: red, green and blue planes, row by row.

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::Array4;

use crate::{DataError, Images, InMemoryDataset, Labels};

/// Names of the classes, in the order of their ids.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Rows and columns of each image.
pub const SIDE: usize = 32;

/// Name of the folder in `cifar-10-binary.tar.gz`.
const FOLDER: &str = "cifar-10-batches-bin";

const AREA: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * AREA;

/// Loads a file of records, or all `data_batch_*.bin` of a folder in the order of their names.
///
/// - path: a .bin file, `cifar-10-batches-bin`, or the folder that holds it
///
/// # Shapes
/// - images: `[N, 32, 32, 3]`; labels: N ids of 10 classes
///
/// # Errors
/// [`DataError::Read`] if a file cannot be read; [`DataError::File`] if a folder has no batch, a
/// file has an incomplete record, or a label is above 9.
pub fn load(path: impl AsRef<Path>) -> Result<InMemoryDataset, DataError> {
    let (mut ids, mut pixels) = (Vec::new(), Vec::new());
    for file in files(path.as_ref())? {
        let bytes = fs::read(&file).map_err(|error| DataError::read(&file, error))?;
        check(&bytes).map_err(|problem| DataError::file(&file, problem))?;
        for record in bytes.chunks_exact(RECORD) {
            ids.push(u32::from(record[0]));
            pixels.extend(interleaved(&record[1..]));
        }
    }
    let pixels = Array4::from_shape_vec((ids.len(), SIDE, SIDE, 3), pixels)
        .map_err(|error| DataError::Images(error.to_string()))?;
    InMemoryDataset::new(Images::new(pixels)?, Labels::Classes { ids, count: CLASSES.len() })
}

fn files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let unread = |error| DataError::read(path, error);
    if !fs::metadata(path).map_err(unread)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("data_batch_") && name.ends_with(".bin") {
            files.push(entry.path());
        }
    }
    let inner = path.join(FOLDER);
    if files.is_empty() && inner.is_dir() {
        return self::files(&inner);
    }
    if files.is_empty() {
        let problem = "there is no data_batch_*.bin in this folder, expected those of \
                       cifar-10-batches-bin; unpack cifar-10-binary.tar.gz, or name a .bin file";
        return Err(DataError::file(path, problem));
    }
    files.sort();
    Ok(files)
}

fn check(bytes: &[u8]) -> Result<(), String> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
        return Err(format!(
            "{} bytes, expected a multiple of {RECORD} (a label and 3 x {SIDE} x {SIDE} bytes); \
             fetch the binary version of CIFAR-10 again",
            bytes.len()
        ));
    }
    let labels = bytes.iter().step_by(RECORD);
    match labels.enumerate().find(|(_, label)| usize::from(**label) >= CLASSES.len()) {
        None => Ok(()),
        Some((i, label)) => Err(format!(
            "label {label} of image {i}, expected 0 to 9; give the binary version of CIFAR-10, not of CIFAR-100"
        )),
    }
}

/// Planes `[3, H, W]` as pixels `[H, W, 3]`.
fn interleaved(planes: &[u8]) -> impl Iterator<Item = u8> {
    (0..AREA).flat_map(move |at| [planes[at], planes[AREA + at], planes[2 * AREA + at]])
}
