//! IDX files, the format of MNIST (LeCun, "The MNIST database"), plain or gzip-compressed.
//!
//! Big-endian u32 magic number and dimensions, then bytes.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ndarray::Array4;

use crate::growth::most_unpacked;
use crate::{DataError, Images, InMemoryDataset, Labels};

/// A kind of IDX file, by its magic number.
struct Kind {
    name: &'static str,
    magic: u32,
    sides: usize,
}

const IMAGES: Kind = Kind { name: "images", magic: 2051, sides: 3 };
const LABELS: Kind = Kind { name: "labels", magic: 2049, sides: 1 };

/// Loads images and, if given, labels. Compression is detected from the first bytes.
///
/// Memory is allocated for the content of a file, not for what its header claims.
///
/// # Shapes
/// - images: `[N, H, W, 1]`, gray; labels: N ids; the number of classes is the highest id plus 1
///
/// # Errors
/// - [`DataError::Read`] if a file cannot be read
/// - [`DataError::File`] if it is not an IDX file, its size does not match its header, or it is empty
/// - [`DataError::Labels`] if there is not one label per image
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

/// The shape of a file, and its values.
fn read(path: &Path, kind: &Kind) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let unread = |error| DataError::read(path, error);
    let mut file = BufReader::new(File::open(path).map_err(unread)?);
    let packed = file.fill_buf().map_err(unread)?.starts_with(&[0x1f, 0x8b]);
    let length = file.get_ref().metadata().map_err(unread)?.len();
    let content = match packed {
        true => content(&mut MultiGzDecoder::new(file), kind, most_unpacked(length, 1 << 30)),
        false => content(&mut file, kind, u64::MAX),
    };
    content.map_err(|problem| DataError::file(path, problem))
}

/// - most: largest number of values
fn content(file: &mut dyn Read, kind: &Kind, most: u64) -> Result<(Vec<usize>, Vec<u8>), String> {
    let (shape, size) = header(file, kind)?;
    if size as u64 > most {
        return Err(format!(
            "shape {shape:?}, {size} bytes, expected at most {most} from a packed file of this size; unpack it"
        ));
    }
    let mut bytes = Vec::new();
    let one_more = (size as u64).saturating_add(1);
    file.take(one_more).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
    if bytes.len() != size {
        let found = if bytes.len() > size { "more".to_owned() } else { bytes.len().to_string() };
        return Err(format!(
            "{found} bytes of {name}, expected {size} for shape {shape:?}; fetch the file again",
            name = kind.name
        ));
    }
    Ok((shape, bytes))
}

/// The shape, and the number of values.
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
