//! Masks for inpainting.

use inkdrop_data::Images;
use inkdrop_torch::tch::{Device, Kind, Tensor};
use ndarray::{Array4, ArrayView4};

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

/// Generated pixels where the mask of an image is set, kept pixels elsewhere, with exactly their values. (The
/// conversion to [−1, 1] and back does not keep every one.) The result has 16 bits if either images have them.
///
/// - generated: `None` for gray
///
/// # Errors
/// None of images with a side of 0.
pub fn compose(generated: Option<&Images>, given: &Images, masks: &[&Mask]) -> Result<Images> {
    const GRAY: u8 = 128;
    let depth = generated.map_or(given.depth(), |images| images.depth().max(given.depth()));
    let given = given.clone().with_depth(depth);
    let generated = generated.map(|images| images.clone().with_depth(depth));
    let wide = generated.as_ref().map(Images::wide);
    Ok(match given.wide() {
        Some(kept) => {
            Images::of_wide(composed(wide.flatten(), kept, 257 * u16::from(GRAY), masks))?
        }
        None => {
            let generated = generated.as_ref().map(Images::view);
            Images::new(composed(generated, given.view(), GRAY, masks))?
        }
    })
}

fn composed<T: Copy>(
    generated: Option<ArrayView4<'_, T>>,
    kept: ArrayView4<'_, T>,
    gray: T,
    masks: &[&Mask],
) -> Array4<T> {
    let width = kept.dim().2;
    Array4::from_shape_fn(kept.dim(), |at| {
        let (image, row, column, _) = at;
        match masks[image][row * width + column] {
            true => generated.as_ref().map_or(gray, |images| images[at]),
            false => kept[at],
        }
    })
}
