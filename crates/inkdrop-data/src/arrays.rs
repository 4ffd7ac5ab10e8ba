//! Folders of arrays: one image per .npy, TIFF or PNG file, of 8 or 16 bits and 1 to 16 channels, kept exactly.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use png::{ColorType as PngColour, Transformations};
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult};

use crate::decode::{MOST_PIXELS, read_file};
use crate::growth::most_unpacked;
use crate::npy::{array_of, arrays_of};
use crate::{DataError, Dataset, Depth, ImageForm, Images, MOST_CHANNELS};

/// Endings of the files that are read.
const ENDINGS: [&str; 4] = ["npy", "tif", "tiff", "png"];

/// The first bytes of .npy and PNG files.
const NUMPY: &[u8] = b"\x93NUMPY";
const PNG: &[u8] = b"\x89PNG";

/// A folder of arrays, decoded when they are read; values are neither converted nor resized.
///
/// ```
/// use inkdrop_data::{Dataset, Depth, arrays};
/// use inkdrop_data::{Images, InMemoryDataset, Labels, npy};
/// use ndarray::Array4;
///
/// # let place = tempfile::tempdir().expect("a temporary folder");
/// # let path = place.path();
/// let image = Images::of_wide(Array4::from_elem((1, 4, 4, 5), 40_000))?;
/// let one = InMemoryDataset::new(image, Labels::None)?;
/// npy::write(&path.join("a.npy"), &path.join("unused"), &one)?;
/// let folder = arrays::open(path)?;
/// assert_eq!((folder.len(), folder.shape(), folder.depth()), (1, [4, 4, 5], Depth::Sixteen));
/// # Ok::<(), inkdrop_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct Arrays {
    files: Vec<PathBuf>,
    form: ImageForm,
}

/// One image.
struct Array {
    form: ImageForm,
    /// `[H, W, C]`; 16-bit values are little-endian.
    bytes: Vec<u8>,
}

/// Opens the .npy, TIFF and PNG files of a folder, in the order of their names. Sub-folders are not read.
///
/// A .npy file holds `[H, W]`, `[H, W, C]` or `[1, H, W, C]` of uint8 or uint16. Of a TIFF file of several pages the
/// first one is read.
///
/// # Errors
/// [`DataError::Read`] if the folder cannot be read, [`DataError::File`] if it has no such file, or the first one is
/// damaged.
pub fn open(folder: impl AsRef<Path>) -> Result<Arrays, DataError> {
    let folder = folder.as_ref();
    let unread = |error| DataError::read(folder, error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        if ENDINGS.contains(&&*ending) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let Some(first) = files.first() else {
        let problem = "no .npy, TIFF or PNG file in this folder, expected one for each image";
        return Err(DataError::file(folder, problem));
    };
    let form = read(first)?.form;
    Ok(Arrays { files, form })
}

/// All images of a .npy, TIFF or PNG file, with the values that it holds.
///
/// A .npy file holds `[H, W]`, `[H, W, C]` or `[N, H, W, C]` of uint8 or uint16. The pages of a TIFF file are images if
/// they have the size, the channels and the depth of the first one; otherwise (a thumbnail) the first is the only one.
///
/// # Errors
/// [`DataError::Read`] if the file cannot be read, [`DataError::File`] if it is damaged or has another format.
pub fn load(file: impl AsRef<Path>) -> Result<Images, DataError> {
    let path = file.as_ref();
    of_bytes(path, read_file(path)?)
}

/// The images in the bytes of a file.
///
/// - path: for errors
pub(crate) fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<Images, DataError> {
    let (count, array) = match bytes.starts_with(NUMPY) {
        true => {
            let ([count, shape @ ..], depth, bytes) = arrays_of(path, bytes)?;
            (count, Array { form: ImageForm { shape, depth }, bytes })
        }
        false => {
            let pages = match bytes.starts_with(PNG) {
                true => of_png(&bytes).map(|array| vec![array]),
                false => of_tiff(&bytes, usize::MAX),
            };
            let mut pages = pages.map_err(|problem| DataError::file(path, problem))?;
            let form = pages[0].form;
            if pages.iter().any(|page| page.form != form) {
                pages.truncate(1);
            }
            let bytes = pages.iter().flat_map(|page| page.bytes.iter().copied()).collect();
            (pages.len(), Array { form, bytes })
        }
    };
    let [height, width, channels] = array.form.shape;
    let images = Images::of_bytes([count, height, width, channels], array.form.depth, array.bytes);
    images.map_err(|error| DataError::file(path, error.to_string()))
}

/// True for a file that may have several images: a .npy file, or a TIFF file of several pages.
pub(crate) fn has_several(bytes: &[u8]) -> bool {
    let pages = || Decoder::new(Cursor::new(bytes)).is_ok_and(|decoder| decoder.more_images());
    bytes.starts_with(NUMPY) || (bytes.starts_with(b"II") || bytes.starts_with(b"MM")) && pages()
}

impl Dataset for Arrays {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.form.shape
    }

    fn depth(&self) -> Depth {
        self.form.depth
    }

    fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        let Some(path) = self.files.get(index) else {
            let most = self.files.len().saturating_sub(1);
            return Err(DataError::Images(format!("image {index}, expected 0 to {most}")));
        };
        let Array { form, bytes } = read(path)?;
        if form != self.form || bytes.len() != pixels.len() {
            let problem = format!(
                "shape {:?} (rows, columns, channels) in {} bits, expected {:?} in {} bits as {} has",
                form.shape,
                u8::from(form.depth),
                self.form.shape,
                u8::from(self.form.depth),
                self.files[0].display()
            );
            return Err(DataError::file(path, problem));
        }
        pixels.copy_from_slice(&bytes);
        Ok(())
    }
}

fn read(path: &Path) -> Result<Array, DataError> {
    let bytes = read_file(path)?;
    let broken = |problem: String| DataError::file(path, problem);
    let array = if bytes.starts_with(NUMPY) {
        let (form, bytes) = array_of(path, bytes)?;
        Array { form, bytes }
    } else if bytes.starts_with(PNG) {
        of_png(&bytes).map_err(broken)?
    } else {
        of_tiff(&bytes, 1).map_err(broken)?.remove(0)
    };
    let [height, width, channels] = array.form.shape;
    let values = height * width * channels;
    if !(1..=MOST_CHANNELS).contains(&channels)
        || array.bytes.len() != values * array.form.depth.bytes()
    {
        return Err(broken(format!(
            "an image of {height} x {width} pixels with {channels} channels, expected at least one pixel and 1 to \
             {MOST_CHANNELS} channels in one plane"
        )));
    }
    Ok(array)
}

/// Checks the number of pixels before memory is allocated.
fn check_pixels(width: u32, height: u32) -> Result<[usize; 2], String> {
    let pixels = u64::from(width) * u64::from(height);
    match (1..=MOST_PIXELS).contains(&pixels) {
        true => Ok([height as usize, width as usize]),
        false => Err(format!("{width} x {height} pixels, expected 1 to {MOST_PIXELS} of them")),
    }
}

fn of_png(bytes: &[u8]) -> Result<Array, String> {
    let broken = |error: png::DecodingError| format!("a broken PNG file: {error}; fetch it again");
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::IDENTITY);
    let info = decoder.read_header_info().map_err(broken)?;
    let [height, width] = check_pixels(info.width, info.height)?;
    let mut reader = decoder.read_info().map_err(broken)?;
    let size = reader.output_buffer_size().ok_or("a picture that memory does not hold")?;
    let mut values = vec![0; size];
    let frame = reader.next_frame(&mut values).map_err(broken)?;
    values.truncate(frame.buffer_size());
    let depth = match (frame.color_type, frame.bit_depth) {
        (PngColour::Indexed, _) => return Err("a PNG file with a palette, expected values".into()),
        (_, png::BitDepth::Eight) => Depth::Eight,
        (_, png::BitDepth::Sixteen) => Depth::Sixteen,
        (_, bits) => return Err(format!("a PNG file of {bits:?} bits, expected 8 or 16")),
    };
    if depth == Depth::Sixteen {
        values.as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.reverse());
    }
    let shape = [height, width, frame.color_type.samples()];
    Ok(Array { form: ImageForm { shape, depth }, bytes: values })
}

/// Bytes of all pages of a TIFF file that are always accepted.
const FLOOR: u64 = 256 << 20;

/// The first pages of a TIFF file, at least one.
///
/// - most: number of pages that are read at most
fn of_tiff(bytes: &[u8], most: usize) -> Result<Vec<Array>, String> {
    let broken = |error: tiff::TiffError| {
        format!("neither a .npy nor a PNG file, nor a TIFF file that can be read: {error}")
    };
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(broken)?;
    // Pages of a file may share their bytes: a small file could name many large ones.
    let limit = most_unpacked(bytes.len() as u64, FLOOR);
    let mut pages = vec![page(&mut decoder, broken)?];
    let mut size = pages[0].bytes.len() as u64;
    while pages.len() < most && decoder.more_images() {
        decoder.next_image().map_err(broken)?;
        let page = page(&mut decoder, broken)?;
        size += page.bytes.len() as u64;
        if size > limit {
            return Err(format!(
                "a TIFF file of {} bytes whose pages grow to more than {limit}, which is refused; store it uncompressed",
                bytes.len()
            ));
        }
        pages.push(page);
    }
    Ok(pages)
}

fn page(
    decoder: &mut Decoder<Cursor<&[u8]>>,
    broken: impl Fn(tiff::TiffError) -> String,
) -> Result<Array, String> {
    let (width, height) = decoder.dimensions().map_err(&broken)?;
    let [height, width] = check_pixels(width, height)?;
    let channels = match decoder.colortype().map_err(&broken)? {
        ColorType::Palette(_) => return Err("a TIFF file with a palette, expected values".into()),
        colour => colour.num_samples() as usize,
    };
    let (depth, bytes) = match decoder.read_image().map_err(&broken)? {
        DecodingResult::U8(values) => (Depth::Eight, values),
        DecodingResult::U16(values) => {
            (Depth::Sixteen, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        }
        _ => {
            return Err(
                "a TIFF file of other values than unsigned ones of 8 or 16 bits; convert it".into(),
            );
        }
    };
    Ok(Array { form: ImageForm { shape: [height, width, channels], depth }, bytes })
}
