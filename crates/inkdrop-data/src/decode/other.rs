//! Decoders of WebP, BMP, TIFF and QOI files, by the `image` crate.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::codecs::qoi::QoiDecoder;
use image::codecs::tiff::TiffDecoder;
use image::codecs::webp::WebPDecoder;
use image::error::{ImageError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder, ImageResult};

use super::kind::Kind;
use super::{Limits, PictureOptions, Raster, Values, animation, exif};

/// Width and height, and the EXIF orientation.
pub(super) fn sides(
    kind: Kind,
    bytes: &[u8],
    limits: Limits,
) -> Result<((usize, usize), u8), String> {
    let indexed = Indexed::of(kind, bytes);
    let file = indexed.as_ref().map_or(bytes, |indexed| &indexed.file);
    let (decoder, _) = open(kind, file).map_err(|error| broken(kind, &error))?;
    let sides = dimensions(&*decoder);
    limits.check(sides.0, sides.1)?;
    Ok((sides, orientation(kind, bytes)))
}

/// Decodes the first picture of a file.
pub(super) fn decode(kind: Kind, bytes: &[u8], options: &PictureOptions) -> Result<Raster, String> {
    let indexed = Indexed::of(kind, bytes);
    let file = indexed.as_ref().map_or(bytes, |indexed| &indexed.file);
    let limits = options.limits();
    let (mut decoder, is_animated) = open(kind, file).map_err(|error| broken(kind, &error))?;
    let (width, height) = dimensions(&*decoder);
    limits.check(width, height)?;
    let mut remarks = Vec::new();
    if is_animated {
        remarks.push(animation(options)?);
    }
    let mut most = image::Limits::no_limits();
    most.max_alloc = Some(limits.bytes());
    let image = decoder.set_limits(most).and_then(|()| DynamicImage::from_decoder(decoder));
    let (mut channels, mut values) = samples(image.map_err(|error| broken(kind, &error))?)?;
    if let (Some(Indexed { palette, .. }), Values::Eight(indices)) = (indexed, &values) {
        let pixels = indices.iter().flat_map(|&index| palette[usize::from(index)]);
        values = Values::Eight(pixels.collect());
        channels = 3;
    }
    let orientation = orientation(kind, bytes);
    Ok(Raster { width, height, channels, values, orientation, remarks })
}

/// A TIFF file of palette indices in 8 bits, which the `image` crate reads only as gray.
struct Indexed {
    /// The file with gray in place of the palette as its photometric interpretation.
    file: Vec<u8>,
    palette: Vec<[u8; 3]>,
}

impl Indexed {
    fn of(kind: Kind, bytes: &[u8]) -> Option<Self> {
        let directory = (kind == Kind::Tiff).then(|| exif::Directory::first(bytes))??;
        let [bits, photometric, colour_map] = [258, 262, 320].map(|tag| directory.value(tag));
        let photometric = photometric?;
        if directory.short(photometric) != Some(3) || directory.short(bits?) != Some(8) {
            return None;
        }
        // All reds, then all greens, then all blues, in 16 bits.
        let map = directory.long(colour_map?)?;
        let colour = |channel: usize, index: usize| {
            let value = directory.short(map.checked_add(2 * (256 * channel + index))?)?;
            Some((value >> 8) as u8)
        };
        let entry = |i| Some([colour(0, i)?, colour(1, i)?, colour(2, i)?]);
        let palette = (0..256).map(entry).collect::<Option<_>>()?;
        let mut file = bytes.to_vec();
        let black_is_zero = if directory.big { [0, 1] } else { [1, 0] };
        file.get_mut(photometric..photometric + 2)?.copy_from_slice(&black_is_zero);
        Some(Self { file, palette })
    }
}

/// The decoder, and true for an animation.
fn open(kind: Kind, bytes: &[u8]) -> ImageResult<(Box<dyn ImageDecoder + '_>, bool)> {
    let file = Cursor::new(bytes);
    Ok(match kind {
        Kind::Bmp => (Box::new(BmpDecoder::new(file)?), false),
        Kind::Qoi => (Box::new(QoiDecoder::new(file)?), false),
        Kind::Tiff => (Box::new(TiffDecoder::new(file)?), false),
        _ => {
            let decoder = WebPDecoder::new(file)?;
            let is_animated = decoder.has_animation();
            (Box::new(decoder), is_animated)
        }
    })
}

fn dimensions(decoder: &dyn ImageDecoder) -> (usize, usize) {
    let (width, height) = decoder.dimensions();
    (width as usize, height as usize)
}

/// The EXIF orientation: a TIFF file is such a block itself, a WebP file has one in a chunk.
fn orientation(kind: Kind, bytes: &[u8]) -> u8 {
    match kind {
        Kind::Tiff => exif::orientation(bytes),
        Kind::WebP => chunk(bytes, b"EXIF").map_or(1, exif::orientation),
        _ => 1,
    }
}

/// The content of a chunk of a RIFF file.
fn chunk<'a>(bytes: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    let mut rest = bytes.get(12..)?;
    loop {
        let (name, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (content, after) = after.split_at_checked(length)?;
        if name == wanted {
            return Some(content);
        }
        // Chunks of odd length are followed by a byte.
        rest = after.get(length % 2..)?;
    }
}

/// The number of channels, and the samples.
fn samples(image: DynamicImage) -> Result<(usize, Values), String> {
    use Values::{Eight, Sixteen};
    Ok(match image {
        DynamicImage::ImageLuma8(image) => (1, Eight(image.into_raw())),
        DynamicImage::ImageLumaA8(image) => (2, Eight(image.into_raw())),
        DynamicImage::ImageRgb8(image) => (3, Eight(image.into_raw())),
        DynamicImage::ImageRgba8(image) => (4, Eight(image.into_raw())),
        DynamicImage::ImageLuma16(image) => (1, Sixteen(image.into_raw())),
        DynamicImage::ImageLumaA16(image) => (2, Sixteen(image.into_raw())),
        DynamicImage::ImageRgb16(image) => (3, Sixteen(image.into_raw())),
        DynamicImage::ImageRgba16(image) => (4, Sixteen(image.into_raw())),
        _ => {
            return Err(
                "a picture of floating-point values, whose range is not known; expected 8 \
                        or 16 bits, convert it to PNG"
                    .to_owned(),
            );
        }
    })
}

fn broken(kind: Kind, error: &ImageError) -> String {
    let name = kind.name();
    match error {
        ImageError::Unsupported(error) => {
            format!("a {name} file of a kind that is not supported: {error}; convert it to PNG")
        }
        ImageError::Limits(error) if error.kind() == LimitErrorKind::InsufficientMemory => format!(
            "a {name} file that needs more memory than data.max_pixels grants; make it smaller, or raise the limit"
        ),
        error => format!("a broken {name} file: {error}; fetch it again, or convert it to PNG"),
    }
}
