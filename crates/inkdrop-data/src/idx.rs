//! How a pair of IDX files, as MNIST comes in, becomes a data set.
//!
//! LeCun, "The MNIST database": big-endian u32 magic and lengths, then bytes. Files that gzip
//! compressed are read as they are.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ndarray::Array4;

use crate::{DataError, Images, InMemoryDataset, Labels};

/// What the first four bytes say of the rest.
struct Kind {
    name: &'static str,
    magic: u32,
    sides: usize,
}

const IMAGES: Kind = Kind { name: "images", magic: 2051, sides: 3 };
const LABELS: Kind = Kind { name: "labels", magic: 2049, sides: 1 };

/// Reads images, and labels if there are any; whether a file is compressed shows in its bytes.
///
/// Memory is taken for what is in a file, whatever its header says.
///
/// # Shapes
/// - images: `[N, H, W, 1]`, gray; labels: N ids, of as many classes as the highest says
///
/// # Errors
/// [`DataError::Read`] where a file cannot be read; [`DataError::File`] where it is no such
/// file, is longer or shorter than its header says, or has nothing in it; [`DataError::Labels`]
/// where there is not one label per image.
pub fn load(images: &Path, labels: Option<&Path>) -> Result<InMemoryDataset, DataError> {
    let (shape, bytes) = read(images, &IMAGES)?;
    let shape = (shape[0], shape[1], shape[2], 1);
    let pixels = Array4::from_shape_vec(shape, bytes)
        .map_err(|error| DataError::file(images, error.to_string()))?;
    let labels = match labels {
        None => Labels::None,
        Some(path) => {
            let ids: Vec<u32> = read(path, &LABELS)?.1.into_iter().map(u32::from).collect();
            let count = ids.iter().max().map_or(0, |&highest| highest as usize + 1);
            Labels::Classes { ids, count }
        }
    };
    InMemoryDataset::new(Images::new(pixels)?, labels)
}

/// The lengths of a file's dimensions, and its values.
fn read(path: &Path, kind: &Kind) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let unread = |error| DataError::read(path, error);
    let mut file = BufReader::new(File::open(path).map_err(unread)?);
    let packed = file.fill_buf().map_err(unread)?.starts_with(&[0x1f, 0x8b]);
    let content = match packed {
        true => content(&mut MultiGzDecoder::new(file), kind),
        false => content(&mut file, kind),
    };
    content.map_err(|problem| DataError::file(path, problem))
}

fn content(file: &mut dyn Read, kind: &Kind) -> Result<(Vec<usize>, Vec<u8>), String> {
    let (shape, size) = header(file, kind)?;
    let mut bytes = Vec::new();
    let most = (size as u64).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
    if bytes.len() != size {
        let found = if bytes.len() > size { "more".to_owned() } else { bytes.len().to_string() };
        return Err(format!(
            "{found} bytes of {name}, expected {size} for shape {shape:?}; fetch the file again",
            name = kind.name
        ));
    }
    Ok((shape, bytes))
}

/// The lengths of the dimensions, and how many values they promise.
fn header(file: &mut dyn Read, kind: &Kind) -> Result<(Vec<usize>, usize), String> {
    let Kind { name, magic, sides } = kind;
    let found = number(file, kind)?;
    if found != *magic {
        return Err(format!(
            "magic number {found}, expected {magic} of IDX {name} of bytes; give the file of {name}"
        ));
    }
    let sides = (0..*sides).map(|_| number(file, kind).map(|side| side as usize));
    let shape = sides.collect::<Result<Vec<usize>, _>>()?;
    let size = shape.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
    match size.filter(|&size| size > 0) {
        Some(size) => Ok((shape, size)),
        None => Err(format!(
            "shape {shape:?}, expected no side of 0 and no more than memory holds; fetch the file again"
        )),
    }
}

fn number(file: &mut dyn Read, kind: &Kind) -> Result<u32, String> {
    let mut bytes = [0; 4];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(u32::from_be_bytes(bytes)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(format!(
            "it ends in its header, expected {} bytes of one; fetch the file of {} again",
            4 + 4 * kind.sides,
            kind.name
        )),
        Err(error) => Err(damaged(&error)),
    }
}

fn damaged(error: &std::io::Error) -> String {
    format!("its bytes cannot be read: {error}; fetch the file again")
}
