//! PNG files and folders of PNG files.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::Picture;
use crate::output::write_atomic;
use crate::{DataError, Depth, Images};

/// Encodes a picture as a PNG file of 8-bit RGB.
///
/// # Errors
/// [`DataError::Picture`] if a side is too large for PNG.
pub fn encode_png(picture: &Picture) -> Result<Vec<u8>, DataError> {
    encode(picture).map_err(|error| DataError::Picture(format!("cannot encode as PNG: {error}")))
}

fn encode(picture: &Picture) -> io::Result<Vec<u8>> {
    let side = |length: usize| u32::try_from(length).map_err(io::Error::other);
    let mut bytes = Vec::new();
    let mut encoder =
        png::Encoder::new(&mut bytes, side(picture.width())?, side(picture.height())?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(picture.pixels())?;
    writer.finish()?;
    Ok(bytes)
}

/// Writes one image as a PNG file: of 8 bits in RGB, of 16 bits as it is, gray or RGB.
///
/// # Errors
/// [`DataError::Picture`] if there is no image `index`, or it has neither 1 nor 3 channels;
/// [`DataError::Write`] if the file cannot be written.
pub fn write_image(path: impl AsRef<Path>, images: &Images, index: usize) -> Result<(), DataError> {
    let colour = match images.channels() {
        1 => png::ColorType::Grayscale,
        3 => png::ColorType::Rgb,
        channels => {
            return Err(DataError::Picture(format!(
                "an image of {channels} channels, expected 1 or 3, which a PNG file has; write x.npz"
            )));
        }
    };
    if images.depth() == Depth::Eight {
        return write_png(path, &Picture::of_image(images, index)?);
    }
    let values: Vec<u8> =
        images.raw_image(index).as_chunks().0.iter().flat_map(|&[low, high]| [high, low]).collect();
    let encode = || -> io::Result<Vec<u8>> {
        let side = |length: usize| u32::try_from(length).map_err(io::Error::other);
        let mut bytes = Vec::new();
        let (width, height) = (side(images.width())?, side(images.height())?);
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(colour);
        encoder.set_depth(png::BitDepth::Sixteen);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&values)?; // big-endian
        writer.finish()?;
        Ok(bytes)
    };
    let bytes =
        encode().map_err(|error| DataError::Picture(format!("cannot encode as PNG: {error}")))?;
    write_atomic(path.as_ref(), |file| file.write_all(&bytes))
}

/// Writes a picture as a PNG file.
///
/// # Errors
/// [`DataError::Picture`] if it cannot be encoded, [`DataError::Write`] if the file cannot be
/// written.
pub fn write_png(path: impl AsRef<Path>, picture: &Picture) -> Result<(), DataError> {
    let bytes = encode_png(picture)?;
    write_atomic(path.as_ref(), |file| file.write_all(&bytes))
}

/// True if a file is a complete PNG of this size. Only its start and its end are checked, not its
/// pixels.
pub fn is_whole_png(path: impl AsRef<Path>, width: usize, height: usize) -> bool {
    const END: [u8; 12] = *b"\0\0\0\0IEND\xae\x42\x60\x82";
    let mut start = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    for side in [width, height] {
        let Ok(side) = u32::try_from(side) else { return false };
        start.extend(side.to_be_bytes());
    }
    let ends = || -> io::Result<([u8; 24], [u8; 12])> {
        let mut file = File::open(path)?;
        let (mut first, mut last) = ([0; 24], [0; 12]);
        file.read_exact(&mut first)?;
        file.seek(SeekFrom::End(-(END.len() as i64)))?;
        file.read_exact(&mut last)?;
        Ok((first, last))
    };
    ends().is_ok_and(|(first, last)| first[..] == start && last == END)
}

/// Writes each image as a PNG file; creates the folder if needed.
///
/// The names are `00000.png`, `00001.png`, …, or `<name>.png` with `names`.
///
/// # Errors
/// - [`DataError::Images`] if there is not one name per image, or a name is not a plain file name
/// - [`DataError::Picture`] if the images have neither 1 nor 3 channels
/// - [`DataError::Write`] if the folder or a file cannot be written
pub fn write_image_dir(
    dir: impl AsRef<Path>,
    images: &Images,
    names: Option<&[String]>,
) -> Result<(), DataError> {
    let dir = dir.as_ref();
    if let Some(names) = names {
        check_names(names, images.len())?;
    }
    std::fs::create_dir_all(dir).map_err(|source| DataError::write(dir, source))?;
    for index in 0..images.len() {
        let file = match names {
            Some(names) => format!("{}.png", names[index]),
            None => format!("{index:05}.png"),
        };
        write_image(dir.join(file), images, index)?;
    }
    Ok(())
}

fn check_names(names: &[String], images: usize) -> Result<(), DataError> {
    if names.len() != images {
        return Err(DataError::Images(format!(
            "{} names for {images} images, expected one name per image",
            names.len()
        )));
    }
    match names.iter().find(|name| name.is_empty() || name.contains(['/', '\\', ':', '\0'])) {
        Some(name) => Err(DataError::Images(format!(
            "name {name:?}, expected a plain file name without a folder"
        ))),
        None => Ok(()),
    }
}
