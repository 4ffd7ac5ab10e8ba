//! Images as files in memory: PNG, npz and GIF; and pictures of requests.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use inkdrop_data::Images;
use inkdrop_data::picture::{Grid, Picture, encode_gif, encode_png};
use inkdrop_data::read::decode_picture_bytes;
use ndarray::s;

use crate::engine::JobImages;

/// Duration of a frame of an animation, and of the last; hundredths of a second.
const DELAYS: (u16, u16) = (8, 300);

/// Scale of the images in files: small ones are enlarged four times.
pub fn scale(images: &Images) -> usize {
    if images.height() <= 32 { 4 } else { 1 }
}

/// A nearly square grid; `None` without images.
pub fn grid(images: &Images, scale: usize) -> Option<Picture> {
    if images.is_empty() {
        return None;
    }
    let columns = (images.len() as f64).sqrt().ceil() as usize;
    let mut grid = Grid::new().scale(scale);
    for from in (0..images.len()).step_by(columns) {
        let to = (from + columns).min(images.len());
        let row = Images::new(images.view().slice(s![from..to, .., .., ..]).to_owned()).ok()?;
        grid = grid.row(String::new(), row);
    }
    Some(grid.render())
}

/// One image as a PNG file; `None` if there is none with this index.
pub fn png(images: &Images, index: usize) -> Option<Vec<u8>> {
    encode_png(&Picture::of_image(images, index).ok()?).ok()
}

/// A grid as a PNG file; `None` without images.
pub fn grid_png(images: &Images) -> Option<Vec<u8>> {
    encode_png(&grid(images, scale(images))?).ok()
}

/// A grid as a `data:` address, for a page.
pub fn data_url(images: &Images) -> Option<String> {
    let png = encode_png(&grid(images, 1)?).ok()?;
    Some(format!("data:image/png;base64,{}", STANDARD.encode(png)))
}

/// Bytes in base64.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// An npz archive of images with their labels, as `inkdrop sample` writes it.
///
/// # Errors
/// The temporary folder cannot be written.
pub fn npz(job: &JobImages) -> io::Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("images.npz");
    let JobImages { images, labels, contexts } = job;
    let written =
        inkdrop_data::npz::write_samples(&path, images, labels.as_deref(), contexts.as_ref());
    written.map_err(io::Error::other)?;
    std::fs::read(path)
}

/// An animation; `None` without frames.
pub fn gif(frames: &[Picture]) -> Option<Vec<u8>> {
    encode_gif(frames, DELAYS.0, DELAYS.1).ok()
}

/// A picture of a request: a PNG or JPEG file in base64, also as a `data:` address.
///
/// # Errors
/// The text is not base64, or the file is not a picture.
pub fn decode(name: &str, text: &str) -> Result<Picture, String> {
    let base64 = text.split_once(";base64,").map_or(text, |(_, base64)| base64);
    let bytes = STANDARD.decode(base64.trim());
    let bytes = bytes.map_err(|error| format!("{name} is not base64: {error}"))?;
    decode_picture_bytes(name, &bytes).map_err(|error| error.to_string())
}
