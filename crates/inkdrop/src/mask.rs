//! Masks for inpainting.

use inkdrop_data::Images;
use inkdrop_torch::tch::{Device, Kind, Tensor};

use crate::Result;

/// True for each pixel to generate, row by row.
pub type Mask = Vec<bool>;

/// The masks of a batch, [B, 1, H, W]: 1 where pixels are generated.
pub fn to_tensor(masks: &[&Mask], height: usize, device: Device) -> Tensor {
    let flat: Vec<f32> =
        masks.iter().flat_map(|mask| mask.iter().map(|&pixel| f32::from(pixel))).collect();
    let mask = Tensor::from_slice(&flat).view([masks.len() as i64, 1, height as i64, -1]);
    mask.to_device(device).to_kind(Kind::Float)
}

/// Generated pixels where the mask of an image is set, kept pixels elsewhere, byte for byte. (The
/// conversion to [−1, 1] and back does not keep every byte.)
///
/// - generated: `None` for gray
///
/// # Errors
/// None of images with a side of 0.
pub fn compose(generated: Option<&Images>, given: &Images, masks: &[&Mask]) -> Result<Images> {
    const GRAY: u8 = 128;
    let mut pixels = given.view().to_owned();
    for ((image, row, column, channel), value) in pixels.indexed_iter_mut() {
        if masks[image][row * given.width() + column] {
            *value = generated.map_or(GRAY, |images| images.view()[[image, row, column, channel]]);
        }
    }
    Ok(Images::new(pixels)?)
}
