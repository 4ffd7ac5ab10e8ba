//! Picture decoding: picture files as RGB pictures.

mod exif;
mod gif;
mod jpeg;
mod kind;
mod options;
mod other;
mod png;

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ndarray::Array4;

use crate::images::narrowed;
use crate::picture::{Picture, Rgb};
use crate::{DataError, Images};
use kind::Kind;
pub(crate) use kind::{FOREIGN, instead_of_data};
pub use options::{Animation, MOST_PIXELS, Orientation, PictureOptions, Transparent};

/// The formats that are read, for messages.
pub(crate) const FORMATS: &str = "PNG, JPEG, GIF, WebP, BMP, TIFF or QOI";

/// Bytes of a file that usually hold its header.
pub(crate) const START: u64 = 16 << 10;

/// A decoded picture, with remarks on its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The picture.
    pub picture: Picture,
    /// What was amiss with the file or left out of it, such as further frames of an animation.
    pub remarks: Vec<String>,
}

/// Reads a picture file with the default [`PictureOptions`]: PNG, JPEG, GIF, WebP, BMP, TIFF or QOI.
///
/// Transparent pixels are composited on white, an animation gives its first frame, and the EXIF
/// orientation is applied. See [`decode_picture`] for the rest.
///
/// # Errors
/// As for [`decode_picture`].
pub fn read_picture(path: impl AsRef<Path>) -> Result<Picture, DataError> {
    decode_picture(path, &PictureOptions::default()).map(|decoded| decoded.picture)
}

/// Reads a picture file: gray, RGB, CMYK or of a palette, with 1 to 16 bits per channel.
///
/// 16-bit values v become v / 257, rounded. JPEG pixels equal libjpeg-turbo's. Colour profiles are
/// ignored. The format is detected from the first bytes, not from the name. The size is checked
/// before memory is allocated. A PNG file without its end, or with a wrong checksum of complete pixel
/// data, is read with a remark.
///
/// # Errors
/// - [`DataError::Read`] if the file cannot be read
/// - [`DataError::File`] if it has another format, is damaged, has too many pixels, or is an
///   animation that the options refuse
pub fn decode_picture(
    path: impl AsRef<Path>,
    options: &PictureOptions,
) -> Result<Decoded, DataError> {
    let path = path.as_ref();
    decode(path, &read_file(path)?, options)
}

/// Decodes the bytes of a picture file with the default [`PictureOptions`], as [`read_picture`] does.
///
/// - name: for errors
///
/// # Errors
/// [`DataError::File`] as for [`decode_picture`].
pub fn decode_picture_bytes(name: &str, bytes: &[u8]) -> Result<Picture, DataError> {
    decode(Path::new(name), bytes, &PictureOptions::default()).map(|decoded| decoded.picture)
}

/// Decodes the bytes of a picture.
///
/// - path: for errors
pub(crate) fn decode(
    path: &Path,
    bytes: &[u8],
    options: &PictureOptions,
) -> Result<Decoded, DataError> {
    guarded(path, || {
        let mut raster = Raster::decode(bytes, options)?;
        let (remarks, turn) = (std::mem::take(&mut raster.remarks), raster.turn(options));
        let picture = raster.picture(options.transparent)?;
        Ok(Decoded { picture: exif::turned(picture, turn), remarks })
    })
}

/// Decodes the bytes of a picture as an image of its own depth, gray or RGB, with remarks on the file.
///
/// - path: for errors
pub(crate) fn decode_image(
    path: &Path,
    bytes: &[u8],
    options: &PictureOptions,
) -> Result<(Images, Vec<String>), DataError> {
    guarded(path, || {
        let mut raster = Raster::decode(bytes, options)?;
        let (remarks, turn) = (std::mem::take(&mut raster.remarks), raster.turn(options));
        Ok((raster.image(options.transparent, turn)?, remarks))
    })
}

/// Width and height of a picture file, with the EXIF orientation applied; from its header alone, if
/// that is enough.
pub(crate) fn sides(
    path: &Path,
    bytes: &[u8],
    options: &PictureOptions,
) -> Result<(usize, usize), DataError> {
    guarded(path, || {
        let limits = options.limits();
        let ((width, height), turn) = match Kind::of(bytes)? {
            Kind::Png => png::sides(bytes, limits),
            Kind::Jpeg => jpeg::sides(bytes, limits),
            Kind::Gif => gif::sides(bytes, limits),
            kind => other::sides(kind, bytes, limits),
        }?;
        let turned = options.follows_exif() && exif::swaps_sides(turn);
        Ok(if turned { (height, width) } else { (width, height) })
    })
}

/// The bytes of a file, which may be a device without an end.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
    const MOST: u64 = 1 << 30;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes));
    read.map_err(|error| DataError::read(path, error))?;
    match bytes.len() as u64 > MOST {
        true => Err(DataError::file(
            path,
            "more than 1 GiB, expected a picture of less; make it smaller",
        )),
        false => Ok(bytes),
    }
}

/// Adds the path to an error; a panic of the decoder becomes an error.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, String>) -> Result<T, DataError> {
    let unforeseen =
        "its decoder failed in an unforeseen way; convert the picture anew, and report it";
    let result = catch_unwind(AssertUnwindSafe(work));
    let result = result.unwrap_or_else(|_| Err(unforeseen.to_owned()));
    result.map_err(|problem| DataError::file(path, problem))
}

/// Decoded pixels, before transparency and orientation are dealt with.
struct Raster {
    width: usize,
    height: usize,
    /// 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha.
    channels: usize,
    /// `[height, width, channels]`
    values: Values,
    /// The EXIF orientation, 1 to 8.
    orientation: u8,
    remarks: Vec<String>,
}

/// Values of 8 or 16 bits.
enum Values {
    Eight(Vec<u8>),
    Sixteen(Vec<u16>),
}

impl Values {
    fn narrowed(self) -> Vec<u8> {
        match self {
            Self::Eight(values) => values,
            Self::Sixteen(values) => values.into_iter().map(narrowed).collect(),
        }
    }
}

impl Raster {
    fn decode(bytes: &[u8], options: &PictureOptions) -> Result<Self, String> {
        match Kind::of(bytes)? {
            Kind::Png => png::decode(bytes, options),
            Kind::Jpeg => jpeg::decode(bytes, options.limits()),
            Kind::Gif => gif::decode(bytes, options),
            kind => other::decode(kind, bytes, options),
        }
    }

    /// The EXIF orientation, if it is followed.
    fn turn(&self, options: &PictureOptions) -> u8 {
        if options.follows_exif() { self.orientation } else { 1 }
    }

    /// The picture; transparent pixels as the option has it.
    fn picture(self, transparent: Transparent) -> Result<Picture, String> {
        let (channels, bytes) = opaque(self.values.narrowed(), self.channels, transparent);
        let pixels = match channels {
            1 => bytes.iter().flat_map(|&gray| [gray; 3]).collect(),
            _ => bytes,
        };
        Picture::new(self.width, self.height, pixels).map_err(|error| error.to_string())
    }

    /// The image with its own depth, gray or RGB, turned by an EXIF orientation.
    fn image(self, transparent: Transparent, turn: u8) -> Result<Images, String> {
        let sides = (self.width, self.height);
        let images = match self.values {
            Values::Eight(values) => {
                Images::new(upright(sides, opaque(values, self.channels, transparent), turn)?)
            }
            Values::Sixteen(values) => {
                Images::of_wide(upright(sides, opaque(values, self.channels, transparent), turn)?)
            }
        };
        images.map_err(|error| error.to_string())
    }
}

/// One image, turned by an EXIF orientation.
///
/// - width, height: sides before it is turned
fn upright<T: Copy>(
    (width, height): (usize, usize),
    (channels, values): (usize, Vec<T>),
    turn: u8,
) -> Result<Array4<T>, String> {
    let values = exif::turned_values(&values, (width, height), channels, turn);
    let (width, height) = if exif::swaps_sides(turn) { (height, width) } else { (width, height) };
    Array4::from_shape_vec((1, height, width, channels), values).map_err(|error| error.to_string())
}

/// A value of a pixel.
trait Sample: Copy + TryFrom<u64> + Into<u64> {
    /// The largest value.
    const MOST: u64;
}

impl Sample for u8 {
    const MOST: u64 = 255;
}

impl Sample for u16 {
    const MOST: u64 = 65535;
}

/// Values without alpha: 1 channel (gray) as it is, others as RGB.
fn opaque<T: Sample>(values: Vec<T>, channels: usize, transparent: Transparent) -> (usize, Vec<T>) {
    let under = match transparent {
        Transparent::Drop => None,
        Transparent::On(colour) => Some(colour),
    };
    match channels {
        2 => {
            let pixels = values.chunks_exact(2);
            (3, pixels.flat_map(|p| over([p[0]; 3], p[1], under)).collect())
        }
        4 => {
            let pixels = values.chunks_exact(4);
            (3, pixels.flat_map(|p| over([p[0], p[1], p[2]], p[3], under)).collect())
        }
        _ => (channels, values),
    }
}

/// A colour over another: α·v + (1 − α)·u, rounded; the colour alone without one below.
fn over<T: Sample>(colour: [T; 3], alpha: T, under: Option<Rgb>) -> [T; 3] {
    let Some(under) = under else { return colour };
    let alpha: u64 = alpha.into();
    std::array::from_fn(|c| {
        let (value, below): (u64, u64) = (colour[c].into(), u64::from(under[c]) * T::MOST / 255);
        let mixed = (value * alpha + below * (T::MOST - alpha) + T::MOST / 2) / T::MOST;
        T::try_from(mixed).unwrap_or(colour[c]) // always fits: a mean of two values
    })
}

/// The limits of a picture's size.
#[derive(Debug, Clone, Copy)]
struct Limits {
    max_pixels: u64,
}

impl Limits {
    /// Checks the number of pixels.
    fn check(self, width: usize, height: usize) -> Result<(), String> {
        let most = self.max_pixels;
        match (width as u64).checked_mul(height as u64) {
            Some(0) => Err(format!(
                "a picture of {width} x {height} pixels, expected at least one; fetch it again"
            )),
            Some(pixels) if pixels <= most => Ok(()),
            _ => Err(format!(
                "a picture of {width} x {height} pixels, expected at most {most} of them; make it \
                 smaller, or raise the limit data.max_pixels"
            )),
        }
    }

    /// Largest number of bytes that a decoder may take: 8 per pixel, and some for small pictures.
    fn bytes(self) -> u64 {
        self.max_pixels.saturating_mul(8).saturating_add(1 << 20)
    }
}

/// Refuses an animation, or returns the remark on it.
fn animation(options: &PictureOptions) -> Result<String, String> {
    match options.animation {
        Animation::First => Ok("an animation, of which the first frame is taken".to_owned()),
        Animation::Refuse => {
            Err("an animation, expected a still picture; give one of its frames, \
                                  or set data.animation = \"first\""
                .to_owned())
        }
    }
}
